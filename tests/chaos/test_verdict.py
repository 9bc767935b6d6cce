"""The judge finds each thing that may be wrong, and nothing where nothing is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.chaos.absence import ENDING_SECONDS, Absence, Absences
from tests.chaos.faults import Deed
from tests.chaos.model import COMPLETED, FAILED, endings, seconds_left
from tests.chaos.records import Run
from tests.chaos.streams import Job
from tests.chaos.verdict import Attempt, Evidence, Finding, Row, Wrong, judge

JOBS = (Job(0, "good0", tenths=2), Job(0, "slow0", (0,), tenths=5))
FIRST = Attempt(11, 1, "worker@w1", "w1", 101, "completed", "", 10.0, 11.0)
SECOND = Attempt(12, 1, "worker@w2", "w2", 102, "completed", "", 12.0, 13.0)
BROKEN = replace(SECOND, ending="failed", reason="agent was killed by signal: 9.Killed")


def an_evidence(
    rows: Sequence[Row] = (Row(11, "Completed", 1, 2, 11.0), Row(12, "Completed", 1, 5, 13.0)),
    attempts: Sequence[Sequence[Attempt]] = ((FIRST,), (SECOND,)),
    runs: Sequence[Sequence[Run]] = (
        (Run("0", 101, 10.1, 10.9),),
        (Run("1", 102, 12.1, 12.9),),
    ),
    struck: Mapping[int, Deed] | None = None,
    absences: Sequence[Absence] = (),
) -> Evidence:
    """Of a trial of two jobs, in which all went well unless told otherwise."""
    return Evidence(
        JOBS,
        {0: 11, 1: 12},
        dict(enumerate(rows)),
        {position: list(found) for position, found in enumerate(attempts)},
        {position: list(found) for position, found in enumerate(runs)},
        struck or {},
        absences,
    )


def wrongs(findings: Sequence[Finding]) -> set[Wrong]:
    """Without their texts."""
    return {finding.wrong for finding in findings}


def test_nothing_is_wrong_where_all_went_well() -> None:
    assert judge(an_evidence()) == []


@pytest.mark.parametrize(
    "row",
    [
        Row(12, "Started", 0, 0, None),
        Row(12, "Failed", 2, 5, 13.0),
        Row(12, "Completed", 1, 4, 13.0),
    ],
    ids=["that has not ended", "that ended otherwise", "that counts otherwise"],
)
def test_a_row_is_lost(row: Row) -> None:
    assert Wrong.LOST in wrongs(judge(an_evidence([Row(11, "Completed", 1, 2, 11.0), row])))


def test_an_attempt_that_never_ends_is_found() -> None:
    lasting = replace(SECOND, epoch=2, ending=None, ended_at=None)
    assert wrongs(judge(an_evidence(attempts=((FIRST,), (SECOND, lasting))))) == {Wrong.LOST}


def test_a_job_that_completed_twice_is_doubled() -> None:
    again = replace(SECOND, epoch=2)
    assert wrongs(judge(an_evidence(attempts=((FIRST,), (SECOND, again))))) == {Wrong.DOUBLED}


def test_a_completion_of_an_agent_that_did_not_come_to_its_end_is_found() -> None:
    runs = ((Run("0", 101, 10.1, 10.9),), (Run("1", 102, 12.1, None, seen_at=12.5),))
    assert wrongs(judge(an_evidence(runs=runs))) == {Wrong.DOUBLED}


def test_a_completion_that_was_written_before_its_agent_came_to_its_end_is_found() -> None:
    early = replace(SECOND, ended_at=12.8)
    assert wrongs(judge(an_evidence(attempts=((FIRST,), (early,))))) == {Wrong.DOUBLED}


def an_overlap(
    *absences: Absence, first_ended: str = "the lease of worker@w1 expired", host: str = "w2"
) -> Evidence:
    """An agent on w1 lives until 12.3, and another begins with its job at 12.1."""
    lost = replace(SECOND, pid=99, host="w1", ending="lost", reason=first_ended)
    attempts = ((FIRST,), (lost, replace(SECOND, epoch=2, host=host)))
    runs = ((Run("0", 101, 10.1, 10.9),), (Run("1", 99, 11.5, None, seen_at=12.3), Run("1", 102, 12.1, 12.9)))
    return an_evidence(attempts=attempts, runs=runs, absences=absences)


def test_two_agents_on_one_job_are_excused_while_the_first_ones_host_had_no_running_worker() -> None:
    assert judge(an_overlap(Absence("w1", 11.6, 12.4))) == []
    assert judge(an_overlap(Absence("w1", 11.6))) == []


@pytest.mark.parametrize(
    "evidence",
    [
        an_overlap(),
        an_overlap(Absence("w2", 11.6, 12.4)),
        an_overlap(Absence("w1", 12.2, 12.4)),
        an_overlap(Absence("w1", 11.6, 12.2)),
        an_overlap(Absence("w1", 11.6, 12.0), Absence("w1", 12.2, 12.4)),
        an_overlap(Absence("w1", 11.6, 12.4), first_ended="worker@w1 has died"),
        an_overlap(Absence("w1", 11.6, 12.4), host="w1"),
    ],
    ids=[
        "nothing was struck",
        "the other host was struck",
        "the second began while a worker ran",
        "the first went on when a worker ran again",
        "a worker ran in between",
        "somebody knew the first worker to be dead",
        "the job came back to the same host",
    ],
)
def test_two_agents_on_one_job_are_doubled_where_a_worker_could_end_the_first(evidence: Evidence) -> None:
    assert wrongs(judge(evidence)) == {Wrong.DOUBLED}


def test_a_third_agent_on_one_job_is_compared_with_the_first_too() -> None:
    attempts = (
        (FIRST,),
        tuple(replace(SECOND, epoch=epoch, pid=pid) for epoch, pid in ((1, 99), (2, 98), (3, 102))),
    )
    lost = [replace(attempt, ending="lost") for attempt in attempts[1][:2]]
    runs = (Run("1", 99, 11.0, None, seen_at=12.5), Run("1", 98, 11.1, 11.2), Run("1", 102, 12.1, 12.9))
    found = judge(
        an_evidence(attempts=((FIRST,), (*lost, attempts[1][2])), runs=((Run("0", 101, 10.1, 10.9),), runs))
    )
    assert [finding.wrong for finding in found] == [Wrong.DOUBLED] * 2


def test_an_absence_ends_a_moment_after_the_worker_is_continued() -> None:
    absences = Absences()
    absences.stop("w1")
    assert absences.all[0].until == math.inf
    before = time.time()
    absences.go_on("w1")
    (over,) = absences.all
    assert before <= over.until - ENDING_SECONDS <= time.time()
    absences.stop("w1")  # before that moment was over
    assert Absence("w1", over.since) in absences.all


def test_the_absence_of_a_killed_worker_ends_with_the_report_of_the_next_one_and_not_before() -> None:
    absences = Absences()
    absences.stop("w1")
    absences.kill("w1")
    absences.go_on("w1")
    assert absences.dead == {"w1"}
    assert absences.all[0].until == math.inf
    absences.report("w1")
    assert not absences.dead
    assert absences.all[0].until <= time.time()


def test_a_report_that_is_seen_late_does_not_end_the_absence_of_a_new_worker_that_was_stopped_meanwhile() -> (
    None
):
    absences = Absences()
    absences.kill("w1")
    (dead,) = absences.all
    absences.stop("w1")
    absences.report("w1")
    assert Absence("w1", dead.since) in absences.all
    absences.go_on("w1")
    assert max(one.until for one in absences.all) < math.inf


def test_a_job_that_began_before_its_prerequisite_had_ended_is_out_of_order() -> None:
    early = replace(SECOND, started_at=10.5)
    assert wrongs(judge(an_evidence(attempts=((FIRST,), (early,))))) == {Wrong.ORDER}


def test_an_agent_that_a_fault_has_killed_fails_its_job_and_no_other_may() -> None:
    rows = (Row(11, "Completed", 1, 2, 11.0), Row(12, "Failed", 2, 0, 13.0))
    attempts = ((FIRST,), (BROKEN,))
    assert judge(an_evidence(rows, attempts, struck={102: Deed.KILL})) == []
    assert wrongs(judge(an_evidence(rows, attempts))) == {Wrong.LOST}


def test_the_model_fails_what_fails_what_needs_it_and_what_waits_for_itself() -> None:
    jobs = (
        Job(0, "good0"),
        Job(0, "quits0", (0,)),
        Job(1, "good0", (1,)),
        Job(1, "good0", (0,)),
        Job(1, "good0", (5,)),
        Job(1, "good0", (4,)),
    )
    assert endings(jobs) == {0: COMPLETED, 1: FAILED, 2: FAILED, 3: COMPLETED, 4: FAILED, 5: FAILED}
    assert endings(jobs, broken={0}) == dict.fromkeys(range(6), FAILED)


def test_the_work_left_is_the_longest_way_or_all_of_it_on_all_slots() -> None:
    jobs = (Job(0, "slow0", tenths=30), Job(0, "slow0", (0,), tenths=10), Job(0, "slow0", tenths=20))
    assert seconds_left(jobs, (), slots=6) == pytest.approx(4.0)
    assert seconds_left(jobs, (), slots=1) == pytest.approx(6.0)
    assert seconds_left(jobs, {0}, slots=6) == pytest.approx(2.0)
