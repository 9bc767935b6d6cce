"""Commands on the database: `migrate`, `install-trigger`, `remove-trigger`, `prune`."""

from __future__ import annotations

from functools import partial

import click

from scheduler_bridge.cli.context import connected, look_at_queue, queue_of, require_queue, settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.waiting import log_to_stderr
from scheduler_bridge.migrate import check_schema, install_trigger, migrate, remove_trigger
from scheduler_bridge.migrate import create_queue as make_queue
from scheduler_bridge.store.pruning import prune_history
from scheduler_bridge.wiring import database_url, once_there, repository_folder

MOST_DAYS = 36_500  # a database cannot count back for ever


@click.command("migrate")
@click.option("--create-queue", is_flag=True, help="Also make the tables job, jobqueue and jobdepends.")
@click.option("--wait", is_flag=True, help="Wait for a database that is away.")
@pass_options
def migrate_database(options: Options, create_queue: bool, wait: bool) -> None:
    """Create or upgrade our own schema.

    No table of FOSSology is touched. Any number of processes may migrate at once.

    \b
    Example: scheduler-bridge migrate
             scheduler-bridge migrate --create-queue     a database without FOSSology
             scheduler-bridge migrate --wait             before the processes of a machine that boots
    """
    url = database_url(settings_of(options)[0])
    work = partial(_migrated, url, create_queue)
    if wait:
        log_to_stderr()
        applied = once_there(url, work)
    else:
        applied = work()
    click.echo(f"applied {', '.join(applied)}" if applied else "the schema is up to date")


def _migrated(url: str, create_queue: bool) -> list[str]:
    """The names of the files applied now; safe to repeat. Raises SchemaError where there is no queue."""
    if create_queue:
        make_queue(url)
    look_at_queue(url)
    return migrate(url)


@click.command("install-trigger")
@pass_options
def install_the_trigger(options: Options) -> None:
    """Let inserts into jobqueue wake the bridges.

    Whoever inserts. It makes inserting transactions wait for each other's commit; without it new
    rows are seen when the
    `database` command comes, or at the next sweep. `remove-trigger` undoes it.

    \b
    Example: scheduler-bridge install-trigger
    """
    url = database_url(settings_of(options)[0])
    with connected(url) as connection:
        require_queue(connection)
        check_schema(connection)
    install_trigger(url)
    click.echo("the trigger scheduler_bridge_announce is on jobqueue")


@click.command("remove-trigger")
@pass_options
def remove_the_trigger(options: Options) -> None:
    """Undo `install-trigger`.

    \b
    Example: scheduler-bridge remove-trigger
    """
    url = database_url(settings_of(options)[0])
    look_at_queue(url)
    remove_trigger(url)
    click.echo("jobqueue has no trigger of ours")


@click.command
@click.option(
    "--days", type=click.IntRange(0, MOST_DAYS), required=True, help="Keep what ended in the last N days."
)
@pass_options
def prune(options: Options, days: int) -> None:
    """Delete what is remembered of old jobs.

    Of jobs and streams that ended more than N days ago: ledger, output, results and files of the shipped
    agents, and what killed agents have left. The rows of jobqueue stay; only our own schema and our own folder
    of the repository are touched. To be run where the repository is.

    \b
    Example: scheduler-bridge prune --days 90
    """
    with queue_of(options) as connection:
        pruned = prune_history(connection, days, repository_folder(settings_of(options)[0]))
    click.echo(
        f"deleted {pruned.attempts} attempts with their output, the scans of {pruned.streams} streams,"
        f" {pruned.cached} cached findings and {pruned.folders} folders of unpacked files"
    )
