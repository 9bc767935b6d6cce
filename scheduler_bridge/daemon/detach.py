"""A daemon and whoever waits for it: the starter hears from it through a pipe and exits when it is up, or not."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

from scheduler_bridge.daemon.errors import FATAL

VARIABLE = "FO_SCHEDULER_STARTER"  # number of the pipe's open end, over the daemon's exec
UP = b"up"


class Starter:
    """The daemon's end of the pipe; without one, nobody waits. Any thread may tell it, the first one counts."""

    def __init__(self, pipe: int | None) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    @classmethod
    def taken_over(cls) -> Starter:
        """The one that was handed to this process by its environment, which no part shall see."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return cls(None)
        os.set_inheritable(int(text), False)
        return cls(int(text))

    @property
    def waits(self) -> bool:
        """Whether somebody has still to be told."""
        return self._pipe is not None

    def tell_up(self, remark: str = "") -> None:
        """It has come up; `remark` is shown."""
        self._tell(UP + b"\n" + remark.encode())

    def tell_failed(self, status: int, reason: str) -> None:
        """It has not come up; the starter exits with that status."""
        self._tell(f"{status}\n{reason}".encode())

    def _tell(self, message: bytes) -> None:
        with self._lock:
            number, self._pipe = self._pipe, None
        if number is not None:
            with suppress(BrokenPipeError), os.fdopen(number, "wb") as pipe:
                pipe.write(message)


def detach() -> None:
    """Go on as a daemon in a session of its own that can never get a terminal; the caller's process exits here.

    It exits with what the daemon tells its `Starter`, 254 when the daemon ends without a word.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        os.waitpid(child, 0)
        os._exit(_heard(reader))
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.set_inheritable(writer, True)
    os.environ[VARIABLE] = str(writer)


def silence() -> None:
    """Nothing of the terminal stays: input from nowhere, output to nowhere until there is a log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    if nowhere > 2:
        os.close(nowhere)


def _heard(reader: int) -> int:
    with open(reader, "rb") as pipe:
        verdict, _, text = pipe.read().partition(b"\n")
    if text:
        print(f"fo_scheduler: {text.decode('utf-8', 'replace')}", file=sys.stderr, flush=True)
    if verdict == UP:
        return 0
    if verdict.isdigit():
        return int(verdict)
    print("fo_scheduler: the daemon ended before it had come up", file=sys.stderr, flush=True)
    return FATAL
