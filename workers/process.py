"""An agent's process: started, signalled as a group, waited for, reaped.

Every agent leads a process group of its own, and what it forks belongs to it: the group gets the signals, and
whatever is left of it when the leader has ended is killed. A process group's number is free for anyone once
its leader is reaped, so signals go out only before that: the end is noticed by the leader's pidfd and looked
at with WNOWAIT, and the leader stays a zombie until the last signal has been sent. A program that moves
itself into another session is out of reach.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NO_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})
NICE_RANGE = (-20, 19)
READ_BYTES = 64 * 1024
AFTER_KILL_SECONDS = (
    1.0  # a process that is still there after SIGKILL sits in the kernel; nobody waits longer
)
PEEK_SECONDS = 0.05  # how often an end is looked for where the kernel offers no pidfd

_log = logging.getLogger(__name__)


class SpawnError(Exception):
    """The agent's program could not be started; the message is the reason, for the operator."""

    @property
    def passes(self) -> bool:
        """Whether the reason goes away by itself: the machine has no room for one more process just now."""
        return isinstance(self.__cause__, OSError) and self.__cause__.errno in NO_ROOM


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended."""

    code: int  # exit code, or number of the signal
    by_signal: bool

    def __str__(self) -> str:
        if self.by_signal:
            return f"agent was killed by signal: {self.code}.{signal.strsignal(self.code)}"
        return f"agent failed, code: {self.code}"


UNKNOWN_STATUS = ExitStatus(255, False)  # somebody else in this program has reaped our child


class AgentProcess:
    """A started process and our ends of its pipes; used by one thread at a time."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdin and popen.stdout
        self.pid = popen.pid  # of the process and of its group
        self.stdin = popen.stdin.fileno()
        self.stdout = popen.stdout.fileno()
        self.pidfd = _open_pidfd(popen.pid)  # readable when the process has ended; None: not offered here
        self.reaped = False  # nothing may be signalled any more
        self._popen = popen
        self._status: ExitStatus | None = None
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)

    def exit_status(self) -> ExitStatus | None:
        """How it ended, or None while it runs; leaves it unreaped."""
        if self._status is None:
            try:
                info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self.reaped = True
                self._status = UNKNOWN_STATUS
            else:
                if info is not None:
                    self._status = ExitStatus(info.si_status, info.si_code != os.CLD_EXITED)
        return self._status

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and all it has started."""
        if not self.reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left, or another user's
                os.killpg(self.pid, number)

    def set_nice(self, nice: int) -> None:
        """Set the group's nice value, -20 to 19; a refusal is logged and changes nothing."""
        lowest, highest = NICE_RANGE
        try:
            os.setpriority(os.PRIO_PGRP, self.pid, min(max(nice, lowest), highest))
        except OSError as error:
            facts = {"action": "nice_refused", "pid": self.pid, "nice": nice}
            _log.info("nice value %d refused for process %d: %s", nice, self.pid, error.strerror, extra=facts)

    def read(self) -> bytes | None:
        """What can be read of its output without waiting; None: nothing yet, empty: it has ended."""
        try:
            return os.read(self.stdout, READ_BYTES)
        except BlockingIOError:
            return None

    def close_stdin(self) -> None:
        """The agent sees the end of its input; harmless when done before."""
        assert self._popen.stdin
        self._popen.stdin.close()

    def hang_up(self) -> None:
        """First rung of the ladder: end of input and SIGHUP; a paused agent is woken to see them."""
        self.close_stdin()
        self.signal_group(signal.SIGHUP)
        self.resume()

    def pause(self) -> None:
        """Stop the group in its tracks."""
        self.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused group go on."""
        self.signal_group(signal.SIGCONT)

    def wait_exit(self, seconds: float) -> bool:
        """Wait for the end, throwing away what is still printed; False: it still runs."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.stdout, select.POLLIN)
        if self.pidfd is not None:
            poll.register(self.pidfd, select.POLLIN)
        while self.exit_status() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self.pidfd is None:
                left = min(left, PEEK_SECONDS)
            for fd, _ in poll.poll(left * 1000 + 1):
                if fd == self.stdout and self.read() == b"":
                    poll.unregister(fd)
        return True

    def end(self, grace_seconds: float, *, leaving: bool = False) -> bool:
        """The whole ladder, then reap. `leaving`: it has said goodbye and gets the grace before the SIGHUP.

        False: not even SIGKILL has ended it yet; call `reap` later.
        """
        self.close_stdin()
        if leaving and self.wait_exit(grace_seconds):
            return self.reap()
        self.hang_up()
        return self.finish(grace_seconds)

    def finish(self, seconds: float) -> bool:
        """The rest of the ladder after `hang_up`: wait so long, then SIGKILL, then reap."""
        if not self.wait_exit(seconds):
            self.signal_group(signal.SIGKILL)
            self.wait_exit(AFTER_KILL_SECONDS)
        return self.reap()

    def reap(self) -> bool:
        """Kill what is left of the group of an ended leader and let go of it; False: it has not ended."""
        if self.exit_status() is None:
            return False
        self.signal_group(signal.SIGKILL)
        self._popen.wait()
        self.reaped = True
        self.close_stdin()
        assert self._popen.stdout
        self._popen.stdout.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        return True


def spawn(
    argv: Sequence[str], cwd: str, *, environment: Mapping[str, str] | None = None, nice: int = 0
) -> AgentProcess:
    """Start a program in its own process group, its output and errors in one pipe; SpawnError says why not.

    Without an `environment` it inherits ours, which costs least. `nice` is set afterwards, since code between
    fork and exec would make every start several times as costly; 0 keeps ours.
    """
    try:
        popen = subprocess.Popen(
            argv,
            executable=_from_here(argv[0]),
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            process_group=0,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SpawnError(_why(error, argv[0], cwd)) from error
    process = AgentProcess(popen)
    if nice:
        process.set_nice(nice)
    return process


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or refused by a container's filter
        return None


def _from_here(program: str) -> str:
    """A relative path is relative to our folder, not to the agent's; Path leaves `..` to the system."""
    return program if program.startswith("/") else str(Path.cwd() / program)


def _why(error: Exception, program: str, cwd: str) -> str:
    """A reason the operator can act on."""
    if not isinstance(error, OSError):
        return f"{program} cannot be started: {error}"
    match error.errno:
        case errno.ENOENT if not Path(cwd).is_dir():
            return f"{program} cannot be started: no folder {cwd}"
        case errno.ENOENT if Path(program).exists():
            return f"{program} cannot be started: the interpreter in its first line does not exist"
        case errno.E2BIG:
            return f"{program} cannot be started: its command line is too long"
        case errno.ENOEXEC:
            return f"{program} cannot be started: neither a binary for this machine nor a script with #!"
        case _:
            return f"{program} cannot be started: {error.strerror}"
