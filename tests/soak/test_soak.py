"""The rule of the soak, its load, and that the script ends as it promises."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.process_nodes import PROJECT
from tests.soak.load import AGENTS, CHATTY, FAILING, SHAPES
from tests.soak.report import read_series, summary, table, trends, write_look
from tests.soak.samples import CONNECTIONS, MIB, QUANTITIES, warm_backends
from tests.soak.trend import WARM_UP_SECONDS, Point, Trend, fit, judge

SECONDS = 600
EVERY = 2
FLOOR = 1.0


def series(value: Callable[[float], float], *, seconds: int = SECONDS) -> list[Point]:
    """Samples of a quantity over the time of a run."""
    return [(float(at), value(at)) for at in range(0, seconds, EVERY)]


def clinging_noise(chance: random.Random) -> Callable[[float], float]:
    """Noise whose samples follow each other, as memory does."""
    level = 0.0

    def value(at: float) -> float:
        nonlocal level
        level = 0.8 * level + chance.gauss(0, 1)
        return 50 + level

    return value


def test_least_squares_finds_the_line_and_its_error() -> None:
    exact = fit([(0, 1), (1, 3), (2, 5), (3, 7)])
    assert exact.slope == pytest.approx(2) and exact.error == pytest.approx(0)
    rough = fit([(0, 0), (1, 2), (2, 1), (3, 3)])
    assert rough.slope == pytest.approx(0.8)
    assert rough.error == pytest.approx(math.sqrt(1.8 / 2 / 5))


def test_a_leak_beneath_the_noise_of_single_samples_is_seen() -> None:
    chance = random.Random(1)
    trend = judge(series(lambda at: 50 + at * 0.01 + chance.gauss(0, 0.5)), FLOOR)
    assert trend.grows
    assert trend.per_hour == pytest.approx(36, rel=0.1)


def test_a_quantity_that_never_changes_does_not_grow() -> None:
    trend = judge(series(lambda at: 7.0), FLOOR)
    assert not trend.grows and (trend.first, trend.last, trend.highest, trend.per_hour) == (7, 7, 7, 0)


def test_noise_alone_hardly_ever_counts_as_growth() -> None:
    found = [judge(series(clinging_noise(random.Random(seed))), 0.0).grows for seed in range(1000)]
    assert sum(found) <= 3


def test_what_fills_up_and_then_stays_does_not_grow() -> None:
    chance = random.Random(2)
    filling = series(lambda at: 50 + min(at, SECONDS * 0.75) * 0.05 + chance.gauss(0, 0.1))
    assert not judge(filling, FLOOR).grows


def test_what_is_collected_again_and_again_does_not_grow() -> None:
    assert not judge(series(lambda at: 50 + (at % 60) * 0.2), FLOOR).grows


def test_a_rise_that_is_certain_but_small_does_not_count() -> None:
    trend = judge(series(lambda at: 50 + at * 0.001), FLOOR)
    assert not trend.grows and trend.per_hour == pytest.approx(3.6)


def test_one_wild_moment_neither_makes_a_leak_nor_hides_one() -> None:
    assert not judge(series(lambda at: 90.0 if 500 <= at < 510 else 50.0), FLOOR).grows
    assert judge(series(lambda at: 90.0 if 400 <= at < 410 else 50.0 + at * 0.01), FLOOR).grows


def test_the_warm_up_does_not_count() -> None:
    assert not judge(series(lambda at: min(50.0, at)), FLOOR).grows


def test_the_warm_up_takes_its_time_however_short_the_run() -> None:
    filling = series(lambda at: min(at, WARM_UP_SECONDS) * 0.05)
    assert judge(filling, FLOOR).per_hour == 0
    assert judge(series(lambda at: at * 0.05), FLOOR).grows
    assert judge(series(lambda at: at * 0.05, seconds=int(WARM_UP_SECONDS) + 30), FLOOR).per_hour is None


def test_nothing_is_said_about_a_short_time() -> None:
    assert judge(series(lambda at: at, seconds=60), FLOOR) == Trend(0, 58, 58)


def test_only_what_is_judged_can_grow_in_the_report() -> None:
    rising = series(lambda at: at * 1.0)
    judged = trends({("worker", "private"): rising, ("worker", "resident"): rising})
    assert [line.endswith("GROWS") for line in table(judged)] == [False, True, False]
    facts = {"jobs": 1, "minutes": 1, "load_before": 0.0, "restarts": []}
    assert summary(facts, judged)[-1] == "grows: worker private"


def test_a_new_backend_counts_as_one_more_connection_and_not_as_growth_of_a_warm_one(
    connection: psycopg.Connection[Any],
) -> None:
    warm = list(warm_backends(connection, seconds=0))
    assert warm and all(size > MIB / 4 for size in warm)
    assert list(warm_backends(connection, seconds=3600)) == []  # this one is new
    before = connection.execute(CONNECTIONS).fetchone()
    with psycopg.connect(connection.info.dsn, password=connection.info.password):
        assert connection.execute(CONNECTIONS).fetchone() != before
        assert list(warm_backends(connection, seconds=3600)) == []
    assert QUANTITIES["a backend"].floor < math.inf and QUANTITIES["connections"].floor < math.inf


def test_what_was_seen_is_read_again_from_the_file(tmp_path: Path) -> None:
    looks = [
        (0.5, {("worker", "private"): 50.25}),
        (2.5, {("worker", "private"): 51.0, ("redis", "keys"): 3}),
    ]
    with (tmp_path / "samples").open("w") as file:
        for at, seen in looks:
            write_look(file, at, seen)
    found = read_series(tmp_path / "samples")
    assert found == {("worker", "private"): [(0.5, 50.25), (2.5, 51.0)], ("redis", "keys"): [(2.5, 3)]}


def test_the_load_has_every_agent_and_prerequisites_come_first() -> None:
    tasks = [shape(random.Random(3)) for shape in SHAPES]
    assert {agent for stream in tasks for agent, _, _ in stream} == {"trivial", CHATTY, FAILING}
    assert all(need < job for stream in tasks for job, (_, _, needs) in enumerate(stream) for need in needs)


def test_the_chatty_agent_completes_and_the_failing_one_does_not() -> None:
    said = {
        name: subprocess.run(
            [AGENTS / name], input="7\nCLOSE\n", capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for name in (CHATTY, FAILING)
    }
    assert said[CHATTY][-1] == "BYE 0" and len(said[CHATTY]) > 300
    assert said[FAILING][-1] == "BYE 3"


def test_the_script_ends_with_one_json_object_on_one_line() -> None:
    command = [sys.executable, "-m", "tests.soak", "--minutes", "0.05", "--json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["jobs"] > 0 and facts["restarts"] == [] and facts["grows"] == []
