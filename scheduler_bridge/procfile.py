"""The Procfile's lines as commands to run without a shell, and how long to wait before starting one again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from honcho.environ import parse_procfile

from scheduler_bridge.errors import SettingsError

ONCE_A_DEPLOY = ("release", "postdeploy")  # not processes: they are run before the others, by whoever deploys
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
STABLE_SECONDS = 60.0  # a life this long shows that the part works: the next delay is the first one again
OPERATORS = frozenset("();<>|&")
SUBSTITUTIONS = frozenset("$`")


@dataclass(frozen=True, slots=True)
class Part:
    """A line of the Procfile."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often in a row a part has ended soon after its start."""

    ends: int = 0

    def after(self, lived_seconds: float) -> Backoff:
        """One more end, after a life of that length."""
        return Backoff(1 if lived_seconds >= STABLE_SECONDS else self.ends + 1)

    @property
    def delay_seconds(self) -> float:
        """How long to wait before the next start."""
        # More doublings than ten would only overflow: the bound is reached long before.
        return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(self.ends - 1, 10)))


def find_procfile() -> Path:
    """Beside the packages in a checkout, inside ours when installed from a wheel."""
    package = Path(__file__).parent
    beside = package.parent / "Procfile"
    return beside if beside.exists() else package / "Procfile"


def read_procfile(path: Path) -> list[Part]:
    """The parts that run all the time, in the file's order. Raises SettingsError for a line we cannot run."""
    lines = parse_procfile(path.read_text("utf-8")).processes
    return [_part(name, line) for name, line in lines.items() if name not in ONCE_A_DEPLOY]


def _part(name: str, line: str) -> Part:
    words = _words(name, line)
    command = (
        words[1:] if words[:1] == ["exec"] else words
    )  # `exec` is for shells that run this line elsewhere
    if not command:
        raise SettingsError(f"the Procfile's line {name} has no command")
    return Part(name, tuple(command))


def _words(name: str, line: str) -> Sequence[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise SettingsError(f"the Procfile's line {name} cannot be read: {error}") from None
    if any(OPERATORS.issuperset(word) or SUBSTITUTIONS.intersection(word) for word in words):
        raise SettingsError(f"the Procfile's line {name} needs a shell: use plain words only")
    return words
