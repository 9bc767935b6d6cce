"""Start-up tests of this host's agent types, for who may not import us: JSON in, a line of JSON for each type out.

Run as a module: `{"folder": ..., "agent_types": [{"name", "command", "directory", "special"}], "timers": {...}}` on
stdin; for each type `{"agent_type": ..., "problem": ...}` on stdout, as soon as it is known; null: it has passed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scheduler_bridge.model.agents import AgentType, Special
from workers.startup_test import startup_test
from workers.timing import Timers


def report(request: dict[str, Any]) -> Iterator[dict[str, str | None]]:
    """One answer a type, in the order of the request."""
    timers = Timers(**request["timers"])
    for described in request["agent_types"]:
        agent_type = AgentType(
            described["name"],
            tuple(described["command"]),
            Path(described["directory"]),
            special=frozenset(Special(flag) for flag in described["special"]),
        )
        problem = startup_test(agent_type, Path(request["folder"]), timers)
        yield {"agent_type": agent_type.name, "problem": problem}


if __name__ == "__main__":
    for answer in report(json.load(sys.stdin)):
        print(json.dumps(answer), flush=True)
