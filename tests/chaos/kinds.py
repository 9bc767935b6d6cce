"""The agents of a trial: what each does, and how its job must end.

Agents of `OWN` write down when they begin and end their work, with their number; the toy agents of tests/agents only
that they run. What dies without having been told to is configured under several names, because five deaths in five
minutes close an agent type for the rest of them.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OWN = Path(__file__).with_name("agents")
TOYS = Path(__file__).parents[1] / "agents"
DEATH_SECONDS = 4  # agent_death_timer
LINGER_SECONDS = 5  # from CLOSE to the end of an agent that does not leave
UNKNOWN = "no_such_agent_type"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be an agent."""

    program: str
    completes: bool = True
    weight: int = 1  # how often it is drawn
    data: str | None = None  # None: the agent is our own, its data are its key and how long it works
    longest: int = 0  # tenths of a second of an agent of our own
    seconds: float = 0.0  # how long any other takes
    names: int = 1
    limit: str = "max = -1"

    @property
    def own(self) -> bool:
        """It writes down begin and end."""
        return self.data is None


KINDS: Mapping[str, Kind] = {
    "good": Kind("works", weight=40, longest=2),
    "slow": Kind("works", weight=24, longest=30),
    "long": Kind("works", weight=16, longest=80),  # outlasts its lease when nobody renews it
    "narrow": Kind("works", weight=6, longest=4, limit="max = 1"),
    "legacy": Kind("works_legacy", weight=8, longest=6),
    "babbles": Kind("babbles", data="x"),
    "php": Kind("good_php_style", data="0", weight=3),
    "quits": Kind("good_php_style", data="7", completes=False),
    "late": Kind("fails_after_its_work", data="x"),
    "garbled": Kind("invalid_utf8", data="x"),
    "miscounts": Kind("bad_heart", data="x"),
    "forks": Kind("forks", data="bye"),
    "stays": Kind("never_leaves", data="x", seconds=LINGER_SECONDS),
    "silent": Kind("silent", data="x", weight=3, completes=False, seconds=DEATH_SECONDS),
    "crashes": Kind("dies_with_data", data="3", completes=False, names=6),
    "stillborn": Kind("dies_at_once", data="x", completes=False, names=6),
}
UNKNOWN_KIND = Kind("", data="x", completes=False)


def kind_of(agent_type: str) -> Kind:
    """The kind of an agent type: its name without the number at its end."""
    return KINDS.get(agent_type.rstrip("0123456789"), UNKNOWN_KIND)


def write_configuration(folder: Path) -> Path:
    """The configuration folder with all of them."""
    for name, kind in KINDS.items():
        for number in range(kind.names):
            _write_agent_type(folder / "mods-enabled" / f"{name}{number}", kind)
    (folder / "fossology.conf").write_text(f"[SCHEDULER]\nagent_death_timer = {DEATH_SECONDS}\n")
    return folder


def _write_agent_type(module: Path, kind: Kind) -> None:
    (module / "agent").mkdir(parents=True)
    program = OWN / kind.program if (OWN / kind.program).exists() else OWN / "recorded"
    copy = module / "agent" / program.name
    shutil.copy(program, copy)
    copy.chmod(copy.stat().st_mode | stat.S_IXUSR)
    words = program.name if program.name == kind.program else f'{program.name} "{TOYS / kind.program}"'
    (module / f"{module.name}.conf").write_text(f"[default]\ncommand = {words}\n{kind.limit}\nspecial[] =\n")
