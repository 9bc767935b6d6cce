"""`scheduler-bridge bridge`: the service."""

from __future__ import annotations

import gc
import logging
import select
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event, Timer

import click
import psycopg

from scheduler_bridge.cli.context import look_at_queue, settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.waiting import end_when_told, log_to_stderr
from scheduler_bridge.command_port.serving import CommandService
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.dispatch.application import BridgeCelery, application_of
from scheduler_bridge.errors import SettingsError
from scheduler_bridge.leaving import leave
from scheduler_bridge.parts import Parts, build, owner_name
from scheduler_bridge.service import BridgeService
from scheduler_bridge.settings import Settings
from scheduler_bridge.signals import Signals
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.wiring import database_url, once_there

log = logging.getLogger(__name__)

END_SECONDS = 5.0
GARBAGE_THRESHOLD = 50_000  # a plan of 100,000 jobs is all values that stay: a third less time for it


class WakingListener(Listener):
    """A listener whose waiting ends at once when another thread says so, whatever the database does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._call, self._called = socket.socketpair()
        self._call.setblocking(False)
        self._called.setblocking(False)

    def wait(self, seconds: float) -> bool:
        """As its parent's, or until `wake` or `stop` is called; after `stop` it never waits again."""
        connection = self._connection
        if connection is None:
            announced = super().wait(seconds)
            log.info("bridge ready.", extra={"action": "ready"})
            return announced
        select.select([connection.fileno(), self._called.fileno()], [], [], seconds)
        with suppress(BlockingIOError):
            self._called.recv(4096)
        return super().wait(0)

    def wake(self) -> None:
        """End the waiting once; from any thread."""
        with suppress(OSError):  # so many calls at once that one more means nothing, or the end has come
            self._call.send(b"!")

    def stop(self) -> None:
        """End the waiting for ever; from any thread."""
        self._call.close()


@click.command
@pass_options
def bridge(options: Options) -> None:
    """Run a bridge until SIGTERM or Ctrl-C.

    It turns rows into messages. Any number of bridges may run on one database; each stream is
    planned by one of them. A database that is away is waited for, also at the start.

    \b
    Example: scheduler-bridge --config /etc/fossology bridge
    """
    log_to_stderr()
    gc.set_threshold(GARBAGE_THRESHOLD)
    settings, configuration = settings_of(options)
    if configuration is None:
        raise SettingsError("no configuration folder: set SCHEDULER_BRIDGE_CONFIG, or use --config")
    for problem in settings.warnings:
        log.warning("%s", problem, extra={"action": "configuration_problem"})
    url = database_url(settings)
    connect = partial(connected_parts, settings, application_of(settings))
    end_when_told("bridge")
    signals = Signals()
    signals.heed((signal.SIGHUP,))
    parts = once_there(url, connect)
    serve(parts, settings=settings, configuration=configuration, signals=signals)
    signals.ignore()
    log.info("bridge stopped.", extra={"action": "stopped"})


def serve(
    parts: Parts,
    *,
    settings: Settings,
    configuration: Configuration,
    signals: Signals,
) -> None:
    """Be a bridge until SIGTERM or SIGINT; `signals` as `run_until_signalled` takes them."""
    listener = WakingListener(database_url(settings))
    owner = owner_name("bridge", settings.host)
    commands = CommandService(
        parts.store, parts.proposals, settings, configuration, owner=owner, wake=listener.wake
    )
    service = BridgeService(
        parts.bridge,
        parts.sweep,
        listener,
        interval_seconds=settings.sweep_seconds,
        beside=commands.tend,
    )

    def reload() -> None:
        try:
            commands.ask_for_reload()
        except psycopg.Error as error:
            log.warning("not read again: %s", error, extra={"action": "database_away"})
        except Exception:
            log.exception("not read again", extra={"action": "reload_failed"})

    commands.begin()
    try:
        run_until_signalled(service.run, listener.stop, reload, signals)
    finally:
        commands.close()
    listener.close()
    parts.store.close()


def connected_parts(settings: Settings, app: BridgeCelery) -> Parts:
    """Store and publisher, where the database has the queue and our schema.

    Raises BridgeError, psycopg.OperationalError.
    """
    look_at_queue(database_url(settings))
    return build(settings, app, "bridge")


def run_until_signalled(
    service: Callable[[Event], None],
    wake: Callable[[], None],
    reload: Callable[[], None],
    signals: Signals,
) -> None:
    """Run `service(stopping)` in a thread until SIGTERM or SIGINT, then `wake` it; raises what it raises.

    A SIGHUP in `signals`, also one that came before, has `reload` called in another thread: the main thread only
    waits for signals. A database that does not answer holds the end up for END_SECONDS; then the process ends
    without it.
    """
    signals.heed((signal.SIGTERM, signal.SIGINT))
    stopping = Event()
    with ThreadPoolExecutor(2, "bridge") as threads:
        running = threads.submit(service, stopping)
        running.add_done_callback(lambda _: signals.wake())
        taken = b""
        while not set(taken) - {signal.SIGHUP}:
            taken = signals.take()
            if signal.SIGHUP in taken:
                threads.submit(reload)
        leave_after(END_SECONDS, status=int(running.done()))  # of itself it ends by an error alone
        stopping.set()
        wake()
    running.result()


def leave_after(seconds: float, status: int) -> None:
    """End this process then, if it has not ended by itself."""
    timer = Timer(seconds, leave, ("without waiting for an answer", status))
    timer.daemon = True
    timer.start()
