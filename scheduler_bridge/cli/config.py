"""`scheduler-bridge config`: what this host would run with."""

from __future__ import annotations

import click

from scheduler_bridge.cli.context import Options, pass_options
from scheduler_bridge.cli.terminal import show_table
from scheduler_bridge.text import Table


@click.command
@pass_options
def config(options: Options) -> None:
    """Show every setting with its origin.

    Then the agent types, the revision, and what is wrong with the configuration folder; what keeps the bridge from
    starting makes the exit status 1. Passwords are not shown.

    \b
    Example: scheduler-bridge --config /etc/fossology config
    """
    settings, configuration = options.settings()
    show_table(Table(("SETTING", "VALUE", "ORIGIN"), tuple(settings.describe())))
    if configuration is not None:
        names = ", ".join(sorted(configuration.agent_types)) or "none"
        click.echo(f"\nagent types: {names}")
        click.echo(f"revision of the folder: {configuration.commit_hash or 'not known'}")
    for problem in settings.warnings:
        click.echo(str(problem))
