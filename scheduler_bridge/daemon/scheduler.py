"""The second half of a start: settings, log and database; then the life of the parts, and the exit status."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import psycopg

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.daemon.choices import Choices
from scheduler_bridge.daemon.database import require_columns, require_port, reset_queue
from scheduler_bridge.daemon.detach import Starter, silence
from scheduler_bridge.daemon.errors import exit_status
from scheduler_bridge.daemon.life import Life
from scheduler_bridge.daemon.main_log import MainLog, log_path
from scheduler_bridge.daemon.others import require_alone
from scheduler_bridge.daemon.places import host_name, require_state_folder
from scheduler_bridge.daemon.startup_tests import failed_agent_types
from scheduler_bridge.daemon.waiting import once_there
from scheduler_bridge.embedded import Services, services
from scheduler_bridge.errors import BridgeError, SettingsError
from scheduler_bridge.migrate import migrate
from scheduler_bridge.procfile import Part, find_procfile, read_procfile
from scheduler_bridge.settings import Settings
from scheduler_bridge.supervisor import STOP_GRACE_SECONDS
from scheduler_bridge.text import clean
from scheduler_bridge.up import part_environment
from scheduler_bridge.wiring import read_settings

STOP_MARGIN_SECONDS = 10.0  # a worker writes down how its agents ended
NOT_HERE = ("web",)  # parts of the Procfile that FOSSology's scheduler does not have
LOCK = "fo_scheduler.lock"
PART = "scheduler_bridge.daemon.part"  # is run and not imported: it needs Celery
EXPECTED = (BridgeError, psycopg.Error, OSError)  # their texts are for people


def serve(choices: Choices) -> int:
    """Run until a signal ends it; exit status 0 then.

    Raises BridgeError, psycopg.Error or OSError, told to a starter first. A daemon, whose log has the reason, returns
    the exit status instead.
    """
    starter = Starter.taken_over()
    try:
        _note_early_signals()
        settings, configuration = _settings(choices)
        if choices.test:
            return startup_tests(settings, configuration)
        require_state_folder(settings.state_folder)
        with _only_one(settings.state_folder), _main_log(choices, settings, configuration) as log:
            try:
                require_alone(choices.config)
                return _serve(choices, settings, log, starter)
            except Exception as error:
                log.error(str(error) if isinstance(error, EXPECTED) else traceback.format_exc())
                raise
    except Exception as error:
        starter.tell_failed(exit_status(error), str(error))
        if choices.daemon:  # its standard error is the log, which has the reason in its own form
            return exit_status(error)
        raise


def startup_tests(settings: Settings, configuration: Configuration) -> int:
    """Start each configured agent type once; exit status 1 when one fails, each with a line on stdout."""
    folder = str(configuration.folder)
    environment = {**os.environ, "SYSCONFDIR": folder, "FO_SYSCONFDIR": folder}
    if settings.database_url:
        environment["DATABASE_URL"] = settings.database_url
    failed = False
    for name, problem in failed_agent_types(configuration, environment):
        failed = True
        print(f"{name}: {clean(problem)}", flush=True)
    return int(failed)


def _serve(choices: Choices, settings: Settings, log: MainLog, starter: Starter) -> int:
    for problem in settings.warnings:
        log.warn(str(problem))
    if settings.database_url is None:
        raise SettingsError(f"{choices.config} names no database: it needs a Db.conf, or set DATABASE_URL")
    once_there(settings.database_url, partial(_prepare, choices, settings, log), log, starter)
    urls = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url or ""}
    with services(settings.state_folder, urls) as running:
        _banner(log, "started", choices)
        grace = max(STOP_GRACE_SECONDS, settings.stop_grace_seconds + STOP_MARGIN_SECONDS)
        Life(running, log, starter, settings.host, grace_seconds=grace).run(
            _parts(), _environment(choices, settings, running, log.place)
        )
    _banner(log, "closed", choices)
    return 0


def _prepare(choices: Choices, settings: Settings, log: MainLog) -> None:
    """The database, for the parts; safe to repeat. Raises QueueError, BridgeError, psycopg.Error."""
    assert settings.database_url is not None
    require_columns(settings.database_url)
    migrate(settings.database_url)
    # Before the reset: whoever holds the port may be running the very jobs that look as if they were left.
    require_port(settings.database_url, settings.host, settings.port)
    if choices.reset:
        log.say(f"reset: {reset_queue(settings.database_url)} jobs are free again")


def _settings(choices: Choices) -> tuple[Settings, Configuration]:
    found = Configuration.read(choices.config)
    os.environ.setdefault("SCHEDULER_BRIDGE_HOST", host_name(found.hosts, socket.gethostname()))
    settings, configuration = read_settings(**choices.settings, config_folder=choices.config)
    if configuration is None:
        raise SettingsError("no configuration folder: use --config")
    return settings, configuration


@contextmanager
def _main_log(choices: Choices, settings: Settings, configuration: Configuration) -> Iterator[MainLog]:
    place = log_path(choices.log, configuration.log_folder, settings.state_folder)
    if choices.daemon:
        silence()
    log = MainLog(place, choices.verbosity, keep_streams=not choices.daemon)
    if choices.daemon:
        os.chdir("/")
    with closing(log):
        yield log


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Hold the state folder; two schedulers in one would start two workers for one host. Raises BridgeError."""
    try:
        file = (state / LOCK).open("w")
    except OSError as error:
        raise BridgeError(f"{state} cannot be used: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BridgeError(
                f"fo_scheduler already runs with the state in {state}: end that one (fo_scheduler -s)"
            ) from None
        yield


def _parts() -> list[Part]:
    return [
        Part(part.name, (sys.executable, "-m", PART, part.name, *part.command))
        for part in read_procfile(find_procfile())
        if part.name not in NOT_HERE
    ]


def _environment(choices: Choices, settings: Settings, running: Services, log: str) -> dict[str, str]:
    """What the parts find; the bridge shows the FO_SCHEDULER_ ones in its answer to `status`."""
    return {
        **part_environment(os.environ, running, choices.config, settings.web_port),
        "SCHEDULER_BRIDGE_HOST": settings.host,
        "SCHEDULER_BRIDGE_PORT": str(settings.port),
        "SCHEDULER_BRIDGE_STATE": str(settings.state_folder),
        "CELERY_QUIET": "1",  # no banners in the log
        "FO_SCHEDULER_PID": str(os.getpid()),
        "FO_SCHEDULER_DAEMON": str(int(choices.daemon)),
        "FO_SCHEDULER_LOG": log,
        "FO_SCHEDULER_VERBOSE": str(choices.verbosity),
    }


def _banner(log: MainLog, word: str, choices: Choices) -> None:
    log.say(f"***  FOSSology scheduler {word} ***")
    log.say(f"***    pid:     {os.getpid()}")
    log.say(f"***    verbose: {choices.verbosity}")
    log.say(f"***    config:  {choices.config}")


def _note_early_signals() -> None:
    """Until the supervisor takes over: leave in order when told to end, and wait with what SIGHUP asks for."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, leave)
    # Not SIG_IGN: agents would inherit that, and SIGHUP is how they are asked to end.
    signal.signal(signal.SIGHUP, lambda number, frame: None)
