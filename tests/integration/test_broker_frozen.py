"""A broker that takes connections and says nothing, or refuses what it is told, and whoever talks to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from scheduler_bridge.bridge import Bridge
from scheduler_bridge.dispatch.application import PUBLISH_SECONDS, BridgeCelery, make_application
from scheduler_bridge.dispatch.canvas import Publisher
from scheduler_bridge.dispatch.quiet import QUIET_SECONDS, Quiet
from scheduler_bridge.dispatch.routes import HOUSEKEEPING, LOOK_AGAIN
from scheduler_bridge.errors import PublishError
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.fragments import Fan, Fragment, Hint, Line
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.fleet import announce, ended, small_fleet, started, until
from tests.integration.outages import Broker, Connection, Start, starter

WITHIN_SECONDS = PUBLISH_SECONDS + 0.25  # on a busy machine
EACH_FOR_ITSELF = Quiet(0.0)
STREAMS = 12
# Of a chord, the body and one task.
BODY = {"task": LOOK_AGAIN, "args": [1, 1], "kwargs": {}, "options": {}, "chord_size": 2}
MEMBER = SimpleNamespace(id="member", group="group", group_index=0, chord=BODY)
JOBS = {number: Job(number, 1, "quick") for number in range(1, 31)}
FRAGMENTS: dict[str, list[Fragment]] = {
    "a hint": [Hint(1)],
    "thirty hints": [Hint(number) for number in JOBS],
    "a chain": [Line((1, 2, 3))],
    "chords": [Fan(((1, 2), (3,)), 1), Fan(((4,), (5,)), 1)],
}


@pytest.fixture
def start(own_broker: Broker, start_process: Start, tmp_path: Path) -> Start:
    """Start one of COMMANDS on a broker that the test may stop; it goes on before they are ended."""
    return starter(start_process, {**small_fleet(tmp_path), "REDIS_URL": own_broker.url})


def application(broker: Broker, quiet: Quiet | None = None) -> BridgeCelery:
    app = make_application(redis_settings(broker.url))
    app.quiet = quiet or app.quiet
    return app


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "not connected"])
def test_whoever_publishes_to_a_frozen_broker_is_told_after_half_a_second(
    own_broker: Broker, warm: bool
) -> None:
    publisher = Publisher(application(own_broker, EACH_FOR_ITSELF))
    if warm:
        publisher.publish([part for parts in FRAGMENTS.values() for part in parts], JOBS)
    own_broker.freeze()

    def refused(fragments: list[Fragment]) -> None:
        with pytest.raises(PublishError):
            publisher.publish(fragments, JOBS)

    twice = [*FRAGMENTS, *FRAGMENTS]
    taken = {what: seconds_of(partial(refused, FRAGMENTS[what])) for what in twice}
    assert max(taken.values()) < WITHIN_SECONDS, taken
    own_broker.thaw()
    publisher.publish(FRAGMENTS["a hint"], JOBS)


def test_whoever_counts_in_a_frozen_broker_goes_on_after_half_a_second(own_broker: Broker) -> None:
    app = application(own_broker, EACH_FOR_ITSELF)

    def count() -> None:
        app.backend.on_chord_part_return(MEMBER, "SUCCESS", None)

    count()
    own_broker.freeze()
    assert max(seconds_of(count) for _ in range(3)) < WITHIN_SECONDS


@pytest.mark.parametrize("script", ["_chord_part_return_script", "_chord_claim_extend_script"])
def test_a_chord_whose_broker_freezes_while_its_last_member_ends_costs_half_a_second(
    script: str, own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first script its results are read, after the second its body is published."""
    app = application(own_broker)
    run = getattr(app.backend, script)

    def run_and_freeze(**arguments: Any) -> Any:
        answer = run(**arguments)
        own_broker.freeze()
        return answer

    monkeypatch.setitem(app.backend.__dict__, script, run_and_freeze)
    app.backend.set_chord_size(MEMBER.group, 1)
    Publisher(app).publish(FRAGMENTS["a hint"], JOBS)  # connected
    taken = seconds_of(lambda: app.backend.on_chord_part_return(MEMBER, "SUCCESS", None))
    assert PUBLISH_SECONDS <= taken < WITHIN_SECONDS


def test_a_pass_over_many_streams_costs_half_a_second_on_a_frozen_broker_and_is_repeated_later(
    own_broker: Broker, connection: Connection, database: str
) -> None:
    app = application(own_broker)
    store = PostgresStore(database)
    host = Host("h1", 2)
    store.publish_configuration([AgentType("quick", ("quick",), Path())], [host])
    store.register_host(host, "worker@h1.1", ["quick"])
    for _ in range(STREAMS):
        insert(connection, a_stream(a_job("quick")))
    proposals = Proposals(store, Publisher(app))
    proposed = "select count(*) from scheduler_bridge.open_job where proposed_at is not null"
    own_broker.freeze()
    taken = seconds_of(Bridge(store, proposals, owner="b").tick)
    assert PUBLISH_SECONDS <= taken < PUBLISH_SECONDS + QUIET_SECONDS
    assert connection.execute(proposed).fetchone() == (0,)
    own_broker.thaw()

    def propose() -> bool:
        proposals.top_up()
        return connection.execute(proposed).fetchone() == (STREAMS,)

    until(propose, "all hints", 2 * QUIET_SECONDS)
    store.close()


def test_events_cost_half_a_second_once_and_then_nothing_while_the_broker_is_frozen(
    own_broker: Broker,
) -> None:
    with application(own_broker).connection_for_write() as connection:
        dispatcher = application(own_broker).events.Dispatcher(
            connection, hostname="w", buffer_group=["task"]
        )
        dispatcher.send("worker-heartbeat")
        own_broker.freeze()

        def publish_batches() -> None:
            for _ in range(50):
                dispatcher.send("task-started", uuid="u")
                dispatcher.flush()

        assert seconds_of(publish_batches) < WITHIN_SECONDS
        own_broker.thaw()


def test_a_publisher_whose_broker_refuses_what_it_writes_is_told(own_broker: Broker) -> None:
    app = application(own_broker)
    with redis.Redis.from_url(own_broker.url) as client:
        client.config_set("maxmemory", "1")
        for fragments in FRAGMENTS.values():
            with pytest.raises(PublishError):
                Publisher(app).publish(fragments, JOBS)


def test_jobs_end_and_are_written_while_the_broker_is_frozen_and_the_rest_runs_later(
    start: Start, own_broker: Broker, connection: Connection
) -> None:
    start("bridge", "bridge ready")
    start("worker", " ready.")
    naps = [a_job("nap", name=name, args="2") for name in ("a", "b")]
    stream = insert(connection, a_stream(*naps, a_job("quick", name="c", needs=("a", "b"))))
    announce(connection)
    started(connection, stream["b"])
    own_broker.freeze()
    assert ended(connection, stream["a"], stream["b"]) == ["Completed"] * 2
    held = "select count(*) from scheduler_bridge.attempt where ending is null"
    until(lambda: connection.execute(held).fetchone() == (0,), "their ends")
    own_broker.thaw()
    assert ended(connection, stream["c"]) == ["Completed"]
    assert connection.execute("select count(*) from scheduler_bridge.attempt").fetchone() == (3,)


def test_beat_says_in_one_line_what_a_frozen_broker_does_not_take_and_goes_on(
    start: Start, own_broker: Broker
) -> None:
    beat = start("beat", "Starting")
    with redis.Redis.from_url(own_broker.url) as client:
        until(lambda: client.llen(HOUSEKEEPING), "beat to ask for a sweep")
        own_broker.freeze()
        missed = "sweep is not asked for: the broker took no message"
        until(lambda: beat.logs().count(missed) > 1, "beat to say so")
        own_broker.thaw()
        client.delete(HOUSEKEEPING)
        until(lambda: client.llen(HOUSEKEEPING), "beat to go on")
    assert beat.status == "running" and "Traceback" not in beat.logs()
