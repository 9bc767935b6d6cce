"""The Celery app of every process: tasks, the host's bootstep, the beat schedule."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from celery.signals import beat_init, celeryd_after_setup, worker_init

from scheduler_bridge.dispatch.application import make_application
from scheduler_bridge.dispatch.routes import HOUSEKEEPING, SWEEP, queues_of_host
from scheduler_bridge.errors import SchemaError
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.redis_url import redis_settings
from scheduler_bridge.wiring import database_url, read_settings, redis_url

log = logging.getLogger(__name__)

settings, configuration = read_settings()
ca_file = str(settings.redis_ca_file) if settings.redis_ca_file else None
app = make_application(
    redis_settings(redis_url(settings), settings.redis_verify, ca_file),
    slots=max(settings.slots, 1),
    events=settings.events,
)
app.conf.include = ["tasks.jobs", "tasks.housekeeping"]
app.conf.beat_schedule = {
    "sweep": {
        "task": SWEEP,
        "schedule": settings.sweep_seconds,
        "options": {
            "queue": HOUSEKEEPING,
            "expires": 2 * settings.sweep_seconds,
            "ignore_result": True,
            "shadow": "sweep",
        },
    }
}
app.conf.beat_max_loop_interval = settings.sweep_seconds


@celeryd_after_setup.connect
def consume_own_queues(instance: Any, **_: Any) -> None:
    """A worker without -Q consumes the queues of its host: all that can run there, and nothing else."""
    if not is_housekeeping(instance):
        names = sorted(configuration.agent_types) if configuration and settings.slots else []
        instance.app.amqp.queues.select(queues_of_host(settings.host, names))


@worker_init.connect
@beat_init.connect
def refuse_another_schema(**_: Any) -> None:
    """End with one line when the database is not at this version; one that is away is waited for elsewhere."""
    try:
        with psycopg.connect(database_url(settings), connect_timeout=5) as connection:
            check_schema(connection)
    except SchemaError as error:
        raise SystemExit(f"scheduler-bridge: {error}") from error
    except psycopg.OperationalError as error:
        log.warning("the database cannot be reached: %s", error, extra={"action": "database_away"})


def is_housekeeping(worker: Any) -> bool:
    """Whether a worker was started with -Q housekeeping."""
    return HOUSEKEEPING in worker.app.amqp.queues.consume_from


# One line a job is ours (tasks/host.py); Celery's own two for each message cost more than they tell.
for name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.captureWarnings(True)
