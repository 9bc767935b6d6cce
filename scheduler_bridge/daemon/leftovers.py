"""What workers of this host that were killed still hold: freed when the scheduler ends.

A worker frees its rows itself. One that was killed cannot, and while no other host runs a sweep nobody would: for
FOSSology's scheduler, which may be the next one, the rows would stay started for ever.
"""

from __future__ import annotations

from contextlib import closing

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scheduler_bridge.daemon.database import connected
from scheduler_bridge.orphan_watch import dead_among
from scheduler_bridge.store.postgres import PostgresStore

STATEMENT_MILLISECONDS = 5_000  # a lock that somebody holds must not keep the scheduler from ending


def free_rows(url: str, host: str) -> list[int]:
    """Free the jobs of dead workers of this host, whose agents must be dead too; the jobs. Raises psycopg.Error."""
    connected(url).close()  # the store would wait for a server that is away
    given = conninfo_to_dict(url).get("options") or ""
    bounded = make_conninfo(url, options=f"{given} -c statement_timeout={STATEMENT_MILLISECONDS}".strip())
    with closing(PostgresStore(bounded, connections=1)) as store:
        dead = dead_among(store.owners_on(host))
        return store.reclaim(dead) if dead else []
