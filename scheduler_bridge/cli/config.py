"""`scheduler-bridge config`: what this host would run with."""

from __future__ import annotations

import socket

import click

from scheduler_bridge.cli.context import settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.terminal import show_table
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.daemon.places import host_name
from scheduler_bridge.settings import HOSTNAME, Settings
from scheduler_bridge.text import Table
from scheduler_bridge.wiring import read_settings


@click.command
@pass_options
def config(options: Options) -> None:
    """Show every setting with its origin.

    Then the agent types, the revision, and what is wrong with the configuration folder; what keeps the bridge from
    starting makes the exit status 1. Passwords are not shown.

    \b
    Example: scheduler-bridge --config /etc/fossology config
    """
    settings, configuration = settings_of(options)
    show_table(Table(("SETTING", "VALUE", "ORIGIN"), tuple(_rows(options, settings, configuration))))
    if configuration is not None:
        names = ", ".join(sorted(configuration.agent_types)) or "none"
        click.echo(f"\nagent types: {names}")
        click.echo(f"revision of the folder: {configuration.commit_hash or 'not known'}")
    for problem in settings.warnings:
        click.echo(str(problem))


def _rows(
    options: Options, settings: Settings, configuration: Configuration | None
) -> list[tuple[str, str, str]]:
    """Name, value and origin, with what fo_scheduler takes instead: it looks for its host in [HOSTS]."""
    rows = settings.describe()
    if configuration is None or settings.origins["host"] != HOSTNAME:
        return rows
    host = host_name(configuration.hosts, socket.gethostname())
    taken = {name: value for name, value, _ in read_settings(**options.given(), host=host)[0].describe()}
    return [
        (name, value, origin if value == taken[name] else f"{origin}; fo_scheduler: {taken[name]}")
        for name, value, origin in rows
    ]
