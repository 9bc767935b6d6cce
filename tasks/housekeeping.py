"""Tasks that keep streams going; they have a consumer of their own and never wait behind agents."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import Any

import psycopg
from celery import bootsteps

from scheduler_bridge.audit.watch import Watch
from scheduler_bridge.configuration.email_notify import EmailNotify
from scheduler_bridge.configuration.rereading import Rereading
from scheduler_bridge.dispatch.routes import (
    AUDIT,
    HOUSEKEEPING,
    LOOK_AGAIN,
    MESSAGE_VERSION,
    SEND_MAILS,
    SWEEP,
)
from scheduler_bridge.dispatch.transport import BROKER_ERRORS
from scheduler_bridge.mail.outbox import Postman
from scheduler_bridge.mail.postgres_outbox import PostgresOutbox
from scheduler_bridge.parts import Parts, build
from scheduler_bridge.service import log_database_error
from scheduler_bridge.wiring import is_outage, look_at_database
from tasks.agenda import ASK_FOR_AUDIT_SECONDS, AUDIT_SECONDS
from tasks.app import app, configuration, is_housekeeping, settings
from tasks.ending import ending
from tasks.messages import GUARDED
from tasks.under_way import UnderWay

MAIL_EXPIRES_SECONDS = 60  # an order to send them that nobody has taken by then is given again

under_way = UnderWay()
mailing = threading.Lock()
away = threading.Event()  # the database, when it was asked last
# Half a question earlier: a message that took less time than the one before is not turned away.
watch = Watch(interval_seconds=AUDIT_SECONDS - ASK_FOR_AUDIT_SECONDS / 2)


@cache
def parts() -> Parts:
    """Store, publisher, bridge and sweep of this process; connected when the first task runs."""
    # At the price of a connection, no pool is left behind where there is no database.
    look_at_database(settings)
    return build(settings, app, "housekeeping")


@cache
def outbox() -> PostgresOutbox:
    """Where mails wait."""
    return PostgresOutbox(parts().store)


@cache
def postman() -> Postman:
    """Remembers what was sent; one a process."""
    return Postman(configuration.email if configuration else EmailNotify())


@cache
def rereading() -> Rereading | None:
    """Follows what `reload` asks for; None: there is no configuration folder."""
    return Rereading(configuration.folder) if configuration else None


def given_up(error: psycopg.OperationalError, what: str) -> str:
    """One line. An outage was one for workers and sweeps too: no old rows are judged soon after it."""
    if is_outage(error):
        watch.disturbed()
        away.set()
    return log_database_error(error, what)


@app.task(name=LOOK_AGAIN, ignore_result=True, Strategy=GUARDED)
def look_again(stream: int, version: int) -> str:
    """Read a stream's rows anew and propose what follows; the body of every chord. What happened, for the log."""
    if version != MESSAGE_VERSION:
        return f"message of version {version} ignored"
    with under_way:
        try:
            parts().bridge.look_again(stream)
        except psycopg.OperationalError as error:
            return given_up(error, f"stream {stream} is left to the sweep: ")
    return "looked"


@app.task(name=SWEEP, ignore_result=True, Strategy=GUARDED)
def sweep() -> str:
    """One sweep, unless one has just been; what happened, for the log."""
    with under_way:
        try:
            if away.is_set():
                look_at_database(settings)  # fails at once where a pool would wait
                away.clear()
            if not parts().sweep.run():
                return "another sweep has just been"
            if outbox().is_due():
                send_mails.apply_async(expires=MAIL_EXPIRES_SECONDS, shadow="send_mails")
            return "swept"
        except psycopg.OperationalError as error:
            return given_up(error, "no sweep: ")
        except BROKER_ERRORS as error:  # of the broker: the next sweep asks again
            return f"swept; no mail is sent: {error}"


@app.task(name=AUDIT, ignore_result=True, Strategy=GUARDED)
def audit() -> str:
    """Ask the rows for what should not be; what happened, for the log."""
    with under_way:
        try:
            with parts().store.connection() as connection:
                return watch.audit(connection)
        except psycopg.OperationalError as error:
            return given_up(error, "no audit: ")


@app.task(name=SEND_MAILS, ignore_result=True, queue=HOUSEKEEPING, Strategy=GUARDED)
def send_mails() -> str:
    """Send the mails that are due; a mail server that hangs holds up one thread and no sweep. What happened."""
    if not mailing.acquire(blocking=False):
        return "mails are being sent"
    try:
        with under_way:
            if (again := rereading()) and (found := again.follow(outbox().reloads())):
                postman().email = found.email
            return f"{postman().deliver_due(outbox())} mails handled"
    except psycopg.OperationalError as error:
        return given_up(error, "no mail: ")
    finally:
        mailing.release()


class LeaveStep(bootsteps.StartStopStep):
    """Lets a housekeeping worker stop although a silent database holds its threads."""

    requires = ("celery.worker.components:Pool",)
    _until: float | None = None  # monotonic; how long tasks are waited for

    def include_if(self, worker: Any) -> bool:
        """Hosts wait for their agents, in a step of their own."""
        return is_housekeeping(worker)

    def start(self, worker: Any) -> None:
        """There is nothing to do at the end but to wait for tasks."""
        ending.attach(self._wait)

    def stop(self, worker: Any) -> None:
        """No task is under way when this returns."""
        ending.wait()

    def _wait(self) -> bool:
        """As long as agents would be waited for, however often it is asked."""
        now = time.monotonic()
        self._until = self._until or now + settings.stop_grace_seconds
        return under_way.wait_until_none(max(0.0, self._until - now))


app.steps["worker"].add(LeaveStep)
