"""The judge finds each thing that may be wrong, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.absence import Absence
from tests.chaos.evidence import Evidence, Finding, Wrong
from tests.chaos.faults import Deed
from tests.chaos.given import Drain, Given, Silence
from tests.chaos.model import COMPLETED, FAILED, endings, seconds_left
from tests.chaos.obedience import HEARD_SECONDS, REACH_SECONDS, REPORT_SECONDS
from tests.chaos.orders import Verb
from tests.chaos.records import Run
from tests.chaos.rows import Attempt, Row
from tests.chaos.streams import Job
from tests.chaos.verdict import judge

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
    given: Given | None = None,
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
        given=given or Given(),
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


def test_a_job_that_was_set_back_while_its_agent_came_to_its_end_is_completed_once() -> None:
    before = replace(SECOND, pid=99, ended_at=12.0, reason="ended from outside: set back")
    evidence = an_evidence(attempts=((FIRST,), (before, replace(SECOND, epoch=2))))
    assert judge(evidence) == []


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
    assert endings(jobs, killed={0}) == dict.fromkeys(range(6), FAILED)


def test_the_work_left_is_the_longest_way_or_all_of_it_on_all_slots() -> None:
    jobs = (Job(0, "slow0", tenths=30), Job(0, "slow0", (0,), tenths=10), Job(0, "slow0", tenths=20))
    assert seconds_left(jobs, (), slots=6) == pytest.approx(4.0)
    assert seconds_left(jobs, (), slots=1) == pytest.approx(6.0)
    assert seconds_left(jobs, {0}, slots=6) == pytest.approx(2.0)


GOOD = Row(11, "Completed", 1, 2, 11.0)
DONE = Row(12, "Completed", 1, 5, 13.0)
KILLED = Row(12, "killed", 2, 0, 12.5)
CUT_SHORT = replace(SECOND, ending="lost", reason="ended from outside: killed")
FIRST_RUN = (Run("0", 101, 10.1, 10.9),)


def a_kill(then: Row = KILLED, now: Row = KILLED, attempt: Attempt = CUT_SHORT) -> Evidence:
    """The second job was killed at 12.5 and its agent with it; after the kill its row was `then`."""
    killed = {1} if then.text == KILLED.text else set()
    silences = [Silence(1, Verb.KILL, 12.5)] if killed else []
    given = Given(silences, {1: then}, killed)
    runs = (FIRST_RUN, (Run("1", 102, 12.1, 12.9 if now is DONE else None, seen_at=12.6),))
    return an_evidence((GOOD, now), ((FIRST,), (attempt,)), runs, given=given)


def test_a_killed_job_has_failed_or_is_what_it_was_before() -> None:
    assert judge(a_kill()) == []
    assert judge(a_kill(then=DONE, now=DONE, attempt=SECOND)) == []


@pytest.mark.parametrize(
    "evidence",
    [
        a_kill(now=DONE, attempt=SECOND),
        a_kill(then=Row(12, "Started", 0, 0, None), now=DONE, attempt=SECOND),
        a_kill(then=replace(DONE, ended_at=12.0), now=DONE, attempt=SECOND),
        a_kill(attempt=replace(CUT_SHORT, started_at=12.6)),
    ],
    ids=["completed later all the same", "did not end", "ended before and ended again", "was started later"],
)
def test_a_kill_that_came_to_nothing_is_found(evidence: Evidence) -> None:
    assert Wrong.DISOBEYED in wrongs(judge(evidence))


def test_a_killed_job_without_a_trace_in_the_ledger_is_found() -> None:
    evidence = a_kill()
    assert wrongs(judge(replace(evidence, attempts={0: [FIRST]}))) == {Wrong.DOUBLED}


def a_pause(since: float, until: float = 30.0, worked: float = 12.9, **also: Any) -> Evidence:
    """The second job was paused from then until then, and its agent came to its end at `worked`."""
    ended = worked + 0.1
    return an_evidence(
        (GOOD, replace(DONE, ended_at=ended)),
        ((FIRST,), (replace(SECOND, ended_at=ended),)),
        (FIRST_RUN, (Run("1", 102, 12.1, worked),)),
        given=Given([Silence(1, Verb.PAUSE, since, until)]),
        **also,
    )


def test_a_paused_job_may_end_before_its_worker_hears_of_it_and_after_its_restart() -> None:
    assert judge(a_pause(12.2)) == []
    assert judge(a_pause(12.2, worked=12.1 + HEARD_SECONDS)) == []
    deaf = (Absence("w2", 0.0, 12.2),)
    assert judge(replace(a_pause(12.2, worked=12.1 + REACH_SECONDS), cut_off=deaf)) == []
    assert judge(a_pause(12.2, until=25.0, worked=25.1)) == []


def test_a_paused_job_that_is_started_or_works_on_is_found() -> None:
    assert wrongs(judge(a_pause(11.9))) == {Wrong.DISOBEYED}
    assert wrongs(judge(a_pause(12.2, worked=12.3 + HEARD_SECONDS))) == {Wrong.DISOBEYED}
    seen = a_pause(12.2, until=14.5 + HEARD_SECONDS, worked=14.6 + HEARD_SECONDS)
    assert judge(seen) == []
    seen.runs[1][0].moments.append(14.4 + HEARD_SECONDS)
    assert wrongs(judge(seen)) == {Wrong.DISOBEYED}
    deaf = (Absence("w2", 12.0, 19.0),)
    assert wrongs(judge(replace(a_pause(12.2, worked=12.3 + REACH_SECONDS), cut_off=deaf))) == {
        Wrong.DISOBEYED
    }


def test_an_agent_of_a_paused_job_works_on_only_where_no_worker_is_there_to_stop_it() -> None:
    def found(*absences: Absence, struck: Mapping[int, Deed] | None = None) -> set[Wrong]:
        return wrongs(judge(a_pause(12.2, worked=20.0, absences=absences, struck=struck)))

    assert found(Absence("w2", 13.0, 18.0)) == found(Absence("w2", 12.0)) == set()
    assert found(struck={102: Deed.STOP}) == set()  # the end of that fault has let it go on
    assert found(Absence("w1", 12.0)) == found(struck={102: Deed.KILL}) == {Wrong.DISOBEYED}
    assert found(Absence("w2", 12.0, 17.9)) == found(Absence("w2", 16.3)) == {Wrong.DISOBEYED}


def test_a_drained_worker_that_takes_a_job_is_found_unless_it_could_not_hear() -> None:
    def found(seconds: float, *cut_off: Absence) -> set[Wrong]:
        late = replace(SECOND, claimed_at=11.9)
        given = Given(drains=[Drain("w2", "worker@w2", 11.9 - seconds)])
        return wrongs(judge(replace(an_evidence(attempts=((FIRST,), (late,)), given=given), cut_off=cut_off)))

    assert found(HEARD_SECONDS - 0.1) == set()
    assert found(HEARD_SECONDS + 0.1) == found(3.0, Absence("w1", 0.0, 11.9)) == {Wrong.DISOBEYED}
    assert found(3.0, Absence("w2", 0.0, 9.0 - REPORT_SECONDS + 0.1)) == set()
    assert found(3.0, Absence("w2", 0.0, 8.8 - REPORT_SECONDS)) == {Wrong.DISOBEYED}


def test_a_job_that_was_told_to_run_again_is_judged_by_its_last_life_and_ends_once_in_each() -> None:
    again = replace(SECOND, epoch=3)
    failed = replace(BROKEN, pid=99, started_at=11.2, ended_at=11.5)

    def found(*attempts: Attempt, struck: Mapping[int, Deed] | None = None) -> set[Wrong]:
        ledger = ((FIRST,), attempts)
        return wrongs(judge(an_evidence(attempts=ledger, struck=struck, given=Given(lives={1: [2]}))))

    assert found(failed, again, struck={99: Deed.KILL}) == set()
    assert found(failed, replace(failed, epoch=2), again) == {Wrong.DOUBLED}
    assert found(failed, replace(failed, epoch=2)) == {Wrong.DOUBLED}
