"""The auditor: what is planted is found and named, what a correct system passes through is not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from scheduler_bridge.audit.auditor import MOST_IDS, SHOWN_IDS, audit, remember
from scheduler_bridge.audit.checks import CHECKS, Thresholds
from tests.builders import a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import PostgresSide
from tests.contract.steps import COMPLETED, RETURNED, done, plan, planned, running, swept
from tests.integration.audit_states import (
    AT_ONCE,
    DATED,
    ONE,
    SEEN_TWICE,
    Connection,
    Plant,
    aged,
    found,
    found_twice,
    uptime,
)


@pytest.mark.parametrize("plant", AT_ONCE)
def test_what_no_transaction_may_leave_behind_is_found_at_once(
    queue: PostgresSide, connection: Connection, plant: Plant
) -> None:
    expected = plant(queue, connection)
    assert found(audit(connection)) == expected


@pytest.mark.parametrize("plant", SEEN_TWICE)
def test_what_no_row_dates_is_found_when_it_is_seen_again_two_minutes_later(
    queue: PostgresSide, connection: Connection, plant: Plant
) -> None:
    expected = plant(queue, connection)
    first = audit(connection)
    assert found(first) == {}
    assert first.new_suspects == sum(map(len, expected.values()))
    remember(connection, first)
    assert found(audit(connection)) == {}, "seen again at once"
    assert found_twice(connection) == expected


@pytest.mark.parametrize("plant", DATED)
def test_what_a_row_dates_is_found_when_it_has_lasted_longer_than_a_sweep_takes(
    queue: PostgresSide, connection: Connection, plant: Plant
) -> None:
    expected = plant(queue, connection)
    assert found(audit(connection, Thresholds(grace=uptime(connection) * 0.9))) == expected


@pytest.mark.parametrize("plant", DATED)
def test_after_a_start_of_the_server_the_sweep_has_its_time(
    queue: PostgresSide, connection: Connection, plant: Plant
) -> None:
    plant(queue, connection)
    assert found(audit(connection, Thresholds(grace=uptime(connection) + 60))) == {}


def test_every_question_has_a_planted_answer(queue: PostgresSide, connection: Connection) -> None:
    named: set[str] = set()
    for plant in [*AT_ONCE, *SEEN_TWICE, *DATED]:
        queue.empty()
        configure(queue.store)
        named |= set(plant(queue, connection))
    assert named == {check.name for check in CHECKS}


def test_a_suspect_that_was_gone_between_two_looks_begins_anew(
    queue: PostgresSide, connection: Connection
) -> None:
    queue.insert(ONE)
    remember(connection, aged(audit(connection)))
    plan(queue.store)
    remember(connection, audit(connection))
    connection.execute("delete from scheduler_bridge.unplanned")
    connection.execute("delete from scheduler_bridge.open_job")
    connection.execute("delete from scheduler_bridge.stream")
    looked = audit(connection)
    assert (found(looked), looked.new_suspects) == ({}, 1)


def test_without_a_grace_whatever_is_seen_is_a_finding(queue: PostgresSide, connection: Connection) -> None:
    job = queue.insert(ONE)["unpack"]
    assert found(audit(connection, Thresholds(grace=0))) == {"lost": [job]}


def test_of_many_ids_the_first_are_named_and_all_counted(queue: PostgresSide, connection: Connection) -> None:
    rows = queue.insert(a_stream(*(a_job("unpack", name=str(n)) for n in range(30))))
    (finding,) = audit(connection, Thresholds(grace=0)).findings
    assert finding.ids == tuple(rows.jobs.values())[:SHOWN_IDS]
    assert finding.count == 30 <= MOST_IDS


def test_rows_of_others_are_not_lost(queue: PostgresSide, connection: Connection) -> None:
    rows = queue.insert(a_stream(a_job("command"), a_job("unpack"), a_job("license")))
    connection.execute("update jobqueue set jq_starttime = now() where jq_pk = %s", [rows["unpack"]])
    connection.execute("update jobqueue set jq_end_bits = 2 where jq_pk = %s", [rows["license"]])
    assert found(audit(connection, Thresholds(grace=0))) == {}


def test_a_row_that_was_killed_before_its_agent_completed_is_no_difference(
    queue: PostgresSide, connection: Connection
) -> None:
    work = running(queue.store, planned(queue, ONE)["unpack"])
    connection.execute("select scheduler_bridge.kill_job(%s, 'killed')", [work.job])
    queue.store.finish(work, replace(COMPLETED, items=5))
    assert found(audit(connection)) == {}


def test_a_job_that_was_killed_while_it_completed_and_runs_again_was_completed_once(
    queue: PostgresSide, connection: Connection
) -> None:
    rows = planned(queue, ONE)
    work = running(queue.store, rows["unpack"])
    connection.execute("select scheduler_bridge.kill_job(%s, 'enough')", [work.job])
    assert queue.store.finish(work, COMPLETED)
    connection.execute("select scheduler_bridge.rerun_failed(%s)", [rows.stream])
    plan(queue.store)
    done(queue.store, work.job)
    assert found(audit(connection)) == {}


def test_a_row_that_another_scheduler_has_run_since_is_no_difference(
    queue: PostgresSide, connection: Connection
) -> None:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job, RETURNED)
    connection.execute("update jobqueue set jq_starttime = now(), jq_endtime = now(), jq_end_bits = 1")
    swept(queue)
    assert found_twice(connection) == {}


def test_an_audit_reads_the_newest_rows_and_one_slice_of_history(
    queue: PostgresSide, connection: Connection
) -> None:
    connection.execute("insert into job (job_name) select 'old' from generate_series(1, 100)")
    connection.execute(
        "insert into jobqueue (jq_job_fk, jq_type, jq_starttime, jq_endtime, jq_end_bits)"
        " select 1 + n % 100, 'unpack', now(), now(), 1 from generate_series(0, 299999) n"
    )
    connection.execute("update scheduler_bridge.progress set settled_through = 300000")
    connection.execute("analyze jobqueue")
    planned(queue, a_stream(a_job("unpack")))
    begun = time.monotonic()
    looked = audit(connection)
    assert time.monotonic() - begun < 5  # 0.2 s on an idle machine
    before = rows_read(connection)
    audit(connection)
    assert rows_read(connection) - before < 210_000, "the newest rows and one slice"
    assert (looked.slice, found(looked)) == (100_000, {})


def rows_read(connection: Connection) -> int:
    """Rows of jobqueue that connections have looked at, this one's last statement included."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'jobqueue'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_old_rows_are_looked_at_slice_by_slice_and_suspects_among_them_kept(
    queue: PostgresSide, connection: Connection
) -> None:
    job = queue.insert(ONE)["unpack"]
    connection.execute("select setval('jobqueue_jq_pk_seq', 250000)")
    newest = planned(queue, ONE)["unpack"]
    connection.execute("delete from scheduler_bridge.unplanned where job = %s", [job])
    connection.execute("delete from scheduler_bridge.open_job where job = %s", [job])
    connection.execute("delete from scheduler_bridge.stream where stream = 1")
    first = audit(connection)
    assert (newest, first.slice, first.new_suspects) == (250_001, 100_000, 1)
    remember(connection, aged(first))
    second = audit(connection)
    assert (second.slice, found(second)) == (0, {"lost": [job]}), "its slice is over"
    remember(connection, second)
    assert audit(connection).slice == 100_000
