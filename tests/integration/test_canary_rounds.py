"""What a canary concludes from messages that come back and messages that do not; no time passes."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def canary(celery_setup_app: Any) -> Any:
    # Only now: `tasks` reads the settings, which the fixture has set, when it is imported.
    from tasks import canary

    return canary


def verdicts(canary: Any, rounds: Any, *beats: dict[str, bool], start: float = 0.0) -> list[str]:
    usual = {"sent": True, "consuming": True, "free": True}
    times = [start + canary.BEAT_SECONDS * number for number in range(len(beats))]
    return [rounds.beat(now, **{**usual, **beat}).name for now, beat in zip(times, beats, strict=True)]


def test_two_messages_in_a_row_that_do_not_come_back_mean_a_new_connection_and_four_the_end(
    canary: Any,
) -> None:
    beats: list[dict[str, bool]] = [{}] * 5
    assert verdicts(canary, canary.Rounds(), *beats) == ["FINE", "FINE", "RESTART", "FINE", "GIVE_UP"]


def test_whatever_is_received_counts_as_having_come_back(canary: Any) -> None:
    rounds = canary.Rounds()
    assert verdicts(canary, rounds, {}, {}) == ["FINE", "FINE"]
    rounds.heard(canary.BEAT_SECONDS + 1)
    assert verdicts(canary, rounds, {}, {}, start=2 * canary.BEAT_SECONDS) == ["FINE", "FINE"]


@pytest.mark.parametrize("reason", ["sent", "free"])
def test_nothing_is_concluded_while_the_broker_does_not_answer_or_no_slot_is_free(
    canary: Any, reason: str
) -> None:
    beats: list[dict[str, bool]] = [{}, {}, {reason: False}, {}, {}, {reason: False}]
    assert verdicts(canary, canary.Rounds(), *beats) == ["FINE"] * 6


def test_a_consumer_that_does_not_come_back_although_the_broker_answers_means_the_end(canary: Any) -> None:
    beats = [{"consuming": False}] * 4
    assert verdicts(canary, canary.Rounds(), *beats) == ["FINE", "FINE", "FINE", "GIVE_UP"]


def test_a_consumer_that_waits_for_a_broker_that_is_away_is_waited_for(canary: Any) -> None:
    beats = [{"consuming": False, "sent": False}] * 9
    assert verdicts(canary, canary.Rounds(), *beats) == ["FINE"] * 9
