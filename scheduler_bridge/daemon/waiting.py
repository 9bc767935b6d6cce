"""Waiting for a database that cannot be reached at the start: in the log, with signals heeded, and no starter kept."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from scheduler_bridge import wiring
from scheduler_bridge.daemon.detach import Starter
from scheduler_bridge.daemon.main_log import MainLog, Records

STARTER_SECONDS = 10.0  # where scripts start one thing after the other, the database may come after us
REMARK = "waiting for the database, which cannot be reached; see the log"


class _Waiting:
    """What happens between two attempts."""

    def __init__(self, log: MainLog, starter: Starter) -> None:
        self._log = log
        self._starter = starter
        self._tell_at = time.monotonic() + STARTER_SECONDS
        self._hung_up = False

    def hang_up(self, *_: object) -> None:
        """SIGHUP: the log may have been moved away; the parts have not read their configuration yet."""
        self._hung_up = True

    def heed(self) -> None:
        """Do what was asked for."""
        if self._hung_up:
            self._hung_up = False
            self._log.reopen()

    def pause(self, seconds: float) -> None:
        """Until the next attempt."""
        self.heed()
        if time.monotonic() >= self._tell_at:
            self._starter.tell_up(REMARK)
        time.sleep(seconds)


def once_there(url: str, work: Callable[[], None], log: MainLog, starter: Starter) -> None:
    """Do `work` once the database can be reached, again from its beginning when it goes away meanwhile.

    After STARTER_SECONDS whoever has started a daemon hears that it waits, and takes it for up. SIGHUP opens the log
    anew. Raises SettingsError where the database refuses us for good, and whatever else `work` raises.
    """
    waiting = _Waiting(log, starter)
    signal.signal(signal.SIGHUP, waiting.hang_up)
    with Records(log):
        wiring.once_there(url, work, pause=waiting.pause)
    waiting.heed()
