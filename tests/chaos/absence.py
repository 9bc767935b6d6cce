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
        self._lasting: dict[str, Absence] = {}
        self._dead: set[str] = set()  # those of them that end with a new worker's report
        self._over: list[Absence] = []

    @property
    def all(self) -> tuple[Absence, ...]:
        """Those that are over, and those that are not."""
        return (*self._over, *self._lasting.values())

    @property
    def dead(self) -> Collection[str]:
        """Hosts whose next worker has not reported."""
        return frozenset(self._dead)

    def stop(self, host: str) -> None:
        """Its worker is about to be stopped; perhaps before it could do anything after the last time."""
        now = time.time()
        just_over = next((one for one in self._over if one.host == host and one.until > now), None)
        if just_over:
            self._over.remove(just_over)
        since = just_over.since if just_over else now
        self._lasting.setdefault(host, Absence(host, since))

    def go_on(self, host: str) -> None:
        """Its worker has been continued, if it was not dead meanwhile."""
        if host in self._lasting and host not in self._dead:
            self._end(host, ENDING_SECONDS)

    def kill(self, host: str) -> None:
        """Its worker is about to be killed."""
        self.stop(host)
        self._dead.add(host)

    def report(self, host: str) -> None:
        """Its next worker has been seen in the database."""
        if host in self._dead:
            self._dead.discard(host)
            self._end(host, 0.0)

    def _end(self, host: str, seconds: float) -> None:
        self._over.append(replace(self._lasting.pop(host), until=time.time() + seconds))
