"""`fo_scheduler --test`: every agent type is started once on this host, by a program beside the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import scheduler_bridge
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.configuration.folder import Timers as ConfiguredTimers
from scheduler_bridge.model.agents import AgentType

PROGRAM = "workers.startup_report"
PROJECT = Path(scheduler_bridge.__file__).parents[1]


def failed_agent_types(
    configuration: Configuration, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Each agent type that cannot be used here, with the reason; first those whose configuration is broken."""
    yield from configuration.broken_agent_types.items()
    untested = dict(configuration.agent_types)
    child = subprocess.Popen(
        [sys.executable, "-m", PROGRAM],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        json.dump(_request(configuration), child.stdin)
        child.stdin.close()
        for line in child.stdout:
            answer = json.loads(line)
            del untested[answer["agent_type"]]
            if answer["problem"] is not None:
                yield answer["agent_type"], answer["problem"]
    for name in untested:
        yield name, f"not tested: the test ended with status {child.returncode}"


def _request(configuration: Configuration) -> dict[str, Any]:
    return {
        "folder": str(configuration.folder),
        "agent_types": [_described(agent_type) for agent_type in configuration.agent_types.values()],
        "timers": _seconds(configuration.timers),
    }


def _described(agent_type: AgentType) -> dict[str, Any]:
    return {
        "name": agent_type.name,
        "command": agent_type.command,
        "directory": str(agent_type.directory),
        "special": [flag.value for flag in agent_type.special],
    }


def _seconds(timers: ConfiguredTimers) -> dict[str, float]:
    return {
        "death_seconds": timers.agent_death_seconds,
        "update_seconds": timers.agent_update_seconds,
        "update_number": timers.agent_update_number,
    }
