"""What the scheduler asks of the database itself, before its parts run and when they are to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from scheduler_bridge.daemon.errors import QueueError
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.orphan_watch import dead_among
from scheduler_bridge.servers import listens

CONNECT_SECONDS = 10
ASK_AGAIN_SECONDS = 2.0
COLUMNS = {
    "job": "job_pk job_queued job_priority job_name job_upload_fk job_user_fk job_group_fk",
    "jobdepends": "jdep_jq_fk jdep_jq_depends_fk",
    "jobqueue": "jq_pk jq_job_fk jq_type jq_args jq_starttime jq_endtime jq_endtext jq_end_bits jq_schedinfo"
    " jq_itemsprocessed jq_log jq_runonpfile jq_host jq_cmd_args",
}
PRESENT = """
select table_name || '.' || column_name from information_schema.columns
where table_schema = 'public' and table_name = any(%s)
"""
BRIDGES = """
select owner from scheduler_bridge.bridge
where host = %s and port = %s and seen_at > now() - interval '1 minute'
"""


def connected(url: str) -> psycopg.Connection[Any]:
    """A connection in autocommit mode."""
    return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)


def require_columns(url: str) -> None:
    """Raise QueueError where the queue's tables lack what the scheduler works with."""
    wanted = {f"{table}.{column}" for table, columns in COLUMNS.items() for column in columns.split()}
    with connected(url) as connection:
        present = {name for (name,) in connection.execute(PRESENT, [list(COLUMNS)])}
    if missing := sorted(wanted - present):
        raise QueueError(f"the database lacks {', '.join(missing)}: is it FOSSology's, and of this version?")


def reset_queue(url: str) -> int:
    """Free the rows that another scheduler has left as started; how many."""
    with connected(url) as connection:
        row = connection.execute("select scheduler_bridge.reset_queue()").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def require_port(url: str, host: str, port: int) -> None:
    """Raise BridgeError where somebody holds the port who is no bridge of ours: jobs would run twice."""
    if port == 0 or not listens(port):
        return
    with connected(url) as connection:
        owners = [owner for (owner,) in connection.execute(BRIDGES, [host, port])]
    if set(owners) <= set(dead_among(owners)):  # a registration outlives its bridge by a minute
        raise BridgeError(
            f"port {port} is held by a program that is no bridge on this database, most likely another"
            " fo_scheduler, and jobs would run twice: stop FOSSology's by `fo_cli --stop`, another of ours by"
            " `fo_scheduler --shutdown --config` with its own folder, or use another port (-p)"
        )


class Drain:
    """Asks again and again, in a thread of its own: the database may be away just now, or the worker not yet there."""

    def __init__(self, url: str, host: str, tell: Callable[[str], None]) -> None:
        """`tell` gets what goes wrong, from that thread."""
        self._url = url
        self._host = host
        self._tell = tell
        self._over = threading.Event()
        self.begun = False

    def begin(self) -> None:
        """From now on nothing new shall start on the host; its worker leaves after its last job."""
        self.begun = True
        threading.Thread(target=self._ask, name="drain", daemon=True).start()

    def end(self) -> None:
        """The worker has left."""
        self._over.set()

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                with connected(self._url) as connection:
                    request_drain(connection, self._host)
            except psycopg.Error as error:
                self._tell(f"the host could not be drained: {' '.join(str(error).split())}")
            self._over.wait(ASK_AGAIN_SECONDS)


def request_drain(connection: psycopg.Connection[Any], host: str) -> bool:
    """Write down that the host is to be drained; False: nobody knows it yet."""
    row = connection.execute("select scheduler_bridge.drain_host(%s, null)", [host]).fetchone()
    return bool(row and row[0])
