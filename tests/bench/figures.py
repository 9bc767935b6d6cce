"""What is measured, what it should be, and how both are printed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Figures: TypeAlias = dict[str, Any]  # what the JSON object holds

WIDTH = 58  # of a line's text


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; the target is for 2 cores and the C agent, None: only printed beside."""

    text: str
    target: float | None = None
    at_least: bool = False  # the target is a lower bound

    def met(self, value: float) -> bool | None:
        """Whether the value reaches the target, if there is one."""
        if self.target is None:
            return None
        return value >= self.target if self.at_least else value <= self.target


TABLE: Mapping[str, Figure] = {
    "commit_ms": Figure("one commit on this disk, ms"),
    "spawn_per_s": Figure("bare spawn rate of the machine, agents/s"),
    "celery_noop_per_s": Figure("raw Celery, no-op tasks/s, events on"),
    "start_p50_ms": Figure("announced insert -> agent started, p50, ms", 10),
    "start_max_ms": Figure("the same, slowest of all, ms"),
    "unannounced_p50_ms": Figure("unannounced insert, trigger, p50, ms", 10),
    "unannounced_max_ms": Figure("the same, slowest of all, ms"),
    "no_trigger_max_ms": Figure("unannounced insert, no trigger, slowest, ms", 5000),
    "database_command_p50_ms": Figure("insert + `database` command -> agent started, p50, ms", 10),
    "status_1000_ms": Figure("`status` with 1,000 open jobs, ms", 50),
    "command_under_load_ms": Figure("a command while 200 jobs run, 95 of 100, ms", 20),
    "chain50_s": Figure("chain of 50, s", 0.7),
    "jobs_per_s": Figure("200 independent jobs, jobs/s", 180, at_least=True),
    "cpu_ms_per_job": Figure("the same, processor time of all processes a job, ms"),
    "hostmax1_jobs_per_s": Figure("the same on one slot, jobs/s", 60, at_least=True),
    "start_p50_ms_history": Figure("announced insert -> started, 300,000 finished rows, p50, ms"),
    "start_ratio_history": Figure("the same / without them", 1.1),
    "jobs_per_s_history": Figure("200 independent jobs, 300,000 finished rows, jobs/s"),
    "jobs_ratio_history": Figure("the same / without them", 0.9, at_least=True),
    "idle_cpu_percent": Figure("idle CPU of all processes, % of a core", 2),
    "makespan_ratio_max": Figure("DAGs of 50: makespan / critical path, worst", 1.05),
    "makespan_ratio_mean": Figure("the same, mean"),
    "makespan_ratio_levels": Figure("the same DAGs as level-by-level chords, worst"),
    "makespan_ratio_levels_mean": Figure("the same, mean"),
    "startable_to_started_max_ms": Figure("longest wait of a job that might have started, ms"),
    "dag_violations": Figure("jobs started before their dependencies had ended", 0),
    "message_bytes_max": Figure("largest message, streams of 10 to 100,000 jobs, bytes", 16 * 1024),
    "messages_per_job": Figure("messages a job, untimed run"),
    "jobs_watched": Figure("jobs of that run"),
    "chains_published": Figure("published for them: chains"),
    "chords_published": Figure("chords, of jobs and of chains"),
    "hints_published": Figure("lone hints"),
    "plan_100k_s": Figure("100,000 jobs: commit -> planned and proposed, s", 5),
    "sweep_ms_1m": Figure("a sweep: 1,000,000 finished, 10,000 waiting, no change, ms", 10),
    "sweep_max_ms_1m": Figure("the same, slowest pass, ms"),
    "sweep_busy_ms_1m": Figure("the same while jobs start and end, ms"),
    "bridge_failover_s": Figure("a bridge is SIGKILLed: longest gap of plans and port, s", 10),
    "worker_loss_recovery_s": Figure("a worker and its agents are: its jobs run elsewhere, s", 60),
}


def lines(scenario: str, found: Mapping[str, Any]) -> list[str]:
    """A scenario's lines: figures of the table with their targets, then what else it says."""
    known = [_line(scenario, key, found[key]) for key in found if key in TABLE]
    other = [line for key, value in found.items() if key not in TABLE for line in _detail(key, value)]
    return known + other


def summary(figures: Mapping[str, Any]) -> list[str]:
    """The whole table, then the names of what is not met."""
    present = {key: figures[key] for key in TABLE if key in figures}
    missed = [key for key, value in present.items() if TABLE[key].met(value) is False]
    body = [_line("", key, value) for key, value in present.items()]
    return ["", *body, "", f"not met: {', '.join(missed) or 'nothing'}"]


def _line(scenario: str, key: str, value: float) -> str:
    figure = TABLE[key]
    bound = "" if figure.target is None else f"{'>=' if figure.at_least else '<='} {_short(figure.target)}"
    verdict = {None: "", True: "met", False: "NOT MET"}[figure.met(value)]
    return f"{scenario:12} {figure.text:{WIDTH}} {_short(value):>10}  {bound:>9}  {verdict}".rstrip()


def _detail(key: str, value: object) -> list[str]:
    if isinstance(value, Mapping) and any(isinstance(inner, Mapping) for inner in value.values()):
        return [line for name, inner in value.items() for line in _detail(f"{key}, {name}", inner)]
    return [f"{'':12} {key}: {_plain(value)}"]


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return _short(value) if isinstance(value, int | float) else str(value)


def _short(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")


def median(values: Iterable[float], digits: int = 3) -> float:
    """The median, rounded for people."""
    return round(statistics.median(values), digits)


def mean(values: Iterable[float], digits: int = 3) -> float:
    """The mean, rounded for people."""
    return round(statistics.fmean(values), digits)
