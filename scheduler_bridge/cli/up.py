"""`scheduler-bridge up`: everything on this machine."""

from __future__ import annotations

import os
from functools import partial

import click

from scheduler_bridge.cli.context import look_at_queue, settings_of, with_demonstration
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.waiting import end_when_told, log_to_stderr
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.errors import SettingsError
from scheduler_bridge.settings import Settings
from scheduler_bridge.supervisor import STOP_GRACE_SECONDS
from scheduler_bridge.up import up as run_all
from scheduler_bridge.wiring import once_there

STOP_MARGIN_SECONDS = 10.0  # a worker writes down how its agents ended


@click.command
@pass_options
def up(options: Options) -> None:
    """Run every process on this machine.

    What ends is started again, until Ctrl-C. Without DATABASE_URL or REDIS_URL, PostgreSQL and
    Valkey are started too; their data is kept in the
    state folder (SCHEDULER_BRIDGE_STATE). Without a configuration folder, the shipped agents are used.
    A database that was named and is away is waited for.

    \b
    Example: scheduler-bridge up
    """
    settings, configuration = local_settings(options, wait=True)
    environment = local_environment(settings)
    grace = local_grace(settings)
    status = run_all(configuration.folder, settings.state_folder, environment, grace_seconds=grace)
    click.get_current_context().exit(status)


def local_settings(options: Options, *, wait: bool = False) -> tuple[Settings, Configuration]:
    """Settings for a fleet on this machine; a database that was named has the queue. Raises BridgeError.

    `wait`: until that database can be reached; SIGTERM and Ctrl-C then end the process at once.
    """
    settings, configuration = settings_of(with_demonstration(options))
    if configuration is None:
        raise SettingsError("no configuration folder: set SCHEDULER_BRIDGE_CONFIG, or use --config")
    if settings.database_url and wait:
        log_to_stderr()
        end_when_told("up")
        once_there(settings.database_url, partial(look_at_queue, settings.database_url))
    elif settings.database_url:
        look_at_queue(settings.database_url)
    return settings, configuration


def local_grace(settings: Settings) -> float:
    """Seconds until a part that has not stopped is killed: more than a worker leaves its agents."""
    return max(STOP_GRACE_SECONDS, settings.stop_grace_seconds + STOP_MARGIN_SECONDS)


def local_environment(settings: Settings) -> dict[str, str]:
    """This process' environment with what options and configuration folder add to it."""
    urls = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    return {
        **os.environ,
        **{name: url for name, url in urls.items() if url},
        "SCHEDULER_BRIDGE_STATE": str(settings.state_folder.resolve()),
    }
