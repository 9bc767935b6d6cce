"""Writes job logs in a thread of its own, so that a disk that hangs or is full costs logs and no job.

A session hands over bytes and goes on. It waits only where much of its own log is unwritten, and at its end, and then
for a fraction of a second. While a disk hangs that has made somebody wait in vain nothing is taken, so that nobody
waits again and nothing piles up.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

UNWRITTEN_BYTES = 4 * 1024 * 1024  # of one log, from which on its session waits
PUT_SECONDS = 0.1  # an order to the session, to give up its job above all, must not wait longer
END_SECONDS = 1.0  # for the last lines, when the agent has done its work

_log = logging.getLogger(__name__)


class LogFile:
    """One file and what is still to be written of it; only the writer touches it."""

    def __init__(self, create: Callable[[], int]) -> None:
        """`create` opens the file, in the writer's thread; it may raise OSError."""
        self.create = create
        self.made = False  # it exists
        self.fd = -1
        self.unwritten: list[bytes] = []
        self.unwritten_bytes = 0  # with those that are being written
        self.queued = False
        self.ending = False  # to be closed when all is written
        self.over = False  # closed, or given up


class LogWriter:
    """The thread and its queue, for all logs of a worker; it begins with the first line of any job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued = threading.Condition(self._lock)
        self._written = threading.Condition(self._lock)
        self._queue: deque[LogFile] = deque()
        self._thread: threading.Thread | None = None
        self._stuck = False  # somebody has waited in vain, and nothing has been written since
        self._warned = False

    def put(self, file: LogFile, data: bytes) -> bool:
        """Write this after what was put before; False: the disk is too slow, and this will not be written."""
        with self._lock:
            if file.over:
                return True  # given up, and the operator has been told
            if not self._wait(lambda: file.over or file.unwritten_bytes <= UNWRITTEN_BYTES, PUT_SECONDS):
                return False
            file.unwritten.append(data)
            file.unwritten_bytes += len(data)
            self._enqueue(file)
            return True

    def end(self, file: LogFile) -> None:
        """Nothing more comes; returns when all is written and the file is closed, or after END_SECONDS."""
        with self._lock:
            file.ending = True
            if not file.over:
                self._enqueue(file)
                self._wait(lambda: file.over, END_SECONDS)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for the disk; False: in vain, now or before. With the lock held."""
        if self._stuck:
            return False
        if not self._written.wait_for(condition, seconds):
            self._stuck = True
            self._warn("the disk does not answer")
            return False
        return True

    def _enqueue(self, file: LogFile) -> None:
        if file.queued:
            return
        file.queued = True
        self._queue.append(file)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="job logs", daemon=True)
            self._thread.start()
        self._queued.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._queued.wait_for(lambda: self._queue)
                file = self._queue.popleft()
                file.queued = False
                data, file.unwritten = b"".join(file.unwritten), []
                ending = file.ending
            error = None if file.over else _write(file, data, ending)
            with self._lock:
                self._stuck = False
                file.unwritten_bytes -= len(data)
                file.over = file.over or ending or error is not None
                if error is not None:
                    self._warn(str(error))
                self._written.notify_all()

    def _warn(self, why: str) -> None:
        """Once a worker: a full disk would say so at every job."""
        if not self._warned:
            self._warned = True
            facts = {"action": "job_log_failed"}
            _log.warning("job logs cannot be written, jobs run on without: %s", why, extra=facts)


def _write(file: LogFile, data: bytes, ending: bool) -> OSError | None:
    """Write, and close after the last bytes or the first error; what went wrong."""
    failed = None
    try:
        if data and not file.made:
            file.fd = file.create()
            file.made = True
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file.fd, rest) :]
    except OSError as error:
        failed = error
    if (ending or failed) and file.fd >= 0:
        try:
            os.close(file.fd)
        except OSError as error:  # a server of files may notice only now that it is full
            failed = failed or error
        file.fd = -1
    return failed
