"""Servers that tests may stop, the processes that live on them, and how jobs came through."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from scheduler_bridge.embedded import postgres, valkey
from scheduler_bridge.migrate import create_queue, migrate
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Work
from scheduler_bridge.servers import Server
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.conftest import TEMPLATE, UNSAFE_BUT_FAST, copy_of
from tests.integration.fleet import announce, passed, started, until

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

CELERY = [sys.executable, "-m", "celery", "-A"]
LIGHT = ["--loglevel=INFO", "--without-gossip", "--without-mingle", "-c", "2"]
COMMANDS = {
    "bridge": ["scheduler-bridge", "bridge"],
    "worker": [*CELERY, "tasks", "worker", *LIGHT],
    "housekeeping": [*CELERY, "tasks", "worker", *LIGHT, "-Q", HOUSEKEEPING, "-n", "housekeeping@%h"],
    "old": [*CELERY, "tests.integration.older", "worker", *LIGHT, "-n", "old@%h"],
    "beat": [*CELERY, "tasks", "beat", "--loglevel=INFO", "--pidfile="],
    "web": [*CELERY, "tasks", "monitor"],
    "up": ["scheduler-bridge", "up"],
    "migrate": ["scheduler-bridge", "migrate", "--wait"],
}
READY = {"bridge": "bridge ready", "worker": " ready.", "housekeeping": " ready.", "beat": "Starting"}
WAITS = "waiting to start: the database cannot be reached"


class Database:
    """One with the queue's tables and our schema, on a PostgreSQL that nobody else uses meanwhile."""

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self.url = url

    def stop(self) -> None:
        """Every connection is closed, new ones are refused."""
        os.kill(self._server.process.pid, signal.SIGINT)
        self._server.process.wait()

    def start(self) -> None:
        """On the same data and port; returns when it answers."""
        self._server.start_again()
        until(self._answers, "the database")

    def stop_for(self, seconds: float) -> None:
        """An outage."""
        self.stop()
        passed(seconds)
        self.start()

    def connect(self) -> Connection:
        """Each statement is committed at once."""
        return psycopg.connect(self.url, autocommit=True)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def mortal_postgres(folder: Path) -> Iterator[Server]:
    """A PostgreSQL with the template, which tests stop by a `Database` of its own."""
    with postgres(folder, UNSAFE_BUT_FAST, database=TEMPLATE) as server:
        create_queue(server.url)
        migrate(server.url)
        yield server


@contextmanager
def a_database(server: Server) -> Iterator[Database]:
    """A new one on it; in the end the server runs, whatever was done to it."""
    with copy_of(server.url.removesuffix(f"/{TEMPLATE}"), TEMPLATE) as url:
        database = Database(server, url)
        try:
            yield database
        finally:
            if server.ended:
                database.start()


class Broker:
    """A Valkey of one test's own, which can be stopped, killed and started again without its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        """Where it was before, empty."""
        server = self._running.enter_context(valkey(self._folder))
        self.url, self._pid = server.url, server.process.pid

    def kill(self) -> None:
        """At once, with all that it knew."""
        os.kill(self._pid, signal.SIGKILL)
        self._running.close()
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """End for good, also when it has been killed."""
        with suppress(ProcessLookupError):
            self.thaw()
        self._running.close()


def starter(start_process: Start, variables: dict[str, str]) -> Start:
    """What starts one of COMMANDS with these variables: `start("worker", "ready text", NAME="value")`."""

    def start(name: str, ready_text: str = "", **more: str) -> Any:
        return start_process(name, COMMANDS[name], ready_text=ready_text, **{**variables, **more})

    return start


def fleet(start: Start, **variables: str) -> list[Any]:
    """All that runs jobs, ready."""
    return [start(name, text, **variables) for name, text in READY.items()]


def naps(connection: Connection, *seconds: float) -> list[int]:
    """One running job for each; returns when their agents have begun."""
    streams = [insert(connection, a_stream(a_job("nap", args=f"{time}"))) for time in seconds]
    announce(connection)
    jobs = [stream["nap"] for stream in streams]
    for job in jobs:
        started(connection, job)
    return jobs


def attempts(connection: Connection, job: int) -> list[str]:
    """How they ended."""
    query = "select ending from scheduler_bridge.attempt where job = %s order by epoch"
    return [ending for (ending,) in connection.execute(query, [job]).fetchall()]


def claimed(store: PostgresStore, connection: Connection) -> Work:
    """A job whose lease has expired as soon as it is claimed, where the store's leases are as short."""
    store.publish_configuration([AgentType("quick", ("quick",), Path())], [Host("h1", 1)])
    store.register_host(Host("h1", 1), "worker@h1.1", ["quick"])
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    store.observe()
    work = store.claim(job, "worker@h1.1", "h1")
    assert isinstance(work, Work) and store.started(work, 1)
    return work
