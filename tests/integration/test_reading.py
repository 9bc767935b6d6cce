"""The read side over real rows: every state, every reason, and no scan of history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.model.agents import AgentType, Host, Special
from scheduler_bridge.model.jobs import Ending, JobState, Outcome, Work
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind
from scheduler_bridge.status import chain_lines, reason
from scheduler_bridge.store.postgres import PostgresStore
from scheduler_bridge.store.pruning import prune_history
from scheduler_bridge.store.reading import COUNTED_ROWS, LIVE_OBSTACLES, Reading
from scheduler_bridge.store.submission import submit
from scheduler_bridge.stream_file import StreamFile, StreamJob, read_stream
from tests.builders import Inserted, a_job, a_stream, insert

Connection = psycopg.Connection[Any]


def agent_type(name: str, *special: Special, maximum: int | None = None) -> AgentType:
    """An agent type that no test starts."""
    return AgentType(name, (name,), __file__, maximum, frozenset(special))  # type: ignore[arg-type]


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """A store with agent types of each limit, and one healthy host of two slots."""
    store = PostgresStore(database)
    types = [
        agent_type("unpack"),
        agent_type("license", maximum=1),
        agent_type("alone", Special.EXCLUSIVE),
        agent_type("absent"),
    ]
    store.publish_configuration(types, [Host("h1", 2)])
    store.register_host(Host("h1", 2), "w", ["unpack", "license", "alone"])
    yield store
    store.close()


@pytest.fixture
def reading(connection: Connection) -> Reading:
    """The read side of the test's database."""
    return Reading(connection)


def seen(store: PostgresStore, connection: Connection, *jobs: Any, **columns: Any) -> Inserted:
    """Insert a stream and let a bridge see it."""
    inserted = insert(connection, a_stream(*jobs, **columns))
    store.observe()
    store.lease_streams("bridge")
    return inserted


def claimed(store: PostgresStore, job: int) -> Work:
    """The job, claimed by the host's worker."""
    work = store.claim(job, "w", "h1")
    assert isinstance(work, Work)
    return work


def rows_read(connection: Connection) -> int:
    """Rows of jobqueue that this connection has looked at, since some moment before the transaction."""
    row = connection.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'jobqueue'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def why(reading: Reading, job: int) -> list[str]:
    """What `why` says."""
    chain = reading.chain(job)
    assert chain is not None
    return chain_lines(chain)


def test_a_job_is_read_in_each_of_its_states(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, *(a_job("unpack", name=name) for name in "abcde"))
    store.top_up([rows.stream])
    store.finish(claimed(store, rows["a"]), Outcome(Ending.COMPLETED, 7), b"done")
    store.finish(claimed(store, rows["b"]), Outcome(Ending.FAILED, 2, "broke"))
    store.started(claimed(store, rows["c"]), 99)
    claimed(store, rows["d"])
    stream = reading.stream(rows.stream)
    assert stream is not None
    states = [job.state for job in stream.jobs]
    assert states == [
        Ending.COMPLETED,
        Ending.FAILED,
        JobState.STARTED,
        JobState.CLAIMED,
        JobState.PROPOSED,
    ]
    counts = stream.summary
    assert (counts.completed, counts.failed, counts.running, counts.waiting) == (1, 1, 2, 1)
    assert [reason(job) for job in stream.jobs] == ["", "broke", "", "", "a hint for it is out"]
    assert stream.jobs[0].items == 7


def test_the_list_counts_as_the_stream_itself_does_and_puts_open_streams_first(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    done = [seen(store, connection, a_job("unpack")) for _ in range(3)]
    for rows in (done[0], done[2], done[1]):
        store.finish(claimed(store, rows["unpack"]), Outcome(Ending.COMPLETED))
    still_open = seen(store, connection, a_job("unpack"), a_job("license", needs="unpack"))
    unseen = insert(connection, a_stream(a_job("unpack"))).stream
    found = reading.streams(ended=2).streams
    assert [s.stream for s in found] == [still_open.stream, unseen, done[1].stream, done[2].stream]
    for summary in found:
        stream = reading.stream(summary.stream)
        assert stream is not None
        assert stream.summary == summary


def test_an_earlier_reading_is_brought_up_to_date_with_changed_and_new_jobs(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, a_job("unpack"), a_job("license", needs="unpack"))
    before = reading.stream(rows.stream)
    work = claimed(store, rows["unpack"])
    store.finish(work, Outcome(Ending.COMPLETED, 3))
    store.startable(work)
    connection.execute("insert into jobqueue (jq_job_fk, jq_type) values (%s, 'unpack')", [rows.stream])
    after = reading.stream(rows.stream, before)
    whole = reading.stream(rows.stream)
    assert after is not None and whole is not None
    assert (after.jobs, after.summary) == (whole.jobs, whole.summary)
    assert [job.seen for job in after.jobs] == [True, True, False]


def test_every_live_obstacle_is_found_by_why(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(
        store,
        connection,
        a_job("unpack"),
        a_job("license", name="running"),
        a_job("license", name="full"),
        a_job("license", name="needy", needs="unpack"),
        a_job("absent"),
        a_job("alone"),
        a_job("unpack", name="paused"),
    )
    connection.execute(
        "update jobqueue set jq_starttime = '9999-12-31', jq_endtext = 'Paused' where jq_pk = %s",
        [rows["paused"]],
    )
    claimed(store, rows["running"])
    kinds = {name: job.obstacle for name in rows.jobs if (job := reading.job(rows[name])) is not None}
    assert kinds == {
        "unpack": None,
        "running": None,
        "full": Obstacle(ObstacleKind.TYPE_FULL, "license"),
        "needy": Obstacle(ObstacleKind.NEEDS, str(rows["unpack"])),
        "absent": Obstacle(ObstacleKind.NO_HOST, "absent"),
        "alone": Obstacle(ObstacleKind.EXCLUSIVE_WAITS, "alone"),
        "paused": Obstacle(ObstacleKind.PAUSED),
    }
    stream = reading.stream(rows.stream)
    assert stream is not None
    assert {job.job: job.obstacle for job in stream.jobs} == {rows[name]: kinds[name] for name in kinds}


def test_a_job_waits_for_one_that_runs_alone_and_that_one_is_running(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, a_job("alone"), a_job("unpack"))
    claimed(store, rows["alone"])
    assert why(reading, rows["unpack"])[0].endswith("it waits for the end of a job that runs alone")
    assert "is being started on host h1, attempt 1" in why(reading, rows["alone"])[0]


def test_why_follows_a_failure_to_the_job_that_failed_first(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(
        store,
        connection,
        a_job("unpack"),
        a_job("license", needs="unpack"),
        a_job("license", name="last", needs="license"),
    )
    store.finish(claimed(store, rows["unpack"]), Outcome(Ending.FAILED, reason="no such file"))
    lines = why(reading, rows["last"])
    assert [line.partition(" (")[0] for line in lines] == [
        f"job {rows[name]}" for name in ("last", "license", "unpack")
    ]
    assert "dependency failed" in lines[0]
    assert lines[2].endswith("no such file")


def test_why_names_agent_types_that_are_not_configured_and_rows_that_were_killed(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, a_job("nowhere"), a_job("unpack"))
    connection.execute(
        "update jobqueue set jq_endtime = now(), jq_end_bits = 2, jq_endtext = 'killed by root' where jq_pk = %s",
        [rows["unpack"]],
    )
    assert why(reading, rows["nowhere"])[0].endswith("agent type nowhere is not configured")
    assert why(reading, rows["unpack"])[0].endswith("killed by root")


def test_why_tells_of_the_last_refusal_and_of_the_hint(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, a_job("unpack"))
    work = claimed(store, rows["unpack"])
    store.finish(
        work,
        Outcome(Ending.RETURNED, reason="died too often"),
        obstacle=Obstacle(ObstacleKind.RESPAWN, "unpack"),
    )
    first, hint, *_ = why(reading, rows["unpack"])
    assert first.endswith("refused last: agents of type unpack died too often on this host")
    assert hint.startswith(f"no hint for job {rows['unpack']} is out; it was refused ")


def test_the_turn_of_an_exclusive_job_is_no_obstacle(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    rows = seen(store, connection, a_job("unpack"), a_job("alone"))
    work = claimed(store, rows["unpack"])
    assert isinstance(store.claim(rows["alone"], "w", "h1"), Obstacle)
    store.finish(work, Outcome(Ending.COMPLETED))
    store.startable(work)
    job = reading.job(rows["alone"])
    assert job is not None
    assert (job.obstacle, job.refused) == (None, None)


def test_rows_of_other_schedulers_and_orders_of_old_are_told_apart(
    connection: Connection, reading: Reading
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("command"), a_job("license")))
    connection.execute(
        "update jobqueue set jq_starttime = now(), jq_endtext = 'Started' where jq_pk = %s", [rows["unpack"]]
    )
    stream = reading.stream(rows.stream)
    assert stream is not None
    assert [reason(job) for job in stream.jobs] == [
        "another scheduler runs it",
        "an order to schedulers of old: nothing runs it",
        "no bridge has seen it yet",
    ]
    assert why(reading, rows["license"])[-1] == "no sweep has run yet: is a bridge running?"


def test_a_cycle_of_dependencies_does_not_keep_why_busy(connection: Connection, reading: Reading) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    connection.execute("insert into jobdepends values (%s, %s)", [rows["unpack"], rows["license"]])
    chain = reading.chain(rows["license"])
    assert chain is not None
    assert [job.job for job in chain.jobs] == [rows["license"], rows["unpack"]]


def test_a_hundred_thousand_jobs_are_submitted_and_read_in_seconds(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    jobs = tuple(
        StreamJob("unpack", f"j{n}", f"/srv/{n}", "", (n - 1,) if n % 10 else (), None, 0, n + 1)
        for n in range(100_000)
    )
    begun = time.monotonic()
    submitted = submit(connection, StreamFile("test", "big", 0, jobs, tuple(range(len(jobs)))))
    submitting = time.monotonic() - begun
    assert submitting < 30  # 4 s on an idle machine
    assert len(submitted.jobs) == 100_000
    assert connection.execute("select count(*) from jobdepends").fetchone() == (90_000,)
    connection.execute("analyze jobqueue; analyze jobdepends")
    store.observe()
    begun = time.monotonic()
    stream = reading.stream(submitted.jobs[0].stream)
    # 2 s on an idle machine, where submitting takes 4; asking for each obstacle anew takes 30.
    assert time.monotonic() - begun < 4 * submitting
    assert stream is not None
    needs = [job.obstacle for job in stream.jobs if job.obstacle]
    assert len(needs) >= 90_000 > LIVE_OBSTACLES
    assert Obstacle(ObstacleKind.NEEDS, str(submitted.jobs[-2].job)) == stream.jobs[-1].obstacle


def test_submitted_rows_have_the_columns_of_the_file_and_dependencies_point_to_lower_numbers(
    connection: Connection,
) -> None:
    text = """
name: scan
jobs:
  - {agent: license, cmd_args: "-x 1", needs: unpack, priority: 5, host: h1}
  - {agent: unpack, args: [/srv/a, /srv/b]}
"""
    submitted = submit(connection, read_stream(text, "test"))
    (unpack, license_job), (own, urgent) = submitted.jobs, submitted.streams
    assert (unpack.job < license_job.job, license_job.needs) == (True, (unpack.job,))
    rows = connection.execute(
        "select jq_job_fk, jq_type, jq_args, jq_cmd_args, jq_host, jq_starttime, jq_end_bits"
        " from jobqueue order by jq_pk"
    ).fetchall()
    assert rows == [
        (own, "unpack", '["/srv/a", "/srv/b"]', None, None, None, 0),
        (urgent, "license", "", "-x 1", "h1", None, 0),
    ]
    streams = connection.execute("select job_pk, job_name, job_priority from job order by job_pk").fetchall()
    assert streams == [(own, "scan", 0), (urgent, "scan", 5)]


def test_the_list_of_streams_does_not_scan_a_history_without_an_index(
    store: PostgresStore, connection: Connection, reading: Reading
) -> None:
    connection.execute("drop index jobqueue_job_fk_idx")  # FOSSology's own schema has none
    connection.execute("insert into job (job_name) select 'old' from generate_series(1, 8000)")
    connection.execute(
        "insert into jobqueue (jq_job_fk, jq_type, jq_starttime, jq_endtime, jq_end_bits)"
        " select 1 + n / 50, 'unpack', now(), now(), 1 from generate_series(0, 399999) n"
    )
    connection.execute("analyze job; analyze jobqueue")
    connection.execute("update scheduler_bridge.progress set settled_through = 400000")
    rows = seen(store, connection, a_job("unpack"), a_job("license", needs="unpack"))
    before = reading.stream(rows.stream)
    connection.execute("set max_parallel_workers_per_gather = 0")  # what workers read is not counted here
    with connection.transaction():
        begun = rows_read(connection)
        found = reading.streams()
        listed = rows_read(connection)
        reading.stream(rows.stream, before)
        followed = rows_read(connection)
    assert found.streams[0].stream == rows.stream
    assert [s.completed for s in found.streams[1:]] == [50] * 20
    assert listed - begun < 105_000
    assert followed - listed < 100


def test_counts_that_may_be_too_low_are_marked(connection: Connection, reading: Reading) -> None:
    connection.execute("drop index jobqueue_job_fk_idx")
    old = insert(connection, a_stream(a_job("unpack"))).stream
    connection.execute("select setval('jobqueue_jq_pk_seq', %s)", [2 * COUNTED_ROWS])
    connection.execute("insert into jobqueue (jq_job_fk, jq_type) values (%s, 'license')", [old])
    young = insert(connection, a_stream(a_job("unpack"))).stream
    assert {s.stream: s.partial for s in reading.streams().streams} == {old: True, young: False}


def test_pruning_forgets_what_ended_long_ago_and_nothing_else(
    store: PostgresStore, connection: Connection, reading: Reading, tmp_path: Path
) -> None:
    old, young, still_open = (seen(store, connection, a_job("unpack")) for _ in range(3))
    files = tmp_path / "scheduler-bridge"
    for rows in (old, young):
        store.finish(claimed(store, rows["unpack"]), Outcome(Ending.COMPLETED), b"said")
    for stream in (old.stream, young.stream, still_open.stream):
        (files / str(stream) / "unpacked").mkdir(parents=True)
        connection.execute(
            "insert into scheduler_bridge.scan_run (stream, agent, version, files, cached, finished_at)"
            " values (%s, 'unpack', '1', 1, 0, now() - interval '40 days')",
            [stream],
        )
        connection.execute(
            "insert into scheduler_bridge.scan_report (stream, format, text) values (%s, 'markdown', '#')",
            [stream],
        )
    connection.execute(
        "update scheduler_bridge.scan_run set finished_at = now() where stream = %s", [young.stream]
    )
    connection.execute(
        "update scheduler_bridge.attempt set ended_at = now() - interval '40 days' where job = %s",
        [old["unpack"]],
    )
    queue = "select jobqueue::text from jobqueue order by jq_pk"
    before = connection.execute(queue).fetchall()
    pruned = prune_history(connection, 30, tmp_path)
    assert (pruned.attempts, pruned.streams, pruned.folders) == (1, 1, 1)
    assert reading.attempts(old["unpack"]) == [] and reading.output(old["unpack"], 1) is None
    assert len(reading.attempts(young["unpack"])) == 1 and reading.output(young["unpack"], 1) is not None
    reports = [reading.report(rows.stream) for rows in (old, young, still_open)]
    assert reports == [None, "#", "#"]
    assert connection.execute(queue).fetchall() == before
    assert {path.name for path in files.iterdir()} == {str(young.stream), str(still_open.stream)}
    assert prune_history(connection, 30, tmp_path).attempts == 0
