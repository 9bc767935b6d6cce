"""Tasks that keep streams going; they have a consumer of their own and never wait behind agents."""

from __future__ import annotations

from functools import cache

from scheduler_bridge.dispatch.routes import LOOK_AGAIN, MESSAGE_VERSION, SWEEP
from scheduler_bridge.wiring import Parts, build
from tasks.app import app, settings


@cache
def parts() -> Parts:
    """Store, publisher, bridge and sweep of this process; connected when the first task runs."""
    return build(settings, app, "housekeeping")


@app.task(name=LOOK_AGAIN, ignore_result=True)
def look_again(stream: int, version: int) -> None:
    """Read a stream's rows anew and propose what follows; the body of every chord."""
    if version == MESSAGE_VERSION:
        parts().bridge.look_again(stream)


@app.task(name=SWEEP, ignore_result=True)
def sweep() -> bool:
    """One sweep, unless one has just been; whether it ran."""
    return parts().sweep.run()
