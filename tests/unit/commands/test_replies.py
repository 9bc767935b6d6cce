"""Replies have the bytes that web pages and fo_cli take apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scheduler_bridge.commands.replies import (
    AgentLine,
    AgentStatus,
    HostLine,
    JobLine,
    JobStatus,
    SchedulerLine,
    agents,
    job_status,
    load,
    status,
    verbosity,
)


def test_an_idle_scheduler_shows_its_own_line_and_a_nul_after_the_end() -> None:
    scheduler = SchedulerLine(21353, "abc123", True, 0, "/p/fossology.log", 22355, 3)
    assert status(scheduler, []) == (
        b"scheduler:21353 revision:abc123 daemon:1 jobs:0 log:/p/fossology.log port:22355 verbose:3\nend\n\0"
    )


def test_jobs_are_listed_by_number() -> None:
    jobs = [JobLine(job, JobStatus.CHECKEDOUT, "nomos") for job in (10, 9, -1)]
    lines = status(SchedulerLine(1, "", False, 3, "", 1, 0), jobs).split(b"\n")
    assert [line.split()[0] for line in lines[1:4]] == [b"job:-1", b"job:9", b"job:10"]


def test_a_sign_of_life_is_shown_in_local_time_without_fractions() -> None:
    seen = datetime(2026, 11, 21, 7, 50, 8, 999_999, tzinfo=UTC)
    agent = AgentLine(3538, "localhost", "tracer", AgentStatus.RUNNING, seen)
    local = seen.astimezone().strftime("%Y-%m-%d %H:%M:%S").encode()
    assert b" time:" + local + b"\n" in job_status(JobLine(1, JobStatus.STARTED, "tracer"), [agent])


def test_a_text_of_a_row_cannot_end_its_line_or_the_reply() -> None:
    reply = job_status(JobLine(1, JobStatus.FAILED, "x\nend\n\0\x1b\udcff"), [])
    assert reply == (
        b"job:1 status:JOB_FAILED type:x?end????, priority:0 running:0 finished:0 failed:0\nend\n\0"
    )


def test_lists_without_entries_have_an_end() -> None:
    assert agents([]) == b"\nend\n"
    assert load([]) == b"\nend\n"


def test_hosts_keep_the_order_of_the_configuration() -> None:
    assert load([HostLine("b", "b.example", 10, 3), HostLine("a", "localhost", 1, 0)]) == (
        b"host:b address:b.example max:10 running:3\nhost:a address:localhost max:1 running:0\n\nend\n"
    )


@pytest.mark.parametrize(
    ("value", "reply"),
    [
        (0, b"level: 0\n"),
        (7, b"level: 7\n"),
        (8, b"mask:       h d i e s a j\nmask: 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 \n"),
        (952, b"mask:       h d i e s a j\nmask: 0 0 0 1 1 1 0 1 1 1 0 0 0 0 0 0 \n"),
        (65_536, b"mask:       h d i e s a j\nmask: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 \n"),
    ],
)
def test_a_verbosity_is_shown_as_a_level_or_as_the_bits_of_a_mask(value: int, reply: bytes) -> None:
    assert verbosity(value) == reply
