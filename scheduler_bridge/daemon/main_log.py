"""The one log of the scheduler and all its parts."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO

from scheduler_bridge.daemon.log_format import log_line, shown, word_of
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.output import LONGEST_LINE_BYTES, Readers
from scheduler_bridge.text import clean

FILE_NAME = "fossology.log"
STREAMS = {"stdout": 1, "stderr": 2, "/dev/stdout": 1, "/dev/stderr": 2}
REMEMBERED_LINES = 5  # of a part, to say why it did not start
MODE = 0o640

Heard = Callable[[str, str], None]

OURS = logging.getLogger("scheduler_bridge")  # above the loggers of all our modules


def log_path(given: str | None, log_folder: Path | None, state: Path) -> str:
    """`stdout`, `stderr`, or an absolute path: as given, else in LOGDIR, else in the state folder."""
    if given in STREAMS:
        return given.removeprefix("/dev/")
    path = Path(given) if given else (log_folder or state) / FILE_NAME
    return str((path / FILE_NAME if path.is_dir() else path).absolute())


class MainLog:
    """The supervisor's output: every line in FOSSology's form, less what the verbosity hides."""

    def __init__(self, place: str, verbosity: int, *, keep_streams: bool = True) -> None:
        """`place` is as `log_path` says; without `keep_streams` our own stdout and stderr go there too.

        Raises BridgeError where it cannot be written.
        """
        self.place = place
        self.heard: Heard = lambda part, line: None  # told each line of a part, from a thread
        self.verbosity = verbosity  # mask; read for each line
        self._keep_streams = keep_streams
        self._lock = threading.Lock()
        self._last: dict[str, deque[str]] = {}
        self._readers = Readers()
        self._file = self._open()

    def reopen(self) -> None:
        """Go on in a new file of that name, after the old one was renamed; where there can be none, in the old."""
        try:
            file = self._open()
        except BridgeError as error:
            self.error(str(error))
            return
        with self._lock:
            old, self._file = self._file, file
        old.close()

    def target(self, name: str) -> int:
        """A pipe, read by `follow`."""
        self._last.setdefault(name, deque(maxlen=REMEMBERED_LINES))
        return subprocess.PIPE

    def follow(self, name: str, lines: IO[bytes] | None) -> None:
        """Write down what the part says, from a thread of its own."""
        self._readers.begin(self._read, name, lines)

    def say(self, text: str) -> None:
        """A note of the supervisor."""
        self._write("NOTE", self._own(text, "NOTE:"))

    def warn(self, text: str) -> None:
        """Something that does not keep the scheduler from running."""
        self._write("WARNING", self._own(text, "WARNING:"))

    def error(self, text: str) -> None:
        """An error of the supervisor, whatever the verbosity."""
        self._write("ERROR", self._own(text, "ERROR:"))

    def last_lines(self, name: str) -> list[str]:
        """What a part said last."""
        return list(self._last.get(name, ()))

    def finish(self) -> None:
        """Wait a moment for the readers."""
        self._readers.finish()

    def close(self) -> None:
        """Nothing more is written."""
        with self._lock:
            self._file.close()

    def _own(self, text: str, word: str) -> bytes:
        lines = text.splitlines() or [""]
        return "\n".join(log_line(_now(), os.getpid(), line, word) for line in lines).encode()

    def _read(self, name: str, lines: IO[bytes]) -> None:
        with lines:
            while line := lines.readline(LONGEST_LINE_BYTES):
                line = line.rstrip(b"\r\n")
                text = line.decode("utf-8", "replace")
                self._last[name].append(text.partition(" :: ")[2] or text)
                word = word_of(line)
                if word is None:  # not from the part's logging: a banner, or an error before there was any
                    word, line = "NOTE", self._own(f"{name}: {clean(text)}", "NOTE:")
                self._write(word, line)
                self.heard(name, text)

    def _write(self, word: str, lines: bytes) -> None:
        if not shown(word, self.verbosity):
            return
        with self._lock:
            try:
                self._file.write(lines + b"\n")
            except (OSError, ValueError):  # a full disk, a reader that has gone, a late line: the parts go on
                return

    def _open(self) -> IO[bytes]:
        if self.place in STREAMS:
            return open(STREAMS[self.place], "ab", buffering=0, closefd=False)
        try:
            file = os.open(self.place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            raise BridgeError(f"cannot write the log {self.place}: {error.strerror}") from error
        if not self._keep_streams:
            os.dup2(file, 1)
            os.dup2(file, 2)
        return os.fdopen(file, "ab", buffering=0)


class Records(logging.Handler):
    """Writes down what our own modules say by way of `logging`, as a context manager, before the parts run.

    What they warn of keeps the scheduler from running, so that it is shown whatever the verbosity.
    """

    def __init__(self, log: MainLog) -> None:
        super().__init__()
        self._log = log

    def __enter__(self) -> None:
        OURS.setLevel(logging.INFO)
        OURS.addHandler(self)

    def __exit__(self, *_: object) -> None:
        OURS.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        write = self._log.error if record.levelno >= logging.WARNING else self._log.say
        write(self.format(record))


def _now() -> datetime:
    return datetime.now().astimezone()  # noqa: TID251  # decides nothing: people read it
