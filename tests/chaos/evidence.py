"""What is known of a trial that is over, and what may be found to be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tests.chaos.absence import Absence
from tests.chaos.faults import Deed
from tests.chaos.given import Given
from tests.chaos.records import Run
from tests.chaos.rows import Attempt, Row
from tests.chaos.streams import Job


class Wrong(Enum):
    """What may be wrong; the value is for people."""

    LOST = "lost"
    DOUBLED = "doubled"
    LEFT = "left"
    ORDER = "order"
    AUDIT = "audit"
    DISOBEYED = "disobeyed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    wrong: Wrong
    text: str

    def __str__(self) -> str:
        return f"{self.wrong.value}: {self.text}"


@dataclass(frozen=True)
class Evidence:
    """All that is known about a trial's jobs; those are known by their position."""

    jobs: Sequence[Job]
    numbers: Mapping[int, int]  # jq_pk by position
    rows: Mapping[int, Row]
    attempts: Mapping[int, list[Attempt]]
    runs: Mapping[int, list[Run]]
    struck: Mapping[int, Deed]  # agents that a fault has struck, by their number
    absences: Sequence[Absence]  # of workers
    cut_off: Sequence[Absence] = ()  # hosts whose workers may not have heard the database
    given: Given = field(default_factory=Given)  # orders

    def life(self, position: int) -> list[Attempt]:
        """Attempts since the job was inserted, or was told last to run again."""
        begins = self.given.life_begins(position)
        return [attempt for attempt in self.attempts.get(position, []) if attempt.epoch > begins]

    def named(self, position: int) -> str:
        """For people."""
        return f"job {self.numbers.get(position)} ({position}: {self.jobs[position].agent_type})"
