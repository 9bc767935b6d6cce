"""A broker that is frozen, emptied, killed or not there yet, and processes that come and go around it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import redis

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.dispatch.application import PUBLISH_SECONDS, BridgeCelery, make_application
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.quiet import QUIET_SECONDS, Quiet
from scheduler_bridge.dispatch.routes import HOUSEKEEPING, LOOK_AGAIN
from scheduler_bridge.embedded import valkey
from scheduler_bridge.errors import PublishError
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.fragments import Fan, Fragment, Hint, Line
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, small_fleet, started, until

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

CELERY = [sys.executable, "-m", "celery", "-A", "tasks"]
LIGHT = ["--loglevel=INFO", "--without-gossip", "--without-mingle", "-c", "2"]
COMMANDS = {
    "bridge": ["scheduler-bridge", "bridge"],
    "worker": [*CELERY, "worker", *LIGHT],
    "housekeeping": [*CELERY, "worker", *LIGHT, "-Q", HOUSEKEEPING, "-n", "housekeeping@%h"],
    "old": [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.integration.older",
        "worker",
        *LIGHT,
        "-n",
        "old@%h",
    ],
    "beat": [*CELERY, "beat", "--loglevel=INFO", "--pidfile="],
    "web": [*CELERY, "monitor"],
}
FAIL_OVER_SECONDS = 10.0
WITHIN_SECONDS = PUBLISH_SECONDS + 0.25  # on a busy machine
EACH_FOR_ITSELF = Quiet(0.0)
STREAMS = 12
# Of a chord, the body and one task.
BODY = {"task": LOOK_AGAIN, "args": [1, 1], "kwargs": {}, "options": {}, "chord_size": 2}
MEMBER = SimpleNamespace(id="member", group="group", group_index=0, chord=BODY)
JOBS = {number: Job(number, 1, "quick") for number in range(1, 31)}


class Broker:
    """A Valkey of this test's own, which can be stopped, killed and started again without its data."""

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
        """End for good."""
        self.thaw()
        self._running.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.close()


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return small_fleet(tmp_path)


@pytest.fixture
def start(start_process: Start, variables: dict[str, str], broker: Broker) -> Start:
    """Start one of COMMANDS on this test's broker; the broker goes on before they are ended."""

    def start(name: str, ready_text: str = "", **more: str) -> Any:
        own = {"REDIS_URL": broker.url, **variables, **more}
        return start_process(name, COMMANDS[name], ready_text=ready_text, **own)

    return start


def application(broker: Broker, quiet: Quiet | None = None) -> BridgeCelery:
    app = make_application(redis_settings(broker.url))
    app.quiet = quiet or app.quiet
    return app


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def a_stream_to_run(connection: Connection) -> list[int]:
    """Two jobs at once and one after both: a chord."""
    jobs = (a_job("quick", name="a"), a_job("quick", name="b"), a_job("quick", name="c", needs=("a", "b")))
    return list(insert(connection, a_stream(*jobs)).jobs.values())


FRAGMENTS: dict[str, list[Fragment]] = {
    "a hint": [Hint(1)],
    "thirty hints": [Hint(number) for number in JOBS],
    "a chain": [Line((1, 2, 3))],
    "chords": [Fan(((1, 2), (3,)), 1), Fan(((4,), (5,)), 1)],
}


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "not connected"])
def test_whoever_publishes_to_a_frozen_broker_is_told_after_half_a_second(broker: Broker, warm: bool) -> None:
    publisher = Publisher(application(broker, EACH_FOR_ITSELF))
    if warm:
        publisher.publish([part for parts in FRAGMENTS.values() for part in parts], JOBS)
    broker.freeze()

    def refused(fragments: list[Fragment]) -> None:
        with pytest.raises(PublishError):
            publisher.publish(fragments, JOBS)

    twice = [*FRAGMENTS, *FRAGMENTS]
    taken = {what: seconds_of(partial(refused, FRAGMENTS[what])) for what in twice}
    assert max(taken.values()) < WITHIN_SECONDS, taken
    broker.thaw()
    publisher.publish(FRAGMENTS["a hint"], JOBS)


def test_whoever_counts_in_a_frozen_broker_goes_on_after_half_a_second(broker: Broker) -> None:
    app = application(broker, EACH_FOR_ITSELF)

    def count() -> None:
        app.backend.on_chord_part_return(MEMBER, "SUCCESS", None)

    count()
    broker.freeze()
    assert max(seconds_of(count) for _ in range(3)) < WITHIN_SECONDS


@pytest.mark.parametrize("script", ["_chord_part_return_script", "_chord_claim_extend_script"])
def test_a_chord_whose_broker_freezes_while_its_last_member_ends_costs_half_a_second(
    script: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first script its results are read, after the second its body is published."""
    app = application(broker)
    run = getattr(app.backend, script)

    def run_and_freeze(**arguments: Any) -> Any:
        answer = run(**arguments)
        broker.freeze()
        return answer

    monkeypatch.setitem(app.backend.__dict__, script, run_and_freeze)
    app.backend.set_chord_size(MEMBER.group, 1)
    Publisher(app).publish(FRAGMENTS["a hint"], JOBS)  # connected
    taken = seconds_of(lambda: app.backend.on_chord_part_return(MEMBER, "SUCCESS", None))
    assert PUBLISH_SECONDS <= taken < WITHIN_SECONDS


def test_a_pass_over_many_streams_costs_half_a_second_on_a_frozen_broker_and_is_repeated_later(
    broker: Broker, connection: Connection, database: str
) -> None:
    app = application(broker)
    store = PostgresStore(database)
    host = Host("h1", 2)
    store.publish_configuration([AgentType("quick", ("quick",), Path())], [host])
    store.register_host(host, "worker@h1.1", ["quick"])
    for _ in range(STREAMS):
        insert(connection, a_stream(a_job("quick")))
    proposals = Proposals(store, Publisher(app))
    proposed = "select count(*) from scheduler_bridge.open_job where proposed_at is not null"
    broker.freeze()
    taken = seconds_of(Bridge(store, proposals, owner="b").tick)
    assert PUBLISH_SECONDS <= taken < PUBLISH_SECONDS + QUIET_SECONDS
    assert connection.execute(proposed).fetchone() == (0,)
    broker.thaw()

    def propose() -> bool:
        proposals.top_up()
        return connection.execute(proposed).fetchone() == (STREAMS,)

    until(propose, "all hints", 2 * QUIET_SECONDS)
    store.close()


def test_events_cost_half_a_second_once_and_then_nothing_while_the_broker_is_frozen(broker: Broker) -> None:
    with application(broker).connection_for_write() as connection:
        dispatcher = application(broker).events.Dispatcher(connection, hostname="w", buffer_group=["task"])
        dispatcher.send("worker-heartbeat")
        broker.freeze()

        def publish_batches() -> None:
            for _ in range(50):
                dispatcher.send("task-started", uuid="u")
                dispatcher.flush()

        assert seconds_of(publish_batches) < WITHIN_SECONDS
        broker.thaw()


def test_a_publisher_whose_broker_refuses_what_it_writes_is_told(broker: Broker) -> None:
    app = application(broker)
    with redis.Redis.from_url(broker.url) as client:
        client.config_set("maxmemory", "1")
        for fragments in FRAGMENTS.values():
            with pytest.raises(PublishError):
                Publisher(app).publish(fragments, JOBS)


def test_jobs_end_and_are_written_while_the_broker_is_frozen_and_the_rest_runs_later(
    start: Start, broker: Broker, connection: Connection
) -> None:
    start("bridge", "bridge ready")
    start("worker", " ready.")
    naps = [a_job("nap", name=name, args="2") for name in ("a", "b")]
    stream = insert(connection, a_stream(*naps, a_job("quick", name="c", needs=("a", "b"))))
    announce(connection)
    started(connection, stream["b"])
    broker.freeze()
    assert ended(connection, stream["a"], stream["b"]) == ["Completed"] * 2
    held = "select count(*) from scheduler_bridge.attempt where ending is null"
    until(lambda: connection.execute(held).fetchone() == (0,), "their ends")
    broker.thaw()
    assert ended(connection, stream["c"]) == ["Completed"]
    assert connection.execute("select count(*) from scheduler_bridge.attempt").fetchone() == (3,)


@pytest.mark.parametrize("seconds", [0.0, 3.0], ids=["at once", "after a while"])
def test_a_broker_that_comes_back_empty_costs_no_job_and_no_agent(
    seconds: float, start: Start, broker: Broker, connection: Connection
) -> None:
    processes = [
        start(name, ready)
        for name, ready in (("bridge", "bridge ready"), ("worker", " ready."), ("beat", ""))
    ]
    processes.append(start("housekeeping", " ready."))
    nap = insert(connection, a_stream(a_job("nap", args="6")))["nap"]
    announce(connection)
    started(connection, nap)
    broker.kill()
    jobs = a_stream_to_run(connection)
    announce(connection)
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, "the time to come back")
    broker.start()
    assert ended(connection, nap, *jobs) == ["Completed"] * 4
    assert connection.execute("select count(*) from scheduler_bridge.attempt").fetchone() == (4,)
    assert all(process.status == "running" for process in processes)
    assert not any("Traceback" in process.logs() for process in processes)


def test_beat_says_in_one_line_what_a_frozen_broker_does_not_take_and_goes_on(
    start: Start, broker: Broker
) -> None:
    beat = start("beat", "Starting")
    with redis.Redis.from_url(broker.url) as client:
        until(lambda: client.llen(HOUSEKEEPING), "beat to ask for a sweep")
        broker.freeze()
        missed = "sweep is not asked for: the broker took no message"
        until(lambda: beat.logs().count(missed) > 1, "beat to say so")
        broker.thaw()
        client.delete(HOUSEKEEPING)
        until(lambda: client.llen(HOUSEKEEPING), "beat to go on")
    assert beat.status == "running" and "Traceback" not in beat.logs()


def test_processes_that_start_before_the_broker_begin_with_it(
    start: Start, broker: Broker, connection: Connection
) -> None:
    broker.kill()
    for name in ("beat", "housekeeping", "worker"):
        start(name, "Trying again in")
    start("bridge", "bridge ready")
    web = start("web", "Visit me", PORT="0")
    jobs = a_stream_to_run(connection)
    announce(connection)
    broker.start()
    assert ended(connection, *jobs) == ["Completed"] * 3
    until(lambda: "Connected to" in web.logs(), "the monitor to find the broker")


def test_sweeps_go_on_when_one_of_two_beats_and_one_of_two_housekeepings_is_killed(
    start: Start, broker: Broker, connection: Connection
) -> None:
    usual = {"SCHEDULER_BRIDGE_SWEEP_SECONDS": "5"}
    first = [start(name, **usual) for name in ("beat", "housekeeping")]
    second = [start(name, **usual) for name in ("beat", "housekeeping")]
    swept = "select extract(epoch from nullif(swept_at, '-infinity'))::float8 from scheduler_bridge.progress"

    def next_sweep(after: float, patience: float) -> float:
        def later() -> float | None:
            (found,) = connection.execute(swept).fetchone() or (None,)
            return found if found and found > after else None

        return float(until(later, "a sweep", patience))

    at = next_sweep(0, 30)
    for process in first:
        process.kill()
    for _ in range(2):
        at = next_sweep(at, FAIL_OVER_SECONDS)
    assert all(process.status == "running" for process in second)


def test_a_message_of_another_version_does_not_lose_its_job(start: Start, connection: Connection) -> None:
    old = start("old", " ready.", SCHEDULER_BRIDGE_HOST="old")
    start("bridge", "bridge ready")
    job = insert(connection, a_stream(a_job("quick")))["quick"]
    announce(connection)
    ignored = f"job {job}: message of version 1 ignored"
    until(lambda: ignored in old.logs(), "the old worker to leave it")
    start("worker", " ready.", SCHEDULER_BRIDGE_HOST="new")
    assert ended(connection, job) == ["Completed"]
    assert old.logs().count(ignored) < 10 and old.status == "running"
    assert connection.execute("select host from scheduler_bridge.attempt").fetchall() == [("new",)]


def test_old_and_new_workers_on_one_queue_run_every_job_once(start: Start, connection: Connection) -> None:
    start("old", " ready.", SCHEDULER_BRIDGE_HOST="old")
    start("worker", " ready.", SCHEDULER_BRIDGE_HOST="new")
    start("bridge", "bridge ready")
    jobs = insert(connection, a_stream(*[a_job("quick", name=f"q{n}") for n in range(6)])).jobs.values()
    announce(connection)
    # Half of the hints go to the old one, and each is offered again half a second later than before.
    assert ended(connection, *jobs, seconds=90) == ["Completed"] * 6
    hosts = "select host, count(*) from scheduler_bridge.attempt group by host"
    assert connection.execute(hosts).fetchall() == [("new", 6)]
