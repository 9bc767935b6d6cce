"""Every scenario by its name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tests.bench import (
    ceilings,
    commands,
    failover,
    idle,
    latency,
    loss,
    makespan,
    messages,
    planning,
    steps,
    sweeping,
    throughput,
)
from tests.bench.figures import Figures
from tests.bench.fleet import Fleet
from tests.bench.workshop import Workshop

Alone: TypeAlias = Callable[[Workshop, int], Figures]  # brings its own servers; the number of runs
OnFleet: TypeAlias = Callable[[Fleet, int], Figures]

ALONE: Mapping[str, Alone] = {
    "spawn": ceilings.spawn,
    "noops": ceilings.noops,
    "levels": ceilings.levels,
    "steps": steps.steps,
    "plan": planning.plan,
    "sweep": sweeping.sweep,
    "failover": failover.failover,
    "loss": loss.loss,
}
ON_FLEET: Mapping[int, Mapping[str, OnFleet]] = {  # by the fleet's slots
    10: {
        "start": latency.announced,
        "unannounced": latency.unannounced,
        "chain": throughput.chain,
        "crowd": throughput.crowd,
        "commands": commands.commands,
        "idle": idle.idle,
        "messages": messages.messages,
        "history": throughput.with_history,
    },
    1: {"one_slot": throughput.crowd_on_one_slot},
    50: {"dags": makespan.dags},
}
