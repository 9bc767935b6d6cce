"""The command line: one thin module a command, errors as one line and exit status 1."""

from __future__ import annotations

from pathlib import Path

import click

from scheduler_bridge.cli.audit import audit
from scheduler_bridge.cli.bridge import bridge
from scheduler_bridge.cli.commands import cli
from scheduler_bridge.cli.config import config
from scheduler_bridge.cli.context import BridgeGroup, Options
from scheduler_bridge.cli.database import install_the_trigger, migrate_database, prune, remove_the_trigger
from scheduler_bridge.cli.fossology import fossology
from scheduler_bridge.cli.logs import logs
from scheduler_bridge.cli.orders import drain, rerun
from scheduler_bridge.cli.run import run
from scheduler_bridge.cli.status import status
from scheduler_bridge.cli.submit import submit
from scheduler_bridge.cli.up import up
from scheduler_bridge.cli.why import why

__all__ = ["main"]


@click.group(cls=BridgeGroup)
@click.option("--config", metavar="FOLDER", help="Configuration folder (SCHEDULER_BRIDGE_CONFIG).")
@click.option("--database-url", metavar="URL", help="PostgreSQL (DATABASE_URL).")
@click.option("--redis-url", metavar="URL", help="Broker (REDIS_URL).")
@click.version_option(package_name="scheduler-bridge")
@click.pass_context
def main(ctx: click.Context, config: str | None, database_url: str | None, redis_url: str | None) -> None:
    """Runs a jobqueue table on a Celery fleet.

    Each setting is taken from its option, else from the environment, else from the configuration folder;
    `scheduler-bridge config` shows what came from where.

    \b
    Example: scheduler-bridge run
    """
    ctx.obj = Options(Path(config) if config else None, database_url, redis_url)


for command in (
    run,
    up,
    bridge,
    fossology,
    migrate_database,
    install_the_trigger,
    remove_the_trigger,
    submit,
    status,
    logs,
    why,
    audit,
    rerun,
    drain,
    cli,
    config,
    prune,
):
    main.add_command(command)
