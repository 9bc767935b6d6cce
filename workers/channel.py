"""Waiting for everything that can happen to an agent at once: output, room for input, its end, an order.

One thread, one poll. Reading never waits for writing nor the other way round, so an agent that prints while
it is given more than a pipe holds, or that never reads, hangs nobody. What one agent may have read is limited
per second: the pipe of an agent that floods fills up and the agent waits, instead of every other session of
this worker.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from workers.process import PEEK_SECONDS, AgentProcess

FLOOD_BYTES = 16 * 1024 * 1024  # read from one agent within a second; up to a tenth of a core to look through
MESSAGE_BYTES = 400  # of plain output cost as much as one message: some 40,000 messages a second
AFTER_END_BYTES = 1024 * 1024  # a pipe's largest size: what a dead agent can have left behind
LONGEST_WAIT_SECONDS = 3600.0


class Arrival(NamedTuple):
    """What one wait has brought; may be nothing."""

    data: bytes
    end_of_output: bool = False
    woken: bool = False
    exited: bool = False


class Channel:
    """The pipes of one agent's process for the time of one session."""

    def __init__(self, process: AgentProcess) -> None:
        self._process = process
        self._unsent: deque[memoryview] = deque()
        self._input_open = True
        self._output_open = True
        self._wanted = True  # the session wants output
        self._registered = False  # for output
        self._read_bytes = 0  # and the weight of messages, within the second that ends at _second_ends
        self._second_ends = 0.0
        self._wake_fd = -1
        self._poll = select.poll()
        if process.pidfd is not None:
            self._poll.register(process.pidfd, select.POLLIN)

    def wake_by(self, fd: int) -> None:
        """Waits end when this descriptor is readable; reading it is the caller's."""
        self._wake_fd = fd
        self._poll.register(fd, select.POLLIN)

    def listen(self, wanted: bool) -> None:
        """Read the agent's output, or leave it in the pipe."""
        self._wanted = wanted

    def send(self, data: bytes) -> None:
        """Write, at once or whenever the agent reads; nothing if its input is closed."""
        if not self._input_open:
            return
        self._unsent.append(memoryview(data))
        if len(self._unsent) == 1 and not self._write():
            self._poll.register(self._process.stdin, select.POLLOUT)

    def close_input(self) -> None:
        """The agent sees the end of its input; what is unsent is dropped."""
        if self._unsent:
            self._unsent.clear()
            self._poll.unregister(self._process.stdin)
        self._input_open = False
        self._process.close_stdin()

    def wait(self, seconds: float) -> Arrival:
        """Wait for the first thing to happen, at most so long; may return early with nothing."""
        data, end_of_output, woken, exited = b"", False, False, False
        process = self._process
        for fd, _ in self._poll.poll(self._prepare(seconds) * 1000 + 1):
            if fd == process.stdout:
                data = self._read()
                end_of_output = not self._output_open
            elif fd == process.stdin:
                if self._write():
                    self._poll.unregister(fd)
            elif fd == self._wake_fd:
                woken = True
            else:
                exited = True
        if process.pidfd is None:
            exited = process.exit_status() is not None
        return Arrival(data, end_of_output, woken, exited)

    def charge(self, messages: int) -> None:
        """What has been read contained so many messages."""
        self._read_bytes += messages * MESSAGE_BYTES

    def rest(self) -> Iterator[bytes]:
        """What an agent that has ended left in the pipe; others may hold it open and go on writing."""
        left = AFTER_END_BYTES
        while left > 0 and self._output_open and (data := self._read()):
            left -= len(data)
            yield data

    def _prepare(self, seconds: float) -> float:
        """Register for output or not; how long to wait until that has to be looked at again."""
        now = time.monotonic()
        if now >= self._second_ends:
            self._read_bytes = 0
            self._second_ends = now + 1.0
        flooded = self._read_bytes >= FLOOD_BYTES
        listening = self._wanted and self._output_open and not flooded
        if listening and not self._registered:
            self._poll.register(self._process.stdout, select.POLLIN)
        elif self._registered and not listening:
            self._poll.unregister(self._process.stdout)
        self._registered = listening
        if flooded:
            seconds = min(seconds, self._second_ends - now)
        if self._process.pidfd is None:
            seconds = min(seconds, PEEK_SECONDS)
        return max(0.0, min(seconds, LONGEST_WAIT_SECONDS))

    def _read(self) -> bytes:
        data = self._process.read()
        if data is None:
            return b""
        self._output_open = bool(data)
        self._read_bytes += len(data)
        return data

    def _write(self) -> bool:
        """Write what the pipe takes; True if nothing is left to write."""
        unsent = self._unsent
        while unsent:
            try:
                written = os.write(self._process.stdin, unsent[0])
            except BlockingIOError:
                return False
            except OSError:  # the agent has closed its input: it wants no more, which is no failure
                unsent.clear()
                break
            if written < len(unsent[0]):
                unsent[0] = unsent[0][written:]
                return False
            unsent.popleft()
        return True
