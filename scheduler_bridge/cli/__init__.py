"""The command line: one thin module a command, errors as one line and exit status 1.

A command's module is imported when the command is called: some need Celery, which takes half a second, most do not.
"""

from __future__ import annotations

from pathlib import Path

import click

from scheduler_bridge.cli.group import BridgeGroup, Elsewhere
from scheduler_bridge.cli.options import Options

__all__ = ["main"]

COMMANDS = (
    ("run", "Scan PATHs and print the report.", "run:run"),
    ("up", "Run every process on this machine.", "up:up"),
    ("bridge", "Run a bridge until SIGTERM or Ctrl-C.", "bridge:bridge"),
    ("fossology", "Run FOSSology's jobs on this host, as fo_scheduler does.", "fossology:fossology"),
    ("migrate", "Create or upgrade our own schema.", "database:migrate_database"),
    ("install-trigger", "Let inserts into jobqueue wake the bridges.", "database:install_the_trigger"),
    ("remove-trigger", "Undo `install-trigger`.", "database:remove_the_trigger"),
    ("submit", "Insert the job stream that FILE describes.", "submit:submit"),
    ("status", "Show the streams, or the jobs of one.", "status:status"),
    ("logs", "Print what the agent of JOB has printed.", "logs:logs"),
    ("why", "Say why JOB does not run, or how it ended.", "why:why"),
    ("audit", "Ask the database for what should not be.", "audit:audit"),
    ("rerun", "Let the failed jobs of a stream run again.", "orders:rerun"),
    ("drain", "Let a host end what it runs and take nothing new.", "orders:drain"),
    ("cli", "Send commands to a running scheduler.", "commands:cli"),
    ("config", "Show every setting with its origin.", "config:config"),
    ("prune", "Delete what is remembered of old jobs.", "database:prune"),
)


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


for name, line, place in COMMANDS:
    main.add_command(Elsewhere(name, line, f"{__name__}.{place}"))
