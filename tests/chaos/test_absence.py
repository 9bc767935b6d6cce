"""When an absence of a worker begins and ends."""

from __future__ import annotations

import math
import time

from tests.chaos.absence import ENDING_SECONDS, Absence, Absences


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
