"""One conversation with one agent, without I/O: bytes in, messages out; message in, bytes out.

Two dialects are told apart by the first line that is not blank:

    today's (`VERSION: 1.0`)                         pre-2.0 (`OK`)
    agent   VERSION: 1.0                             agent   OK
    agent   OK                                       we      42
    we      42, END                                  agent   ItemsProcessed 5
    agent   HEART: 5 1                               agent   OK  (done; ready for more)
    agent   OK  (done; no data are left)
    we      CLOSE
    agent   HEART: 5 0, BYE 0

Any other first line is a `Violation`: the program does not speak the protocol.

The caller gives what it has read to `receive` and takes messages from `next_message` until NEED_DATA; only
then may it receive more, so that no agent can make us hold more than one read and one unended line.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from workers.grammar import (
    CURRENT_MEANING,
    GREETING,
    PRE_2_0_MEANING,
    current_message,
    pre_2_0_message,
    shown,
    version,
)
from workers.lines import Lines
from workers.messages import Bye, Close, Data, FromAgent, Ready, Text, ToAgent, Value, Verbose, Violation


class Dialect(Enum):
    """How the agent speaks; told by its first line."""

    CURRENT = "current"
    PRE_2_0 = "pre-2.0"


class NeedData(Enum):
    """The one value that says there is no further message in what was received."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA


class ProtocolMisuse(Exception):
    """We, not the agent, used the conversation wrongly."""


class Conversation:
    """The state of the talk with one agent; lives as long as its process."""

    def __init__(self) -> None:
        self.dialect: Dialect | None = None  # None until the first line has come
        self.awaits_data = False  # the agent has said OK and has got no answer yet
        self.ended = False  # the agent has said BYE, or something that is no greeting
        self.heard = b""  # the line, or lines, of the last message
        self._lines = Lines()

    def receive(self, data: bytes) -> None:
        """Take bytes from the agent; BufferError if messages have been left lying."""
        if not self.ended:
            self._lines.receive(data)

    def end_of_input(self) -> None:
        """Nothing more will come: a last line without its end is a line too."""
        self._lines.complete()

    def next_message(self) -> FromAgent | NeedData:
        """The next message of what was received, or NEED_DATA; after the last word always NEED_DATA."""
        match self.dialect:
            case Dialect.CURRENT:
                piece = self._lines.take(CURRENT_MEANING)
            case Dialect.PRE_2_0:
                piece = self._lines.take(PRE_2_0_MEANING)
            case None:
                piece = self._lines.take()
        if piece is None:
            return NEED_DATA
        self.heard = piece.raw
        if piece.text_only:
            return Text(shown(piece.raw))
        return self._message(piece.raw)

    def send(self, message: ToAgent) -> bytes:
        """The bytes of a message to the agent; ProtocolMisuse where the agent does not expect it."""
        if self.dialect is None or self.ended:
            raise ProtocolMisuse(f"{message} before the greeting or after the last word")
        if isinstance(message, Data):
            return self._data(message.text)
        if self.dialect is Dialect.PRE_2_0:
            raise ProtocolMisuse(f"a pre-2.0 agent does not know {message}")
        match message:
            case Close():
                self.awaits_data = False
                return b"CLOSE\n"
            case Verbose(level):
                return b"VERBOSE %d\n" % level
            case Value(bit):
                return b"VALUE: %d\n" % bit

    def _message(self, line: bytes) -> FromAgent:
        if self.dialect is None:
            message = self._greeting(line)
        elif self.dialect is Dialect.CURRENT:
            message = current_message(line)
        else:
            message = pre_2_0_message(line)
        if isinstance(message, Ready):
            self.awaits_data = True
        elif isinstance(message, Bye | Violation):
            self.ended = True
            self._lines.discard()
        return message

    def _greeting(self, line: bytes) -> FromAgent:
        if line.startswith(GREETING):
            self.dialect = Dialect.CURRENT
            return version(line)
        if line.rstrip() == b"OK":
            self.dialect = Dialect.PRE_2_0
            return Ready()
        return Violation(shown(line))

    def _data(self, text: str) -> bytes:
        if not self.awaits_data:
            raise ProtocolMisuse("data for an agent that is not ready")
        raw = text.encode("utf-8", "backslashreplace")
        if self.dialect is Dialect.CURRENT:
            self.awaits_data = False
            return raw + b"\nEND\n"
        if b"\n" in raw:  # it would answer every line by an OK, and the next job would take one for its own
            raise ProtocolMisuse("a pre-2.0 agent takes one line at a time")
        self.awaits_data = False
        return raw + b"\n"
