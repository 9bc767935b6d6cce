"""Tasks that keep streams going; they have a consumer of their own and never wait behind agents."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import bootsteps

from scheduler_bridge.dispatch.routes import LOOK_AGAIN, MESSAGE_VERSION, SWEEP
from scheduler_bridge.wiring import Parts, build
from tasks.app import app, is_housekeeping, look_at_database, settings
from tasks.under_way import AWAY, UnderWay, leave, log_away

under_way = UnderWay()


@cache
def parts() -> Parts:
    """Store, publisher, bridge and sweep of this process; connected when the first task runs."""
    look_at_database()  # at the price of a connection, no pool is left behind where there is no database
    return build(settings, app, "housekeeping")


@app.task(name=LOOK_AGAIN, ignore_result=True)
def look_again(stream: int, version: int) -> str:
    """Read a stream's rows anew and propose what follows; the body of every chord. What happened, for the log."""
    if version != MESSAGE_VERSION:
        return f"message of version {version} ignored"
    with under_way:
        try:
            parts().bridge.look_again(stream)
        except AWAY as error:
            return log_away(error, f"stream {stream} is left to the sweep: ")
    return "looked"


@app.task(name=SWEEP, ignore_result=True)
def sweep() -> str:
    """One sweep, unless one has just been; what happened, for the log."""
    with under_way:
        try:
            return "swept" if parts().sweep.run() else "another sweep has just been"
        except AWAY as error:
            return log_away(error, "no sweep: ")


class LeaveStep(bootsteps.StartStopStep):
    """Lets a housekeeping worker stop although a silent database holds its threads."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, worker: Any) -> bool:
        """Hosts wait for their agents, in a step of their own."""
        return is_housekeeping(worker)

    def stop(self, worker: Any) -> None:
        """Wait for tasks as long as agents would be waited for."""
        if not under_way.wait_until_none(settings.stop_grace_seconds):
            leave()


app.steps["worker"].add(LeaveStep)
