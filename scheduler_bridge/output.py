"""Where the supervised processes' lines go: one coloured stream, or a file for each."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol, TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from scheduler_bridge.servers import ServerError, in_use, make_private

LONGEST_LINE_BYTES = 64 * 1024  # a longer one is printed in pieces
LAST_LINES_SECONDS = 1.0  # how long to wait for them; a stray process may hold the pipe open for ever
OWN_NAME = "scheduler-bridge"


class Output(Protocol):
    """What the supervisor asks of an output."""

    def target(self, name: str) -> IO[bytes] | int:
        """What the next process of the part `name` gets as its stdout and stderr; closed by the caller."""
        ...

    def follow(self, name: str, lines: IO[bytes] | None) -> None:
        """Begin to show what a started process writes; `lines` is its stdout where that is a pipe."""
        ...

    def say(self, text: str) -> None:
        """Show a line of the supervisor itself."""
        ...

    def finish(self) -> None:
        """All processes have ended: show their last lines."""
        ...


class Readers:
    """Threads, one for each process whose output is read."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def begin(self, read: Callable[[str, IO[bytes]], None], name: str, lines: IO[bytes] | None) -> None:
        """Call `read(name, lines)` in a thread of its own."""
        thread = threading.Thread(target=read, args=(name, lines), daemon=True)
        thread.start()
        self._threads = [*(known for known in self._threads if known.is_alive()), thread]

    def finish(self) -> None:
        """Wait a moment for all of them."""
        for thread in self._threads:
            thread.join(LAST_LINES_SECONDS)


class Console:
    """All lines on one stream, each with the time and its part's name, coloured on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._printer = Printer(
            stream or sys.stdout, width=len(OWN_NAME), colour="NO_COLOR" not in os.environ
        )
        self._lock = threading.Lock()
        self._next_colour = get_colours()
        self._colours: dict[str, str] = {}
        self._readers = Readers()

    def target(self, name: str) -> int:
        """A pipe, read by `follow`."""
        self._colours.setdefault(name, next(self._next_colour))
        return subprocess.PIPE

    def follow(self, name: str, lines: IO[bytes] | None) -> None:
        """Print from a thread of its own; a slow terminal slows the writer, as it would without us."""
        self._readers.begin(self._read, name, lines)

    def say(self, text: str) -> None:
        """Print a line of the supervisor."""
        self._print(OWN_NAME, text.encode())

    def finish(self) -> None:
        """Wait a moment for the readers."""
        self._readers.finish()

    def _read(self, name: str, lines: IO[bytes]) -> None:
        with lines:
            while line := lines.readline(LONGEST_LINE_BYTES):
                self._print(name, line)

    def _print(self, name: str, line: bytes) -> None:
        with self._lock:
            try:
                self._printer.write(Message("line", line, _now(), name, self._colours.get(name)))
            except BrokenPipeError:  # the reader of our output has gone; the processes go on
                self._printer.output = _Nowhere()


class _Nowhere(io.TextIOBase):
    """Takes and forgets."""

    def write(self, text: str) -> int:
        return len(text)


class LogFolder:
    """A file `NAME.log` for each part in a folder, and `supervisor.log` for what the supervisor says.

    Those of the run before are removed; those of a run in progress never are.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ServerError when another process writes there."""
        make_private(folder)
        self.folder = folder
        self._lock = (folder / "lock").open("w")  # held as long as this object lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ServerError(in_use(folder)) from None
        for old in folder.glob("*.log"):
            old.unlink()

    def target(self, name: str) -> IO[bytes]:
        """The part's file, which only its owner may read, written by the process itself."""
        path = self.folder / f"{name}.log"
        path.touch(mode=0o600)
        return path.open("ab")

    def follow(self, name: str, lines: IO[bytes] | None) -> None:
        """Nothing to read."""

    def say(self, text: str) -> None:
        """Append a line, with the time, to `supervisor.log`."""
        with self.target("supervisor") as file:
            file.write(f"{_now():%Y-%m-%d %H:%M:%S} {text}\n".encode())

    def finish(self) -> None:
        """Nothing is held back; the folder is free for the next run."""
        self._lock.close()


def _now() -> datetime:
    return datetime.now().astimezone()  # noqa: TID251  # decides nothing: people read it
