"""May this job start, and if not, why?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler_bridge.plan.admission import Facts, Obstacle, ObstacleKind, explain, obstacle

FREE = Facts(agent_type="nomos", host="alpha", host_slots=2)

IN_ORDER: tuple[tuple[ObstacleKind, dict[str, Any], str], ...] = (
    (ObstacleKind.ENDED, {"ended": True}, ""),
    (ObstacleKind.ORPHAN, {"orphan": True}, ""),
    (ObstacleKind.TAKEN, {"taken": True}, ""),
    (ObstacleKind.PAUSED, {"paused": True}, ""),
    (ObstacleKind.DOOMED, {"doomed": (9, 8)}, "8, 9"),
    (ObstacleKind.NEEDS, {"needs": (15, 12)}, "12, 15"),
    (ObstacleKind.UNKNOWN_TYPE, {"type_known": False}, "nomos"),
    (ObstacleKind.WRONG_HOST, {"wanted_host": "beta"}, "beta"),
    (ObstacleKind.EXCLUSIVE_RUNS, {"exclusive_running": True}, ""),
    (ObstacleKind.EXCLUSIVE_WAITS, {"exclusive": True, "others_running": 1}, "nomos"),
    (ObstacleKind.HOST_FULL, {"host_running": 2}, "alpha"),
    (ObstacleKind.TYPE_FULL, {"type_running": 3, "type_maximum": 3}, "nomos"),
)


def with_facts(**facts: Any) -> Facts:
    return replace(FREE, **facts)


def test_a_job_with_nothing_in_its_way_may_start() -> None:
    assert obstacle(FREE) is None


@pytest.mark.parametrize(
    ("kind", "facts", "subject"), IN_ORDER, ids=lambda value: getattr(value, "value", "")
)
def test_each_obstacle_is_found_and_says_what_it_is_about(
    kind: ObstacleKind, facts: dict[str, Any], subject: str
) -> None:
    assert obstacle(with_facts(**facts)) == Obstacle(kind, subject)


@pytest.mark.parametrize("first", range(len(IN_ORDER)), ids=[kind.value for kind, _, _ in IN_ORDER])
def test_of_several_obstacles_the_most_important_is_named(first: int) -> None:
    together: dict[str, Any] = {}
    for _, facts, _ in IN_ORDER[first:]:
        together |= facts
    found = obstacle(with_facts(**together))
    assert found is not None
    assert found.kind is IN_ORDER[first][0]


def test_an_exclusive_job_may_start_when_nothing_runs() -> None:
    assert obstacle(with_facts(exclusive=True)) is None


def test_an_ordinary_job_may_start_beside_others() -> None:
    assert obstacle(with_facts(others_running=5, host_running=1, type_running=5)) is None


def test_an_agent_type_below_its_maximum_may_start() -> None:
    assert obstacle(with_facts(type_running=2, type_maximum=3)) is None


def test_a_maximum_of_none_at_all_lets_nothing_start() -> None:
    assert obstacle(with_facts(type_maximum=0)) == Obstacle(ObstacleKind.TYPE_OFF, "nomos")


def test_a_job_for_this_host_may_start() -> None:
    assert obstacle(with_facts(wanted_host="alpha")) is None


def test_an_empty_wanted_host_means_any() -> None:
    assert obstacle(with_facts(wanted_host="")) is None


def test_a_local_agent_type_runs_on_the_host_named_localhost_whatever_the_row_says() -> None:
    assert obstacle(with_facts(is_local=True, wanted_host="alpha")) == Obstacle(
        ObstacleKind.WRONG_HOST, "localhost"
    )
    assert obstacle(with_facts(is_local=True, wanted_host="alpha", host="localhost")) is None


def test_thousands_of_prerequisites_are_not_all_listed() -> None:
    found = obstacle(with_facts(needs=tuple(range(5_000))))
    assert found == Obstacle(ObstacleKind.NEEDS, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (5,000 jobs)")


def test_only_what_waiting_cannot_mend_is_gone() -> None:
    assert {kind for kind in ObstacleKind if kind.gone} == {
        ObstacleKind.ENDED,
        ObstacleKind.ORPHAN,
        ObstacleKind.TAKEN,
        ObstacleKind.DOOMED,
        ObstacleKind.UNKNOWN_TYPE,
    }


def test_every_kind_has_a_sentence_of_its_own() -> None:
    sentences = {explain(Obstacle(kind, "SUBJECT")) for kind in ObstacleKind}
    assert len(sentences) == len(ObstacleKind)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Obstacle(ObstacleKind.NEEDS, "12, 15"), "it waits for jobs: 12, 15"),
        (Obstacle(ObstacleKind.HOST_FULL, "alpha"), "all slots of host alpha are taken"),
        (Obstacle(ObstacleKind.NO_HOST, "nomos"), "no healthy host can run agent type nomos"),
        (Obstacle(ObstacleKind.PAUSED), "it is paused"),
        (Obstacle(ObstacleKind.UNKNOWN_TYPE, "{odd}"), "agent type {odd} is not configured"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Obstacle) else "",
)
def test_an_obstacle_is_explained_in_a_sentence(found: Obstacle, sentence: str) -> None:
    assert explain(found) == sentence
