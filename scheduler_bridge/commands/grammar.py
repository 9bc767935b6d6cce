"""What one read of the command port holds: a command, or the error that answers it.

The grammar is that of FOSSology's scheduler. It looks anywhere in the bytes for a word, then blanks and a number,
then blanks and a second number or a text in quotes; whatever else there is does not count. Hence `status abc` is
`status`, and of two commands in one read the second is lost. There is no terminator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

READ_BYTES = 1024  # the longest command
LONGEST_TEXT = 500  # characters of a kill's text that reach the row

_COMMAND = re.compile(
    rb"(?P<word>\w+)"
    rb"(?:\s+(?P<first>-?\d+))?"
    rb'(?:\s+(?P<second>-?\d+)|\s+"(?P<line>.*)"|\s+"(?P<lines>(?s:.*))")?'  # a text that spans lines comes last
)
_ONE_LINE = bytes(32 if (byte < 32 and byte != 9) or byte == 127 else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Status:
    """What runs; None: everything that is open."""

    job: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """End a job as failed; the text is the reason that the row keeps, one line without control characters."""

    job: int
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop a job for as long as an operator likes."""

    job: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Let a paused job go on."""

    job: int


@dataclass(frozen=True, slots=True)
class Priority:
    """Give a job's stream another priority."""

    job: int
    level: int


@dataclass(frozen=True, slots=True)
class Verbose:
    """Set how much is logged, by the scheduler or by the agents of a job; without a level: show it."""

    job: int | None = None
    level: int | None = None
    sent: bytes = b""  # as it is quoted when there is no such job


@dataclass(frozen=True, slots=True)
class Agents:
    """The agent types that can be used."""


@dataclass(frozen=True, slots=True)
class Load:
    """What runs on each host."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration folder again."""


@dataclass(frozen=True, slots=True)
class Database:
    """Look for new rows now."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End once everything that runs has ended."""


@dataclass(frozen=True, slots=True)
class Die:
    """End now."""


@dataclass(frozen=True, slots=True)
class Close:
    """End this connection."""


Command: TypeAlias = (
    Status
    | Kill
    | Pause
    | Restart
    | Priority
    | Verbose
    | Agents
    | Load
    | Reload
    | Database
    | Stop
    | Die
    | Close
)


@dataclass(frozen=True, slots=True)
class Invalid:
    """Not a command; the reply that says so."""

    reply: bytes
    received: bool = True  # whether `received` goes before it


_PLAIN: dict[bytes, Command] = {
    b"agents": Agents(),
    b"load": Load(),
    b"reload": Reload(),
    b"database": Database(),
    b"stop": Stop(),
    b"die": Die(),
    b"close": Close(),
}


def parse(data: bytes) -> Command | Invalid:
    """The command in the first READ_BYTES of `data`; numbers may be of any size."""
    sent = data[:READ_BYTES].split(b"\0", 1)[0]  # clients in C send the end of the string too
    quoted = sent.rstrip(b"\r\n").lower().translate(_ONE_LINE)
    found = _COMMAND.search(sent)
    if found is None:
        return Invalid(invalid(b"", quoted), received=False)
    word = found["word"].lower()
    return _PLAIN.get(word) or _with_arguments(word, found, quoted)


def invalid(word: bytes, quoted: bytes) -> bytes:
    """The reply to a command that cannot be carried out as it was sent."""
    if word in (b"restart", b"priority"):
        return b"ERROR: Invalid %b command: %b\n" % (word, quoted)
    if word in (b"kill", b"pause", b"verbose"):
        return b'Invalid %b command: "%b"\n' % (word, quoted)
    return b'Invalid command: "%b"\n' % quoted


def _with_arguments(word: bytes, found: re.Match[bytes], quoted: bytes) -> Command | Invalid:
    first, second = _number(found["first"]), _number(found["second"])
    text = _text(found["line"] or found["lines"] or b"")
    match word:
        case b"status":
            return Status(first or None)
        case b"verbose" if second is not None:
            return Verbose(first, second, quoted)
        case b"verbose":
            return Verbose(None, first, quoted)
        case b"kill" if first is not None and text:
            return Kill(first, text)
        case b"pause" if first is not None:
            return Pause(first)
        case b"restart" if first is not None:
            return Restart(first)
        case b"priority" if first is not None and second is not None:
            return Priority(first, second)
    return Invalid(invalid(word, quoted))


def _number(digits: bytes | None) -> int | None:
    return None if digits is None else int(digits)


def _text(sent: bytes) -> str:
    """For a row and for logs: bytes and characters that nobody can read become marks or blanks."""
    text = sent.decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown.strip()[:LONGEST_TEXT]
