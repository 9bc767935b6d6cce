"""The yardstick's own arithmetic, and that the script ends as it promises; nothing here looks at a figure."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from scheduler_bridge.dispatch.routes import LOOK_AGAIN, RUN_JOB, SWEEP
from scheduler_bridge.model.jobs import Job
from scheduler_bridge.plan.planner import plan
from tests.bench import sweeping
from tests.bench.dags import JOBS, Dag, dag
from tests.bench.figures import Figure
from tests.bench.makespan import SEEDS
from tests.bench.tap import Message, Tally
from tests.bench.workshop import PROJECT, workshop


def a_message(task: str, task_id: str, *, group: str | None = None, then: tuple[str, ...] = ()) -> Message:
    chain = [{"task": RUN_JOB, "options": {"task_id": link}} for link in then]
    body = base64.b64encode(json.dumps([[], {}, {"chain": chain or None}]).encode()).decode()
    headers = {"task": task, "id": task_id, "group": group}
    return Message.read(json.dumps({"headers": headers, "body": body}).encode())


def is_series_parallel(graph: Dag) -> bool:
    jobs = [Job(number, 1, "trivial", needs=frozenset(needs)) for number, needs in enumerate(graph.needs)]
    return not plan(jobs).cross


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_stream_has_fifty_jobs_whose_prerequisites_come_first(seed: int) -> None:
    graph = dag(seed)
    assert len(graph.needs) == len(graph.sleeps_ms) == JOBS
    assert all(need < job for job, need in graph.pairs)
    assert graph == dag(seed)


def test_some_streams_are_series_parallel_and_most_are_not() -> None:
    shapes = {(dag(seed).shape, is_series_parallel(dag(seed))) for seed in range(SEEDS)}
    assert shapes == {("nested", True), ("layered", False), ("scattered", False), ("crossed", False)}


def test_the_critical_path_is_the_longest_way_and_levels_are_depths() -> None:
    graph = Dag("by hand", (1000, 500, 2000, 100), ((), (0,), (), (1, 2)))
    assert graph.critical_path_s == 2.1
    assert graph.levels() == [[0, 2], [1], [3]]


def test_messages_are_counted_by_what_they_were_published_as() -> None:
    line = [
        a_message(RUN_JOB, "lone"),
        a_message(RUN_JOB, "first", then=("third", "second")),
        a_message(RUN_JOB, "second", then=("third",)),
        a_message(RUN_JOB, "third"),
        a_message(RUN_JOB, "left", group="g"),
        a_message(RUN_JOB, "right", group="g", then=("behind",)),
        a_message(RUN_JOB, "behind", group="g"),
        a_message(LOOK_AGAIN, "body"),
        a_message(SWEEP, "sweep"),
    ]
    tally = Tally.of(line)
    assert (tally.hints, tally.chains, tally.chords, tally.look_agains, tally.messages) == (1, 1, 1, 1, 8)
    assert tally.bytes_max == max(message.size for message in line)


def test_a_target_is_a_bound_from_its_own_side() -> None:
    assert Figure("", 10).met(10) and not Figure("", 10).met(10.1)
    assert Figure("", 180, at_least=True).met(180) and not Figure("", 180, at_least=True).met(179)
    assert Figure("").met(1) is None


def test_a_sweep_is_measured_with_all_its_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HISTORY_ROWS": 500, "WIDE_STREAMS": 2, "DEEP_STREAMS": 2, "PASSES_A_RUN": 2}.items():
        monkeypatch.setattr(sweeping, name, value)
    with workshop() as shop:
        figures = sweeping.sweep(shop, 1)
    statements = figures["sweep_ms_1m_by_statement"]
    assert set(statements) >= {"sweep_turn", "reclaim", "look_at_slice", "close_streams", "observe", "top_up"}
    assert min(statements.values()) > 0 and figures["sweep_max_ms_1m"] >= figures["sweep_ms_1m"] > 0


def test_the_script_ends_with_one_json_object_on_one_line() -> None:
    command = [sys.executable, "-m", "tests.bench", "--only", "spawn", "--runs", "1", "--json"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    figures = json.loads(output.splitlines()[-1])
    assert figures["agent"] in ("c", "sh") and figures["spawn_per_s"] > 0
