"""States of the database that the auditor must find, by the findings that name them; and how tests ask it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg

from scheduler_bridge.audit.auditor import Audit, audit, remember
from scheduler_bridge.audit.checks import Thresholds
from tests.builders import a_job, a_stream
from tests.contract.queues import PostgresSide
from tests.contract.steps import COMPLETED, FAILED, RETURNED, done, planned, running

Connection = psycopg.Connection[Any]
Plant = Callable[[PostgresSide, Connection], dict[str, list[int | str]]]

ONE = a_stream(a_job("unpack"))
TWO = a_stream(a_job("unpack"), a_job("license"))
PAIR = a_stream(a_job("unpack"), a_job("license", needs="unpack"))
LONG = timedelta(seconds=Thresholds().grace + 1)


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


def set_back_without_its_start(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    done(queue.store, job)
    connection.execute("update jobqueue set jq_endtime = null, jq_end_bits = 0, jq_endtext = null")
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
    set_back_without_its_start,
    ended_unstarted,
    another_ending,
    other_items,
    full_host,
    full_type,
    not_alone,
    closed_stream,
    old_mail,
]


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


def set_back_while_it_runs(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    running(queue.store, job)
    queue.change(job, start=None)
    return {"lease_without_start": [job]}


def waiting_for_nothing(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update scheduler_bridge.open_job set ready = false, proposed_at = null")
    return {"waits_for_nothing": [job]}


def hint_for_nobody(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    job = planned(queue, ONE)["unpack"]
    connection.execute("update scheduler_bridge.open_job set proposed_at = now() - interval '1 hour'")
    connection.execute("delete from scheduler_bridge.host_agent_type where agent_type = 'unpack'")
    return {"hint_unanswered": [job]}


def edge_of_nothing(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    connection.execute("insert into scheduler_bridge.edge (job, needs) values (999, 998)")
    return {"edge_satisfied": ["999 needs 998"]}


def forgotten_edge(queue: PostgresSide, connection: Connection) -> dict[str, list[int | str]]:
    rows = planned(queue, PAIR)
    connection.execute("delete from scheduler_bridge.edge")
    needs = f"{rows['license']} needs {rows['unpack']}"
    return {"edge_missing": [needs], "waits_for_nothing": [rows["license"]]}


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
    set_back_while_it_runs,
    waiting_for_nothing,
    hint_for_nobody,
    edge_of_nothing,
    forgotten_edge,
    empty_stream,
    unplanned_rows,
]


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
