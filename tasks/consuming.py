"""The canary of this process, and how it makes a consumer begin anew or ends its worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from celery import bootsteps
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from scheduler_bridge.dispatch.routes import CANARY
from tasks.app import app
from tasks.canary import Canary
from tasks.ending import ending

log = logging.getLogger(__name__)

RUN = cast(Any, bootsteps).RUN


def received_here(task: Any, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """The way of a canary: it ends where it is received, in no slot."""

    def receive(message: Any, *_: Any) -> None:
        message.ack()
        consumer.heard()

    return receive


@app.task(name=CANARY, ignore_result=True, Strategy=f"{__name__}:received_here")
def canary_task() -> None:
    """Never runs."""


def begin_anew(consumer: Any) -> None:
    """Let a consumer lose its connection, from any thread: agents do not notice."""
    consumer.call_soon(_lose)


def _lose() -> None:
    raise ConnectionError("given up by the canary")


def end_in_order(worker: Any, status: int = 0) -> None:
    """What SIGTERM does, from any thread."""
    cast(Any, state).should_stop = status
    ending.begin()
    worker.hub.call_soon(int)


def give_up(consumer: Any) -> None:
    """End its worker with an error, for a supervisor to start it again; jobs go back to the queue."""
    worker = consumer.controller
    if worker.blueprint.state == RUN:
        log.error("consuming cannot be brought back: this worker ends", extra={"action": "consumer_dead"})
        end_in_order(worker, EX_FAILURE)


class CanaryStep(bootsteps.StartStopStep):
    """Hands each new consumer to the canary."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **_: Any) -> None:
        consumer.heard = canary.heard

    def start(self, consumer: Any) -> None:
        """Celery has connected."""
        canary.attach(consumer)

    def stop(self, consumer: Any) -> None:
        """The connection is lost, or the worker ends."""
        canary.detach()


canary = Canary(app, restart=begin_anew, give_up=give_up)

app.steps["consumer"].add(CanaryStep)
