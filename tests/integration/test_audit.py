"""The auditor: what is planted is found and named, what a correct system passes through is not."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from scheduler_bridge.audit.auditor import MOST_IDS, SHOWN_IDS, Audit, audit, kept, remember
from scheduler_bridge.audit.checks import CHECKS, Thresholds
from scheduler_bridge.audit.watch import Watch
from scheduler_bridge.cli import main
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from tests.builders import Inserted, a_job, a_stream
from tests.contract.fleet import configure
from tests.contract.queues import PostgresSide
from tests.contract.steps import COMPLETED, FAILED, RETURNED, done, plan, planned, running, swept
from tests.contract.test_stress import Rush, assert_all_ended_once, insert_some, working
from tests.process_nodes import PROJECT

Connection = psycopg.Connection[Any]
Plant = Callable[[PostgresSide, Connection], dict[str, list[int | str]]]

ONE = a_stream(a_job("unpack"))
TWO = a_stream(a_job("unpack"), a_job("license"))
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))
LONG = timedelta(seconds=Thresholds().grace + 1)


@pytest.fixture
def queue(database: str, connection: Connection) -> Iterator[PostgresSide]:
    """A configured store on an empty queue."""
    made = PostgresSide(database, connection)
    configure(made.store)
    yield made
    made.postgres.close()


def found(looked: Audit) -> dict[str, list[int | str]]:
    """Ids by the name of the finding."""
    return {finding.name: list(finding.ids) for finding in looked.findings}


def aged(looked: Audit) -> Audit:
    """The same look, as if it had been two minutes ago."""
    earlier = {
        name: {id: (datetime.fromisoformat(seen) - LONG).isoformat() for id, seen in ids.items()}
        for name, ids in looked.suspects.items()
    }
    return replace(looked, suspects=earlier)


def found_twice(connection: Connection) -> dict[str, list[int | str]]:
    """What two looks see, two minutes apart."""
    remember(connection, aged(audit(connection)))
    return found(audit(connection))


def uptime(connection: Connection) -> float:
    """Seconds since the server has started; nothing is older for the auditor."""
    row = connection.execute(
        "select extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float"
    ).fetchone()
    assert row is not None
    return float(row[0])


def two_attempts(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    connection.execute(
        "insert into scheduler_bridge.attempt (job, epoch, stream, agent_type, worker, host, expires_at)"
        " values (%s, 2, 1, 'unpack', 'worker@h1', 'h1', now() + interval '30 seconds')",
        [job],
    )
    return {"runs_twice": [job], "not_the_last_attempt": [job]}


def second_attempt(job: int, ending: str, claimed_before: str) -> str:
    """SQL of a second attempt that has ended now."""
    return (
        "insert into scheduler_bridge.attempt"
        " (job, epoch, stream, agent_type, worker, host, claimed_at, ended_at, ending)"
        f" values ({job}, 2, 1, 'unpack', 'worker@h2', 'h2', now() - interval '{claimed_before}', now(), '{ending}')"
    )


def completed_again(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job)
    connection.execute(second_attempt(job, "completed", "0"))
    return {"completed_twice": [job]}


def overlapping(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job)
    connection.execute(second_attempt(job, "failed", "20 seconds"))
    return {"attempts_overlap": [job]}


def another_epoch(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    connection.execute("update scheduler_bridge.open_job set epoch = 5")
    return {"not_the_last_attempt": [job]}


def unclaimed_lease(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    connection.execute("update scheduler_bridge.open_job set worker = null")
    return {"lease_without_job": [job]}


def unleased_claim(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update scheduler_bridge.open_job set worker = 'worker@h1', epoch = 1")
    return {"claim_without_lease": [job]}


def started_and_returned(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job, RETURNED)
    connection.execute(
        "update jobqueue set jq_starttime = a.started_at from scheduler_bridge.attempt a where a.job = jq_pk"
    )
    return {"start_without_lease": [job]}


def ended_unstarted(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job)
    queue.change(job, start=None)
    return {"end_without_start": [job]}


def another_ending(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job, FAILED)
    queue.change(job, bits=1)
    return {"endings_differ": [job]}


def other_items(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job)
    connection.execute("update jobqueue set jq_itemsprocessed = 99")
    return {"items_differ": [job]}


def full_host(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    for job in planned(queue, TWO).jobs.values():
        running(queue.store, job)
    connection.execute("update scheduler_bridge.host set slots = 1 where name = 'h1'")
    assert found(audit(connection)) == {}, "the limit was lowered while more ran"
    connection.execute("update scheduler_bridge.host set limited_at = now() - interval '1 hour'")
    return {"host_over_slots": ["h1"]}


def full_type(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    jobs = planned(queue, a_stream(*(a_job("double", name=name) for name in "ab"))).jobs.values()
    for job in jobs:
        running(queue.store, job)
    connection.execute("update scheduler_bridge.agent_type set maximum = 1 where name = 'double'")
    assert found(audit(connection)) == {}, "the limit was lowered while more ran"
    connection.execute("update scheduler_bridge.agent_type set limited_at = now() - interval '1 hour'")
    return {"type_over_maximum": ["double"]}


def not_alone(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, TWO)
    for job in rows.jobs.values():
        running(queue.store, job)
    connection.execute("update scheduler_bridge.agent_type set exclusive = true where name = 'license'")
    assert found(audit(connection)) == {}, "the type was made exclusive while others ran"
    connection.execute("update scheduler_bridge.agent_type set limited_at = now() - interval '1 hour'")
    return {"exclusive_not_alone": [rows["license"]]}


def closed_stream(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, ONE)
    connection.execute("delete from scheduler_bridge.stream")
    return {"jobs_without_stream": [rows.stream]}


def old_mail(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    connection.execute(
        "insert into scheduler_bridge.mail (stream, ending, message, since, due_at)"
        " values (7, '1.1', '', 0, now() - interval '3 hours'), (8, '2.1', '', 0, now() - interval '1 hour')"
    )
    return {"mail_overdue": [7]}


AT_ONCE = [
    two_attempts,
    completed_again,
    overlapping,
    another_epoch,
    unclaimed_lease,
    unleased_claim,
    started_and_returned,
    ended_unstarted,
    another_ending,
    other_items,
    full_host,
    full_type,
    not_alone,
    closed_stream,
    old_mail,
]


@pytest.mark.parametrize("plant", AT_ONCE)
def test_what_no_transaction_may_leave_behind_is_found_at_once(
    queue: PostgresSide, connection: Connection, plant: Plant
) -> None:
    expected = plant(queue, connection)
    assert found(audit(connection)) == expected


def unseen_row(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    return {"lost": [queue.insert(ONE)["unpack"]]}


def deleted_row(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    queue.delete(job)
    return {"ended": [job], "lease_without_job": [job]}


def failed_prerequisite(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, PAIR)
    connection.execute(
        "update jobqueue set jq_endtime = now(), jq_end_bits = 2 where jq_pk = %s", [rows["unpack"]]
    )
    return {"prerequisite_failed": [rows["license"]]}


def withdrawn_hint(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update scheduler_bridge.open_job set proposed_at = null")
    return {"no_hint": [job]}


def old_reason(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, a_stream(a_job("single")))["single"]
    connection.execute(
        "update scheduler_bridge.open_job set proposed_at = null, obstacle = 'type_full', subject = 'single',"
        " refused_at = now() - interval '1 hour'"
    )
    return {"stale_reason": [job]}


def old_hint(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update scheduler_bridge.open_job set proposed_at = now() - interval '1 hour'")
    return {"hint_unanswered": [job]}


def edge_of_nothing(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    connection.execute("insert into scheduler_bridge.edge (job, needs) values (999, 998)")
    return {"edge_satisfied": ["999 needs 998"]}


def forgotten_edge(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, PAIR)
    connection.execute("delete from scheduler_bridge.edge")
    return {"edge_missing": [f"{rows['license']} needs {rows['unpack']}"]}


def empty_stream(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    connection.execute("insert into scheduler_bridge.stream (stream) values (12)")
    return {"stream_without_jobs": [12]}


def unplanned_rows(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = queue.insert(PAIR)
    queue.store.observe()
    return {"unplanned": list(rows.jobs.values())}


SEEN_TWICE = [
    unseen_row,
    deleted_row,
    failed_prerequisite,
    withdrawn_hint,
    old_reason,
    old_hint,
    edge_of_nothing,
    forgotten_edge,
    empty_stream,
    unplanned_rows,
]


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


def old_end(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update jobqueue set jq_endtime = now() - interval '1 hour', jq_end_bits = 1")
    return {"ended": [job]}


def old_lease(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    connection.execute("update scheduler_bridge.attempt set expires_at = now() - interval '1 hour'")
    return {"lease_expired": [job]}


def old_edge(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, PAIR)
    queue.store.finish(running(queue.store, rows["unpack"]), COMPLETED)
    connection.execute("update jobqueue set jq_endtime = jq_endtime - interval '1 hour'")
    return {"edge_satisfied": [f"{rows['license']} needs {rows['unpack']}"]}


DATED = [old_end, old_lease, old_edge]


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


def test_a_row_that_another_scheduler_has_run_since_is_no_difference(
    queue: PostgresSide, connection: Connection
) -> None:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job, RETURNED)
    connection.execute("update jobqueue set jq_starttime = now(), jq_endtime = now(), jq_end_bits = 1")
    swept(queue)
    assert found_twice(connection) == {}


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_fleet_is_clean_at_every_step(
    queue: PostgresSide, connection: Connection, seed: int
) -> None:
    random = Random(seed)
    fleet = Fleet(queue, connection, random)
    for _ in range(2):
        fleet.insert()
    for _ in range(40):
        random.choice(fleet.actions)()
        assert found(audit(connection)) == {}
    while queue.open_jobs():
        fleet.sweep()
        fleet.restart_all()
        while fleet.claim():
            fleet.end()
    fleet.sweep()
    assert audit(connection, Thresholds(grace=0)).findings == ()


class Fleet:
    """A bridge, two hosts and operators, one step after the other."""

    def __init__(self, queue: PostgresSide, connection: Connection, random: Random) -> None:
        self.queue = queue
        self.connection = connection
        self.random = random
        self.running: list[Work] = []
        self.jobs: list[int] = []
        self.actions = [
            *[self.claim, self.end] * 5,
            self.pause,
            self.restart,
            self.kill,
            self.sweep,
            self.insert,
        ]

    def insert(self) -> None:
        """A stream of jobs that need up to two earlier ones."""
        jobs = []
        for n in range(6):
            needs = tuple(
                str(need) for need in self.random.sample(range(n), min(n, self.random.choice((0, 1, 2))))
            )
            kind = self.random.choice(("unpack", "license", "single", "double", "alone"))
            jobs.append(a_job(kind, name=str(n), needs=needs))
        rows: Inserted = self.queue.insert(a_stream(*jobs))
        self.jobs += rows.jobs.values()
        plan(self.queue.store)

    def claim(self) -> bool:
        """A worker asks for the jobs until it gets one."""
        host = self.random.choice(("h1", "h2"))
        for job in self.random.sample(self.jobs, len(self.jobs)):
            work = self.queue.store.claim(job, f"worker@{host}", host)
            if isinstance(work, Work):
                if self.queue.store.started(work, 1):
                    self.running.append(work)
                else:
                    self.queue.store.finish(work, RETURNED)
                return True
        return False

    def end(self) -> None:
        """An agent ends somehow, or its worker vanishes."""
        if not self.running:
            return
        work = self.running.pop(self.random.randrange(len(self.running)))
        ending = self.random.choice([Ending.COMPLETED] * 4 + [Ending.FAILED, Ending.RETURNED])
        if self.queue.store.finish(work, Outcome(ending, self.random.randrange(9))):
            self.queue.store.startable(work)

    def pause(self) -> None:
        self._order("pause_job(%s)")

    def restart(self) -> None:
        self._order("restart_job(%s)")

    def restart_all(self) -> None:
        for job in self.jobs:
            self.connection.execute("select scheduler_bridge.restart_job(%s)", [job])

    def kill(self) -> None:
        self._order("kill_job(%s, 'killed by hand')")

    def sweep(self) -> None:
        """Rounds of the sweep go by, leases expire; after them nothing suspicious is left.

        Two, since an exclusive job that is called in the first holds up the others until the second.
        """
        swept(self.queue, 65)
        swept(self.queue, 65)
        self.running.clear()
        assert found_twice(self.connection) == {}

    def _order(self, call: str) -> None:
        self.connection.execute(f"select scheduler_bridge.{call}", [self.random.choice(self.jobs)])


@pytest.mark.parametrize("run", range(3))
def test_a_busy_fleet_of_threads_is_clean_whenever_one_looks(
    queue: PostgresSide, database: str, run: int
) -> None:
    rush = Rush(queue)
    stream = queue.insert(a_stream()).stream
    random = Random(run)
    with psycopg.connect(database, autocommit=True) as other, working(rush, run):
        for _ in range(8):
            insert_some(rush, stream, random)
            rush.send(plan(queue.store), random)
            assert found(audit(other)) == {}
    with psycopg.connect(database, autocommit=True) as other:
        assert found(audit(other)) == {}
    assert_all_ended_once(rush)


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


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_housekeeping_lets_the_sweep_have_its_time_and_then_keeps_and_logs_findings(
    queue: PostgresSide, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    watch = Watch(interval_seconds=300, clock=clock)
    expected = another_epoch(queue, connection)
    clock.now = 119
    assert watch.audit(connection).startswith("no audit yet")
    watch.disturbed()
    clock.now = 200
    assert watch.audit(connection).startswith("no audit yet")
    assert kept(connection) is None
    clock.now = 240
    with caplog.at_level(logging.WARNING):
        assert watch.audit(connection) == "1 findings"
    (record,) = caplog.records
    assert (record.action, record.finding) == ("audit", "not_the_last_attempt")  # type: ignore[attr-defined]
    last = kept(connection)
    assert last is not None
    assert {f.name: list(f.ids) for f in last.findings} == expected
    assert watch.audit(connection) == "another audit has just been"
    connection.execute("update scheduler_bridge.audit set at = at - interval '151 seconds'")
    assert watch.audit(connection) == "1 findings"


@pytest.fixture
def cli(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.delenv("SCHEDULER_BRIDGE_CONFIG", raising=False)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_the_command_exits_with_0_when_clean_1_with_findings_2_without_an_answer(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    clean = cli("audit")
    assert (clean.exit_code, clean.output) == (0, f"clean: {len(CHECKS)} questions, no finding\n")
    rows = queue.insert(ONE)
    new = cli("audit")
    assert (new.exit_code, new.output.splitlines()[1:]) == (
        0,
        ["too new to judge: 1; ask again in two minutes"],
    )
    remember(connection, aged(audit(connection)))
    bad = cli("audit")
    assert bad.exit_code == 1
    assert bad.output == (
        f"lost: waiting rows of jobqueue are not in the mirror: no bridge takes them in: {rows['unpack']}\n"
    )
    away = cli("--database-url", "postgresql://bridge@127.0.0.1:1/none", "audit")
    assert (away.exit_code, away.stdout) == (2, "")
    assert away.stderr.startswith("Error: ")
    connection.execute("drop table scheduler_bridge.migration")
    assert cli("audit").exit_code == 2


def test_the_command_answers_in_json(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    assert json.loads(cli("audit", "--json").output)["findings"] == []
    ((name, ids),) = another_epoch(queue, connection).items()
    answer = cli("audit", "--json")
    assert answer.exit_code == 1
    document = json.loads(answer.output)
    assert sorted(document) == ["at", "findings", "new_suspects"]
    (finding,) = document["findings"]
    assert (finding["name"], finding["ids"], finding["count"]) == (name, ids, 1)
    assert finding["sentence"] == "an attempt runs that is not the last at its job"


def test_status_shows_the_last_audit_of_housekeeping_in_one_line(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    clock = Clock()
    watch = Watch(interval_seconds=300, clock=clock)
    clock.now = 1000
    assert "audit" not in cli("status").output
    assert json.loads(cli("status", "--json").output)["audit"] is None
    watch.audit(connection)
    connection.execute("update scheduler_bridge.audit set at = at - interval '1000 seconds'")
    assert cli("status").output.splitlines()[-1] == "audit: clean, 16 min 40 s ago: does beat run?"
    another_epoch(queue, connection)
    watch.audit(connection)
    line = cli("status").output.splitlines()[-1]
    assert line.startswith("audit: 1 finding: not_the_last_attempt (1), 0.")
    assert json.loads(cli("status", "--json").output)["audit"]["findings"][0]["count"] == 1


ASKED = """
import sys
from tasks.app import app
from tasks.housekeeping import audit, watch

entry = app.conf.beat_schedule["audit"]
assert app.tasks[entry["task"]].name == audit.name, entry
print(audit())
watch._undisturbed_since -= 200
print(audit())
"""


def test_beat_asks_housekeeping_for_audits(environment: dict[str, str], connection: Connection) -> None:
    first, second = in_housekeeping(environment)
    assert first.startswith("no audit yet")
    assert second == "0 findings"
    last = kept(connection)
    assert last is not None and last.findings == ()


def test_an_audit_without_a_database_is_one_line(environment: dict[str, str]) -> None:
    away = {**environment, "DATABASE_URL": "postgresql://bridge@127.0.0.1:1/none"}
    assert [line.partition(": ")[0] for line in in_housekeeping(away)] == ["no audit", "no audit"]


def in_housekeeping(environment: dict[str, str]) -> list[str]:
    """What the task answers at once and after two minutes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
