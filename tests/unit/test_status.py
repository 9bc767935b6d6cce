"""What `status`, `why` and `logs` say, without a database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scheduler_bridge.model.jobs import Ending, JobState
from scheduler_bridge.plan.admission import Obstacle, ObstacleKind, explain
from scheduler_bridge.status import (
    attempts_table,
    chain_lines,
    changes,
    headline,
    jobs_table,
    left_out,
    reason,
    stream_json,
    streams_json,
    streams_table,
)
from scheduler_bridge.store.read_model import (
    Attempt,
    Chain,
    JobReading,
    StreamList,
    StreamReading,
    StreamSummary,
)
from scheduler_bridge.text import as_text

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NEEDS = Obstacle(ObstacleKind.NEEDS, "30")
FULL = Obstacle(ObstacleKind.HOST_FULL, "h1")

WAITING = JobReading(
    job=31,
    stream=12,
    agent_type="license",
    state=JobState.WAITING,
    items=0,
    started_at=None,
    ended_at=None,
    text="",
    wanted_host=None,
    ignored=False,
    seen=True,
    worker=None,
    proposed_at=None,
    refused=None,
    refused_at=None,
    epoch=0,
    host=None,
    claimed_at=None,
    reason="",
)
CLAIMED = replace(
    WAITING,
    state=JobState.CLAIMED,
    worker="worker@h1.7",
    epoch=2,
    host="h1",
    claimed_at=NOW - timedelta(seconds=2),
)
STARTED = replace(
    CLAIMED, state=JobState.STARTED, started_at=NOW - timedelta(seconds=1), items=40, text="Started"
)
COMPLETED = replace(
    STARTED, state=Ending.COMPLETED, worker=None, ended_at=NOW - timedelta(milliseconds=250), text="Completed"
)
FAILED = replace(COMPLETED, state=Ending.FAILED, text="Failed", reason="agent failed with error code 1")
SUMMARY = StreamSummary(12, "scan", 0, NOW - timedelta(minutes=3), 1, 0, 1, 2, None)


def a_stream(*jobs: JobReading) -> StreamReading:
    """A reading of these jobs."""
    return StreamReading(NOW, SUMMARY, jobs)


def lines_of(
    *jobs: JobReading, missing: int | None = None, swept: timedelta | None = timedelta(0)
) -> list[str]:
    """What `why` says about a chain."""
    return chain_lines(Chain(NOW, None if swept is None else NOW - swept, jobs, missing))


def test_a_job_that_runs_or_has_completed_has_no_reason() -> None:
    assert [reason(job) for job in (CLAIMED, STARTED, COMPLETED)] == ["", "", ""]


@pytest.mark.parametrize("kind", ObstacleKind)
def test_the_reason_of_a_waiting_job_is_the_obstacle_that_dispatch_meets(kind: ObstacleKind) -> None:
    obstacle = Obstacle(kind, "31")
    assert reason(replace(WAITING, obstacle=obstacle)) == explain(obstacle)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (replace(WAITING, seen=False), "no bridge has seen it yet"),
        (replace(WAITING, ignored=True, seen=False), "an order to schedulers of old: nothing runs it"),
        (WAITING, "it may start"),
        (replace(WAITING, proposed_at=NOW), "a hint for it is out"),
        (replace(WAITING, refused=FULL), "refused last: all slots of host h1 are taken"),
        (replace(WAITING, refused=FULL, obstacle=NEEDS), "it waits for jobs: 30"),
        (replace(STARTED, worker=None), "another scheduler runs it"),
        (FAILED, "agent failed with error code 1"),
        (replace(FAILED, reason="", text="killed by root"), "killed by root"),
    ],
)
def test_every_job_that_does_not_run_has_a_reason(job: JobReading, said: str) -> None:
    assert reason(job) == said


def test_a_name_cannot_move_the_cursor_of_a_terminal() -> None:
    found = StreamList(NOW, (replace(SUMMARY, name="a\x1b[2Jb\nc" + "x" * 100),))
    text = as_text(streams_table(found))
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\nc" in text
    assert len(text.splitlines()) == 2


def test_the_list_of_streams_is_aligned_and_marks_counts_that_may_be_too_low() -> None:
    ended = replace(
        SUMMARY, stream=9, name="", running=0, waiting=0, ended_at=NOW - timedelta(days=2), partial=True
    )
    assert as_text(streams_table(StreamList(NOW, (SUMMARY, ended)))).splitlines() == [
        "STREAM  NAME  DONE  FAILED  RUNNING  WAITING  SINCE",
        "    12  scan     1       0        1        2  queued 3 min 0 s ago",
        "     9  -       1+      0+        0        0  ended 2 d 0 h ago",
    ]


def test_the_jobs_of_a_stream_are_a_line_each_with_run_time_host_and_reason() -> None:
    wanted = replace(WAITING, job=33, wanted_host="h2", obstacle=NEEDS)
    text = as_text(jobs_table(a_stream(replace(COMPLETED, job=30), STARTED, wanted)))
    assert text.splitlines() == [
        "JOB  AGENT    STATE      ITEMS   TIME  HOST  REASON",
        " 30  license  completed     40  0.8 s  h1",
        " 31  license  started       40  1.0 s  h1",
        " 33  license  waiting        0      -  h2    it waits for jobs: 30",
    ]


def test_of_too_many_jobs_those_that_run_or_failed_are_shown_and_the_rest_is_counted() -> None:
    jobs = [replace(WAITING, job=number) for number in range(1, 101)]
    jobs[70] = replace(STARTED, job=71)
    jobs[90] = replace(FAILED, job=91)
    stream = a_stream(*jobs)
    assert [row[0] for row in jobs_table(stream, 4).rows] == ["1", "2", "71", "91"]
    assert left_out(stream, 4) == "... and 96 more jobs; --json lists all"
    assert left_out(stream, 100) == ""


def test_the_headline_counts_and_names_the_stream() -> None:
    assert headline(a_stream()) == (
        "stream 12 (scan): 1 done, 0 failed, 1 running, 2 waiting, queued 3 min 0 s ago"
    )


def test_only_jobs_whose_state_has_changed_are_told() -> None:
    before = a_stream(WAITING, replace(WAITING, job=32))
    now = a_stream(STARTED, replace(WAITING, job=32, obstacle=NEEDS), replace(WAITING, job=33))
    assert changes(before, now) == [
        "job 31 (license, stream 12) runs on host h1, attempt 2, for 1.0 s, 40 items",
        "job 33 (license, stream 12) does not run: it may start",
    ]
    assert len(changes(None, now)) == 3


def test_why_tells_how_a_job_has_ended() -> None:
    assert lines_of(COMPLETED) == ["job 31 (license, stream 12) has completed 0.2 s ago"]
    assert lines_of(FAILED) == [
        "job 31 (license, stream 12) failed 0.2 s ago: agent failed with error code 1"
    ]
    killed = replace(FAILED, text="killed by root", reason="its row was ended")
    assert lines_of(killed) == [
        "job 31 (license, stream 12) failed 0.2 s ago: killed by root (its row was ended)"
    ]


def test_why_tells_where_a_job_runs() -> None:
    assert lines_of(CLAIMED) == [
        "job 31 (license, stream 12) is being started on host h1, attempt 2, claimed 2.0 s ago"
    ]
    assert lines_of(replace(STARTED, text="Paused")) == [
        "job 31 (license, stream 12) runs on host h1, attempt 2, for 1.0 s, 40 items but is paused"
    ]
    assert lines_of(replace(STARTED, worker=None)) == [
        "job 31 (license, stream 12) is run by another scheduler"
    ]


def test_why_follows_the_chain_to_its_root_and_tells_of_hint_and_refusal() -> None:
    first = replace(
        WAITING,
        obstacle=NEEDS,
        proposed_at=NOW - timedelta(seconds=75),
        refused=FULL,
        refused_at=NOW - timedelta(seconds=5),
    )
    assert lines_of(first, replace(STARTED, job=30)) == [
        "job 31 (license, stream 12) does not run: it waits for jobs: 30",
        "job 30 (license, stream 12) runs on host h1, attempt 2, for 1.0 s, 40 items",
        "a hint for job 31 is out since 1 min 15 s; it was refused 5.0 s ago: all slots of host h1 are taken",
    ]


def test_why_names_a_prerequisite_that_does_not_exist() -> None:
    doomed = replace(WAITING, obstacle=Obstacle(ObstacleKind.DOOMED, "999"))
    assert lines_of(doomed, missing=999)[1:] == ["job 999 does not exist", "no hint for job 31 is out"]


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        (None, ["no sweep has run yet: is a bridge running?"]),
        (timedelta(minutes=10), ["no sweep has run for 10 min 0 s: is a bridge running?"]),
        (timedelta(seconds=5), []),
    ],
)
def test_why_asks_for_the_bridge_when_nobody_sweeps(swept: timedelta | None, said: list[str]) -> None:
    unseen = replace(WAITING, seen=False)
    assert lines_of(unseen, swept=swept)[1:] == said


def test_the_ledger_shows_every_attempt() -> None:
    attempts = [
        Attempt(
            1, "w", "h1", NOW - timedelta(hours=2), None, NOW - timedelta(hours=1), Ending.LOST, "expired", 3
        ),
        Attempt(2, "w", "h2", NOW - timedelta(seconds=9), None, None, None, "", 4),
    ]
    assert as_text(attempts_table(attempts, NOW)).splitlines()[1:] == [
        "      1  lost         3  1 h 0 min  h1    w       expired",
        "      2  running      4      9.0 s  h2    w",
    ]


def test_the_json_of_a_stream_has_the_documented_keys_and_values() -> None:
    document = json.loads(json.dumps(stream_json(a_stream(STARTED, replace(WAITING, obstacle=NEEDS)))))
    assert document["read_at"] == "2026-03-01T12:00:00+00:00"
    assert document["stream"] == {
        "stream": 12,
        "name": "scan",
        "priority": 0,
        "queued_at": "2026-03-01T11:57:00+00:00",
        "ended_at": None,
        "completed": 1,
        "failed": 0,
        "running": 1,
        "waiting": 2,
        "partial": False,
    }
    started, waiting = document["jobs"]
    assert started == {
        "job": 31,
        "agent": "license",
        "state": "started",
        "items": 40,
        "attempt": 2,
        "host": "h1",
        "started_at": "2026-03-01T11:59:59+00:00",
        "ended_at": None,
        "run_seconds": 1.0,
        "text": "Started",
        "obstacle": None,
        "reason": None,
    }
    assert waiting["obstacle"] == {"kind": "needs", "subject": "30"}
    assert waiting["reason"] == "it waits for jobs: 30"


def test_the_json_of_the_list_has_the_streams_in_their_order() -> None:
    document = streams_json(StreamList(NOW, (SUMMARY, replace(SUMMARY, stream=9))))
    assert [stream["stream"] for stream in document["streams"]] == [12, 9]
