"""Protocol lines as values, in both directions and both dialects.

Where a line's meaning is a matter of agreement with unmodified agents, `protocol` decides it; here are only
the words of the conversation. Text from an agent is always valid UTF-8 without NUL: bytes that are neither
are shown as `\\xNN`, since what an agent prints ends in logs and database columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag


class Mask(IntFlag):
    """Bits of SPECIAL and GETSPECIAL; of an agent's own settings only NOKILL has an effect."""

    NOKILL = 1
    EXCLUSIVE = 2
    NOEMAIL = 4
    LOCAL = 8


@dataclass(frozen=True, slots=True)
class Version:
    """`VERSION: text`, the greeting of today's agents."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """`OK`: the agent waits for data."""


@dataclass(frozen=True, slots=True)
class Heart:
    """`HEART: items alive`: sign of life of today's agents."""

    items: int  # done so far in this job, 0 to 2147483647
    alive: bool | None  # True: has progressed since the last one; None: not said


@dataclass(frozen=True, slots=True)
class Bye:
    """`BYE code`: the agent leaves by itself."""

    code: int  # 0 to 255; 0 is success


@dataclass(frozen=True, slots=True)
class Special:
    """`SPECIAL: mask value`: sets or clears bits of this agent."""

    mask: int
    value: bool


@dataclass(frozen=True, slots=True)
class GetSpecial:
    """`GETSPECIAL: mask`: asks for bits of this agent, answered by `Value`."""

    mask: int


@dataclass(frozen=True, slots=True)
class Email:
    """`EMAIL text`: replaces the message of the job's mail."""

    text: str


@dataclass(frozen=True, slots=True)
class ItemsProcessed:
    """`ItemsProcessed n` of a pre-2.0 agent; adds to what it reported before."""

    items: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`Heartbeat` of a pre-2.0 agent."""


@dataclass(frozen=True, slots=True)
class Text:
    """Output without a meaning for us: a line, or several whole lines that arrived together."""

    text: str  # without the last newline, no blank lines


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that begins like a message and is none; logged, never fatal."""

    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A first line that is no greeting: the program does not speak the protocol."""

    line: str


FromAgent = (
    Version
    | Ready
    | Heart
    | Bye
    | Special
    | GetSpecial
    | Email
    | ItemsProcessed
    | Heartbeat
    | Text
    | Malformed
    | Violation
)


@dataclass(frozen=True, slots=True)
class Data:
    """What the agent is to work on."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """There are no more data."""


@dataclass(frozen=True, slots=True)
class Verbose:
    """How much the agent prints: a bit mask, as the operator gave it."""

    level: int


@dataclass(frozen=True, slots=True)
class Value:
    """Answer to `GetSpecial`."""

    bit: bool


ToAgent = Data | Close | Verbose | Value
