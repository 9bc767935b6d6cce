"""Ends agents of this installation whose worker has died: at a worker's start, and every ten seconds after it."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterable

from psycopg.conninfo import conninfo_to_dict

from scheduler_bridge.model.mark import VARIABLE, Mark, life_in_name
from scheduler_bridge.orphans import has_ended, kill_orphans, life_of, of_dead_workers

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
FIRST_LOOK_SECONDS = 15.0
PLACE = ("service", "host", "hostaddr", "port", "dbname")  # where a database is, without whoever opens it


def installation(database_url: str) -> str:
    """Tells the workers on one database from all others: 16 hexadecimal digits. URL or libpq's pairs."""
    place = conninfo_to_dict(database_url)
    return hashlib.sha256(repr([place.get(key) for key in PLACE]).encode()).hexdigest()[:16]


def mark_for_agents(installation: str, owner: str) -> dict[str, str]:
    """What this worker puts into its environment, for its agents; empty where nobody could read it."""
    life = life_of(os.getpid())
    return {VARIABLE: str(Mark(installation, life, owner))} if life is not None else {}


def dead_among(owners: Iterable[str]) -> list[str]:
    """Those of these workers that are certainly dead: their life is in their name."""
    lives = {owner: life_in_name(owner) for owner in owners}
    return [owner for owner, life in lives.items() if life is not None and has_ended(life)]


class OrphanWatch:
    """Looks in a thread of its own: to read about a process that hangs in the kernel may hang too, and leases
    must be renewed meanwhile."""

    def __init__(self, installation: str) -> None:
        self._installation = installation
        self._looked = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> bool:
        """Begin; returns when the first look is over: what a dead worker has left here runs no more.

        False: the look did not come to its end in time, and nothing is known.
        """
        threading.Thread(target=self._run, name="orphans", daemon=True).start()
        looked = self._looked.wait(FIRST_LOOK_SECONDS)
        if not looked:
            log.error("no answer about running processes", extra={"action": "orphans_unknown"})
        return looked

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look()
            except Exception:
                log.exception("orphans could not be looked for", extra={"action": "orphans_failed"})
            self._looked.set()
            self._stopped.wait(LOOK_SECONDS)

    def _look(self) -> None:
        for orphan in kill_orphans(of_dead_workers(self._installation)):
            facts = {"action": "orphan_killed", "pid": orphan.life.pid, "owner": orphan.mark.owner}
            log.warning("killed %s, which has died", orphan, extra=facts)
