"""Bytes -> lines, whatever an agent prints: no newline for ever, CRLF, blank lines, a flood.

A line longer than LINE_LIMIT is handed on in pieces that lose no byte and split no UTF-8 character. Plain
output is handed on in blocks of whole lines, because taking a flood apart line by line would cost the other
agents of this host more than the flood itself: all sessions of a worker share one interpreter lock.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LINE_LIMIT = 64 * 1024  # bytes; today's scheduler cuts at 1023, so no message is longer
BUFFER_LIMIT = 4 * LINE_LIMIT  # bytes held at most


class Piece(NamedTuple):
    """A line without its end; or a block of lines or part of a long one, which are text."""

    raw: bytes  # never empty
    text_only: bool


class Marks(NamedTuple):
    """How a line is recognised that may mean something; what matches neither is plain output."""

    here: re.Pattern[bytes]  # at the beginning of a line
    later: re.Pattern[bytes]  # the newline before such a line, so that the search runs at memory speed


def marks(*prefixes: bytes) -> Marks:
    """Marks for lines that begin with one of `prefixes`."""
    either = b"(?:" + b"|".join(map(re.escape, prefixes)) + b")"
    return Marks(re.compile(either), re.compile(rb"\n" + either))


class Lines:
    """A bounded buffer that gives lines back."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inside_long_line = False  # its beginning has been handed on
        self._complete = False  # nothing more will come

    def receive(self, data: bytes) -> None:
        """Add bytes; BufferError if what came before has not been taken."""
        if len(self._buffer) + len(data) > BUFFER_LIMIT:
            raise BufferError("take all lines before adding more bytes")
        self._buffer += data

    def complete(self) -> None:
        """Nothing more will come: a last line without its end is a line too."""
        self._complete = True

    def discard(self) -> None:
        """Forget what is held."""
        self._buffer.clear()

    def take(self, meaning: Marks | None = None) -> Piece | None:
        """The next piece that is not blank, or None; with `meaning`, lines without it come in blocks."""
        buffer = self._buffer
        while buffer:
            end = buffer.find(b"\n", 0, LINE_LIMIT)
            if end < 0:
                return self._take_unended()
            if self._inside_long_line:
                self._inside_long_line = False
                piece = Piece(self._remove(end, 1).removesuffix(b"\r"), True)
            elif meaning is None or meaning.here.match(buffer):
                piece = Piece(self._remove(end, 1).removesuffix(b"\r"), False)
            else:
                piece = Piece(
                    _without_blank_lines(self._remove(self._end_of_block(end, meaning.later), 1)), True
                )
            if piece.raw:
                return piece
        return None

    def _take_unended(self) -> Piece | None:
        """Part of a line that is too long, or the last line of the input."""
        size = len(self._buffer)
        text_only = self._inside_long_line
        if size >= LINE_LIMIT:
            self._inside_long_line = True
            return Piece(self._remove(_end_of_character(self._buffer, LINE_LIMIT)), text_only)
        if not self._complete:
            return None
        last = self._remove(size).removesuffix(b"\r")
        return Piece(last, text_only) if last else None

    def _end_of_block(self, first_end: int, meaning: re.Pattern[bytes]) -> int:
        """The last newline of the plain lines that begin here; the first of them ends at `first_end`."""
        found = meaning.search(self._buffer, first_end, LINE_LIMIT)
        return found.start() if found else self._buffer.rfind(b"\n", first_end, LINE_LIMIT)

    def _remove(self, count: int, separator: int = 0) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[: count + separator]
        return taken


def _without_blank_lines(block: bytes) -> bytes:
    if b"\r" in block:
        block = (block + b"\n").replace(b"\r\n", b"\n")
    if block[:1] == b"\n" or block[-1:] == b"\n" or b"\n\n" in block:
        block = b"\n".join(filter(None, block.split(b"\n")))
    return block


def _end_of_character(buffer: bytearray, limit: int) -> int:
    """The largest length up to `limit` that does not cut a UTF-8 character in two."""
    for back in range(1, 4):
        byte = buffer[limit - back]
        if byte & 0xC0 == 0x80:  # a character's later byte
            continue
        needed = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        return limit - back if needed > back else limit
    return limit
