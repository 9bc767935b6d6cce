"""Silence and lack of progress, on a clock that the test moves; a pause stops it."""

from __future__ import annotations

import math

import pytest

from workers.timing import Phase, Timers, Timing
from workers.watch import Watch


def a_watch(**changes: float) -> Watch:
    """FOSSology's timers, begun at 0."""
    seconds = {"death_seconds": 180.0, "update_seconds": 120.0, **changes}
    return Watch(**seconds, update_number=5, now=0.0)


def test_an_agent_may_be_silent_for_its_time_and_no_longer() -> None:
    watch = a_watch()
    watch.heard(100.0)
    assert watch.verdict(279.9) is None
    assert watch.verdict(280.0) == "no heartbeat for 180 seconds"


def test_an_agent_that_talks_without_progress_is_given_up_after_more_than_five_updates() -> None:
    watch = a_watch()
    for update in range(1, 6):
        watch.heard(update * 120.0)
        assert watch.verdict(update * 120.0) is None
    watch.heard(720.0)
    assert watch.verdict(720.0) == "agent has not set the alive flag for 720 seconds"


def test_one_sign_of_progress_starts_the_count_again() -> None:
    watch = a_watch()
    for update in range(1, 12):
        watch.heard(update * 120.0)
        if update == 6:
            watch.progressed()
        assert watch.verdict(update * 120.0) is None


def test_a_look_between_two_updates_changes_nothing() -> None:
    watch = a_watch(death_seconds=10_000.0)
    for now in range(0, 719):
        assert watch.verdict(float(now)) is None


def test_pre_2_0_agents_need_not_show_progress() -> None:
    watch = a_watch()
    watch.counts_progress = False
    for now in range(0, 3600, 60):
        watch.heard(float(now))
        assert watch.verdict(float(now)) is None
    assert watch.look_at() == 3540.0 + 180.0


def test_an_exempt_agent_may_be_silent_for_ever_and_is_watched_anew_afterwards() -> None:
    watch = a_watch()
    watch.enable(False, 10.0)
    assert watch.verdict(1e6) is None
    assert watch.look_at() == math.inf
    watch.enable(True, 1e6)
    assert watch.verdict(1e6 + 179.0) is None
    assert watch.verdict(1e6 + 180.0) is not None


@pytest.mark.parametrize(
    ("phase", "ends_at"),
    [
        (Phase.STARTING, 60.0),
        (Phase.CLOSING, 5.0),
        (Phase.MUTE, 5.0),
        (Phase.STOPPING, 20.0),
        (Phase.KILLED, 20.0),
    ],
)
def test_a_phase_lasts_as_long_as_its_timer(phase: Phase, ends_at: float) -> None:
    timing = Timing(Timers(), 1000.0)
    timing.enter(phase, 1000.0)
    assert timing.seconds_left(1000.0) == ends_at
    assert not timing.is_over(1000.0 + ends_at - 0.1)
    assert timing.is_over(1000.0 + ends_at)


def test_a_working_agent_has_as_long_as_it_gives_signs_of_life() -> None:
    timing = Timing(Timers(), 0.0)
    timing.enter(Phase.WORKING, 0.0)
    assert not timing.is_over(1e9)
    assert timing.seconds_left(0.0) == 120.0
    assert timing.complaint(180.0) == "no heartbeat for 180 seconds"


def test_silence_is_no_complaint_outside_the_work() -> None:
    timing = Timing(Timers(), 0.0)
    timing.enter(Phase.STOPPING, 0.0)
    assert timing.complaint(1e6) is None


def test_nothing_is_due_in_a_pause_and_the_phase_goes_on_behind_it() -> None:
    timing = Timing(Timers(), 0.0)
    timing.pause(10.0)
    assert timing.seconds_left(1e6) == math.inf
    assert not timing.is_over(1e6)
    timing.resume(1010.0)
    assert timing.seconds_left(1010.0) == 50.0


def test_silence_in_a_pause_does_not_count() -> None:
    timing = Timing(Timers(), 0.0)
    timing.enter(Phase.WORKING, 0.0)
    timing.pause(10.0)
    assert timing.complaint(1e6) is None
    timing.resume(1e6)
    assert timing.complaint(1e6 + 100.0) is None


def test_a_working_agent_may_take_as_long_as_it_likes_unless_that_is_limited() -> None:
    unlimited, limited = Timing(Timers(), 0.0), Timing(Timers(working_seconds=60.0), 0.0)
    for timing in (unlimited, limited):
        timing.enter(Phase.WORKING, 0.0)
        timing.watch.enable(False, 0.0)
    assert unlimited.seconds_left(0.0) == math.inf and not unlimited.is_over(10**9)
    assert limited.seconds_left(0.0) == 60.0 and limited.is_over(60.0)


def test_time_in_which_nobody_could_hear_the_agent_does_not_count() -> None:
    timing = Timing(Timers(ready_seconds=60.0, death_seconds=180.0), 0.0)
    timing.enter(Phase.WORKING, 0.0)
    assert timing.longest_wait(0.0) == 3.0
    timing.has_waited(1003.0, 3.0)
    assert timing.complaint(1000.0 + 179.0) is None
    timing.enter(Phase.STARTING, 1000.0)
    timing.has_waited(1003.0, 3.0)
    assert not timing.is_over(2059.0) and timing.is_over(2060.0)


def test_a_wait_that_was_a_little_longer_than_asked_for_counts() -> None:
    timing = Timing(Timers(), 0.0)
    timing.enter(Phase.WORKING, 0.0)
    for _ in range(60):
        timing.has_waited(5.5, timing.longest_wait(0.0))
    assert timing.complaint(180.0) == "no heartbeat for 180 seconds"


def test_where_nothing_is_ever_due_nobody_looks() -> None:
    timing = Timing(Timers(), 0.0)
    timing.enter(Phase.WORKING, 0.0)
    timing.watch.enable(False, 0.0)
    assert timing.longest_wait(0.0) == math.inf
