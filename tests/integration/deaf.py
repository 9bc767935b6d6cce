"""Workers that can be made to hang: `celery -A tests.integration.deaf worker`.

How is chosen by control commands; the canary is in more of a hurry than in production.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, cast

from celery.signals import worker_shutting_down
from celery.worker.control import control_command
from kombu.transport.redis import MultiChannelPoller

import tasks.canary
from tasks.app import app

tasks.canary.BEAT_SECONDS = float(os.environ["CANARY_BEAT_SECONDS"])
tasks.canary.ABSENT_SECONDS = 8.0  # letting go of a connection that says nothing takes 5
if os.environ.get("LATE_ACKS"):  # what celery-notes call the "stuck after reconnect" fault needs them
    app.conf.task_acks_late = True
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "ack_emulation": True}
if os.environ.get("CELERYS_OWN_CONSUMER"):
    app.conf.worker_consumer = "celery.worker.consumer:Consumer"

POLL_SECONDS = 0.02

__all__ = ["app"]


@control_command(args=[("how", str)])
def deafen(state: Any, how: str) -> dict[str, str]:
    """Stop consuming: `once` (until the next connection), `always`, or `hang`, which stops everything else too."""
    consumer = state.consumer
    if how == "once":
        channel = consumer.task_consumer.channel
        channel._brpop_start = lambda *_: setattr(channel, "_in_poll", channel.client.connection)
    elif how == "always":
        cast(Any, MultiChannelPoller)._register_BRPOP = lambda *_: None
    else:
        consumer.call_soon(threading.Event().wait)
    return {"ok": how}


@control_command(args=[("begun", str), ("until", str)])
def dawdle(state: Any, begun: str, until: str) -> dict[str, str]:
    """Create the file `begun`, and reply once there is the file `until`."""
    Path(begun).touch()
    while not Path(until).exists():
        time.sleep(POLL_SECONDS)
    return {"ok": until}


@control_command()
def interrupt(state: Any) -> dict[str, str]:
    """When this worker is told to end, tell it again at the moment when Celery's handler holds a lock."""
    signals: Any = worker_shutting_down
    signals.receivers = Interrupting(signals.receivers)
    return {"ok": "once"}


class Interrupting(list[Any]):
    """Whoever looks at it for the first time is interrupted by a signal."""

    interrupted = False

    def __iter__(self) -> Any:
        if not self.interrupted:
            self.interrupted = True
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__iter__()
