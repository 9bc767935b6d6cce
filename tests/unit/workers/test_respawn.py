"""Respawn budget and idle ages of the pre-2.0 manual."""

from __future__ import annotations

import pytest

from workers.respawn import (
    IDLE_SECONDS,
    KEPT_SECONDS,
    RESPAWN_SECONDS,
    RespawnBudget,
    may_retire,
    must_retire,
)


def test_four_deaths_in_five_minutes_do_not_spend_the_budget() -> None:
    budget = RespawnBudget()
    for now in (0.0, 1.0, 2.0, 3.0):
        budget.died(now)
    assert budget.seconds_left(3.0) == 0


def test_the_fifth_death_in_five_minutes_stops_new_agents_for_five_minutes() -> None:
    budget = RespawnBudget()
    for now in (0.0, 1.0, 2.0, 3.0, 300.0):
        budget.died(now)
    assert budget.seconds_left(300.0) == RESPAWN_SECONDS
    assert budget.seconds_left(599.0) == 1.0
    assert budget.seconds_left(600.0) == 0


def test_deaths_more_than_five_minutes_apart_do_not_add_up() -> None:
    budget = RespawnBudget()
    for now in (0.0, 100.0, 200.0, 300.0, 300.5):
        budget.died(now)
    assert budget.seconds_left(300.5) == 0
    budget.died(400.0)
    assert budget.seconds_left(400.0) > 0


def test_a_new_budget_is_given_after_the_pause() -> None:
    budget = RespawnBudget()
    for _ in range(5):
        budget.died(0.0)
    for _ in range(4):
        budget.died(RESPAWN_SECONDS)
    assert budget.seconds_left(RESPAWN_SECONDS) == 0


def test_an_ordered_end_resets_the_count() -> None:
    budget = RespawnBudget()
    for _ in range(4):
        budget.died(0.0)
    budget.ended_in_order()
    budget.died(0.0)
    assert budget.seconds_left(0.0) == 0


@pytest.mark.parametrize(
    ("idle", "may", "must"),
    [(0, False, False), (19.9, False, False), (20, True, False), (900, True, False), (900.1, True, True)],
)
def test_an_idle_agent_is_kept_twenty_seconds_and_not_longer_than_fifteen_minutes(
    idle: float, may: bool, must: bool
) -> None:
    assert KEPT_SECONDS == 20 and IDLE_SECONDS == 900
    assert may_retire(100.0, 100.0 + idle) is may
    assert must_retire(100.0, 100.0 + idle) is must
