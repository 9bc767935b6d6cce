"""The process of one part of the Procfile: started, ended, and what it has left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from scheduler_bridge.launch import launcher
from scheduler_bridge.model.mark import Life
from scheduler_bridge.orphans import life_of
from scheduler_bridge.output import Output
from scheduler_bridge.procfile import Backoff, Part

KEPT_LIVES = 16  # of a part, to look again for what was not dead soon after its end


class PartProcess:
    """A part and its present process, if it has one."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.backoff = Backoff()
        self.start_at = 0.0  # monotonic; when it is to be started, while it does not run
        self.started_at = 0.0
        self.ends = 0
        self.retired = False  # is not to be started again
        self.ending = False  # has been told to, otherwise than by SIGTERM
        self.child: subprocess.Popen[bytes] | None = None
        self.lives: deque[Life] = deque(maxlen=KEPT_LIVES)  # present and former, where they can be told

    def start(self, environment: Mapping[str, str], folder: Path, output: Output) -> None:
        """Give it a process; from the main thread, whose end its death signal tells."""
        target = output.target(self.part.name)
        self.child = subprocess.Popen(
            launcher(self.part.command, death_signal=signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
        )
        self.started_at = time.monotonic()
        life = life_of(self.child.pid)
        if life is not None:
            self.lives.append(life)
        if not isinstance(target, int):
            target.close()
        output.follow(self.part.name, self.child.stdout)

    def reap(self) -> int | None:
        """Exit status when it has ended since the last look; what it left in its group is ended too."""
        if self.child is None or self.child.poll() is None:
            return None
        status, pid = self.child.returncode, self.child.pid
        self.child = None
        self.ends += 1
        _kill_group(pid)
        self.backoff = self.backoff.after(time.monotonic() - self.started_at)
        self.start_at = time.monotonic() + self.backoff.delay_seconds
        return status

    @property
    def to_start(self) -> bool:
        """It does not run and shall."""
        return self.child is None and not self.retired

    def send(self, number: signal.Signals) -> None:
        """A signal to the main process alone: it knows what to do with its own."""
        if self.child is not None:
            self.child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        if self.child is not None:
            self.child.kill()  # has no group of its own yet in the first moment of its life
            _kill_group(self.child.pid)
            self.child.wait()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
