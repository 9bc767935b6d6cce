"""What commands find out about the process behind the port, and tell it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from scheduler_bridge.commands.replies import SchedulerLine

log = logging.getLogger(__name__)

NOTES_ABOVE = 0  # verbosity from which on notes are logged
UNKNOWN = "unknown"  # revision of a folder without VERSION


@dataclass(frozen=True, slots=True)
class Master:
    """The `fo_scheduler` whose part this bridge is; it has put what it is into our environment."""

    pid: int
    daemon: bool
    log: str
    verbosity: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Master | None:
        """None: this bridge is nobody's part."""
        pid = environment.get("FO_SCHEDULER_PID", "")
        if pid != str(os.getppid()):  # else it is what some older process has left there
            return None
        daemon = environment.get("FO_SCHEDULER_DAEMON") == "1"
        verbosity = int(environment.get("FO_SCHEDULER_VERBOSE", "0"))
        return cls(int(pid), daemon, environment.get("FO_SCHEDULER_LOG", ""), verbosity)


class BridgeControl:
    """The bridge for its command port; called by several threads."""

    def __init__(
        self, environment: Mapping[str, str], *, wake: Callable[[], None], reload: Callable[[], None]
    ) -> None:
        self._master = Master.of(environment)
        self._verbosity = self._master.verbosity if self._master else 1
        self._line = SchedulerLine(
            pid=self._master.pid if self._master else os.getpid(),
            revision=UNKNOWN,
            daemon=self._master is not None and self._master.daemon,
            jobs=0,
            log=self._master.log if self._master else "stderr",
            port=0,
            verbose=self._verbosity,
        )
        self.wake = wake
        self.reload = reload

    @property
    def verbosity(self) -> int:
        """Level or mask of the scheduler's log."""
        return self._verbosity

    @verbosity.setter
    def verbosity(self, level: int) -> None:
        self._verbosity = level
        log.warning("verbosity is now %d", level, extra={"action": "verbosity"})
        if self._master is None:
            logging.getLogger().setLevel(logging.INFO if level > NOTES_ABOVE else logging.WARNING)

    def describe(self, *, port: int, revision: str | None) -> None:
        """Know what `status` shows of this process."""
        self._line = replace(self._line, port=port, revision=revision or UNKNOWN)

    def scheduler_line(self) -> SchedulerLine:
        """What `status` shows of this process."""
        return replace(self._line, verbose=self._verbosity)

    def stop(self) -> None:
        """End once everything that runs on this host has ended; a bridge of its own simply ends."""
        self._signal(signal.SIGTERM)

    def die(self) -> None:
        """End now; running jobs go back to the queue."""
        self._signal(signal.SIGQUIT)

    def _signal(self, number: signal.Signals) -> None:
        if self._master is None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            os.kill(self._master.pid, number)
