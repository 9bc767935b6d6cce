"""The Celery app of every process: tasks, the host's bootstep, the beat schedule."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from celery.signals import beat_init, celeryd_after_setup, worker_init
from celery.worker import state

from scheduler_bridge import wiring
from scheduler_bridge.dispatch.application import application_of
from scheduler_bridge.dispatch.routes import HOUSEKEEPING
from scheduler_bridge.errors import BridgeError, SettingsError
from scheduler_bridge.wiring import database_url, look_at_database, read_settings
from tasks.agenda import agenda

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@contextmanager
def one_line() -> Iterator[None]:
    """What is wrong with settings or schema ends the process with one line; Celery would print a traceback."""
    try:
        yield
    except BridgeError as error:
        raise SystemExit(f"scheduler-bridge: {error}") from None


with one_line():
    settings, configuration = read_settings()
    app = application_of(settings)
app.conf.include = ["tasks.jobs", "tasks.housekeeping", "tasks.consuming"]
app.conf.beat_schedule = agenda(settings.sweep_seconds)
app.conf.beat_max_loop_interval = settings.sweep_seconds
app.conf.beat_scheduler = "tasks.beat:Scheduler"


@celeryd_after_setup.connect
def consume_nothing_yet(instance: Any, **_: Any) -> None:
    """A worker of agents begins with no queue; what its host can run is opened later (tasks/queues.py)."""
    if not is_housekeeping(instance):
        queues = instance.app.amqp.queues
        queues.select(["nothing"])  # Celery takes an empty selection for none, and consumes its default queue
        queues.deselect(["nothing"])


@worker_init.connect
def refuse_no_configuration(sender: Any, **_: Any) -> None:
    """A host without a configuration folder has no agents."""
    if configuration is None and not is_housekeeping(sender):
        with one_line():
            raise SettingsError("no configuration folder: set SCHEDULER_BRIDGE_CONFIG")


@worker_init.connect
@beat_init.connect
def refuse_another_schema(**_: Any) -> None:
    """End with one line when the database is not at this version; whoever needs it waits for one that is away."""
    with one_line(), suppress(psycopg.OperationalError):
        look_at_database(settings)


def once_there(work: Callable[[], Answer]) -> Answer:
    """The answer of `work` once the database can be reached; for the main thread of a worker, which may be stopped."""

    def pause(seconds: float) -> None:
        state.maybe_shutdown()
        threading.Event().wait(seconds)

    with one_line():
        return wiring.once_there(database_url(settings), work, pause=pause)


def is_housekeeping(worker: Any) -> bool:
    """Whether a worker was started with -Q housekeeping."""
    return HOUSEKEEPING in worker.app.amqp.queues.consume_from


# One line a job is ours (tasks/host.py); Celery's own two for each message cost more than they tell.
# So do two for each queue that opens.
for name in ("celery.worker.strategy", "celery.app.trace", "celery.worker.consumer.consumer"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("psycopg.pool").setLevel(
    logging.ERROR
)  # whoever wanted a connection says that there is none
logging.captureWarnings(True)
