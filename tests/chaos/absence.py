"""When nobody on a host could end its agents: the only times at which two agents may work on one job.

A worker ends its own agents before their leases can be given away, and those of a dead worker before it takes a job. It
can do neither while it does not run. So there are two such times, and they are all:

- Its process is stopped (alone, or with the whole machine): its watcher runs no more than the rest of it, the lease
  expires and another host repeats the job. Over when it is continued, and ENDING_SECONDS later, for what it does then
  takes a moment.
- It is dead and no other runs there yet: leases of it that expire meanwhile are repeated elsewhere. Over when the next
  worker of that host has reported, since it looks for orphans before that. A job that was free because somebody knew
  its worker to be dead, which only that next worker can know, is no such case: what it frees it has ended first.

Not among them, since the product must prevent it: a database, a broker or a connection that is away, slow or frozen
(the watcher asks nothing but the steady clock); a crash of PostgreSQL (starts and renewals are flushed, and a claim
that was lost has given no agent its data); a clock that is set; an agent that is stopped (SIGKILL ends it all the
same); any second attempt on the same host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

ENDING_SECONDS = 1.0  # from SIGCONT to the end of the last agent; takes milliseconds when the machine is idle


@dataclass(frozen=True, slots=True)
class Absence:
    """No worker of a host ran from then until then; wall clock."""

    host: str
    since: float
    until: float = math.inf

    def covers(self, from_: float, until: float) -> bool:
        """Whether it had begun then and lasted until then."""
        return self.since <= from_ <= until <= self.until


class Absences:
    """Kept while faults are carried out."""

    def __init__(self) -> None:
        self._stopped: dict[str, Absence] = {}  # until they are continued
        self._dead: dict[str, Absence] = {}  # until a new worker has reported
        self._over: list[Absence] = []

    @property
    def all(self) -> tuple[Absence, ...]:
        """Those that are over, and those that are not."""
        return (*self._over, *self._stopped.values(), *self._dead.values())

    @property
    def dead(self) -> Collection[str]:
        """Hosts whose next worker has not reported."""
        return frozenset(self._dead)

    def stop(self, host: str) -> None:
        """Its worker is about to be stopped, perhaps a new one of which nothing has been seen yet."""
        self._stopped.setdefault(host, Absence(host, self._since(host)))

    def go_on(self, host: str) -> None:
        """Its worker has been continued, if it was not killed meanwhile."""
        if stopped := self._stopped.pop(host, None):
            self._over.append(replace(stopped, until=time.time() + ENDING_SECONDS))

    def kill(self, host: str) -> None:
        """Its worker is about to be killed."""
        since = self._since(host)
        self._stopped.pop(host, None)  # the next one is another process
        self._dead.setdefault(host, Absence(host, since))

    def report(self, host: str) -> None:
        """Its next worker has been seen in the database."""
        if dead := self._dead.pop(host, None):
            self._over.append(replace(dead, until=time.time()))

    def _since(self, host: str) -> float:
        """Since when nobody on a host could do anything, if that begins or goes on now."""
        now = time.time()
        lasting = [one.since for one in self.all if one.host == host and one.until > now]
        return min(lasting, default=now)
