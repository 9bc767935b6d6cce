"""Parts that a scenario kills: beside the supervisor, which would start them again at once."""

from __future__ import annotations

from scheduler_bridge.procfile import Part
from tests.bench.fleet import Fleet
from tests.process_nodes import ProcessBox


def process_of(fleet: Fleet, part: Part, name: str, *options: str, **variables: str) -> ProcessBox:
    """A process of a part with some more options and variables, started."""
    command = [*part.command, *options]
    log = fleet.logs / f"{name}.log"
    return ProcessBox(command, {**fleet.environment, **variables}, log, name=name).start()
