"""`scheduler-bridge status`: what the streams do."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import click
import psycopg
from rich.console import Group
from rich.live import Live
from rich.text import Text

from scheduler_bridge.audit.auditor import Kept, kept
from scheduler_bridge.audit.report import kept_json, kept_line
from scheduler_bridge.cli.context import RowNumber, queue_of, settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.terminal import on_terminal, rich_table, show_table
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.status import (
    changes,
    headline,
    jobs_table,
    left_out,
    stream_json,
    streams_json,
    streams_table,
)
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.store.read_model import StreamReading
from scheduler_bridge.store.reading import Reading
from scheduler_bridge.wiring import database_url

REFRESH_SECONDS = 1.0  # no event tells of progress
SOME_FAILED = 3  # exit status of --watch
LINES_AROUND = 5  # of a terminal, beside the jobs

View = Callable[[StreamReading | None, StreamReading], None]  # the reading before, the one to show


@click.command
@click.argument("stream", type=RowNumber("stream"), required=False)
@click.option("--json", "as_json", is_flag=True, help="As documented in docs/cli.md.")
@click.option("--watch", is_flag=True, help="Until the stream ends; exit status 3 when a job has failed.")
@pass_options
def status(options: Options, stream: int | None, as_json: bool, watch: bool) -> None:
    """Show the streams, or the jobs of one.

    Without STREAM: all open streams and the last 20 that have ended. Each job that does not run comes with
    the reason.

    \b
    Example: scheduler-bridge status
             scheduler-bridge status 12 --watch
    """
    if stream is None:
        if watch:
            raise click.UsageError("--watch needs the number of a STREAM")
        with queue_of(options) as connection:
            _show_streams(Reading(connection), kept(connection), as_json)
        return
    url = database_url(settings_of(options)[0])
    with queue_of(options) as connection:
        if watch:
            failed = _watch(connection, url, stream, as_json)
            click.get_current_context().exit(SOME_FAILED if failed else 0)
        _show_stream(_read(connection, stream), as_json)


def _show_streams(reading: Reading, last: Kept | None, as_json: bool) -> None:
    found = reading.streams()
    if as_json:
        click.echo(json.dumps({**streams_json(found), "audit": kept_json(last)}, indent=2))
        return
    if found.streams:
        show_table(streams_table(found))
    else:
        click.echo("there is no stream")
    if last:
        click.echo(kept_line(last))


def _show_stream(stream: StreamReading, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(stream_json(stream), indent=2))
        return
    click.echo(headline(stream))
    show_table(jobs_table(stream))
    if rest := left_out(stream):
        click.echo(rest)


def _read(
    connection: psycopg.Connection[Any], stream: int, before: StreamReading | None = None
) -> StreamReading:
    found = Reading(connection).stream(stream, before)
    if found is None:
        raise BridgeError(f"there is no stream {stream}")
    return found


def _watch(connection: psycopg.Connection[Any], url: str, stream: int, as_json: bool) -> bool:
    """Show the stream until none of its jobs is open; whether one has failed."""
    before: StreamReading | None = None
    with ExitStack() as stack:
        show = _view(stack, as_json)
        listener = stack.enter_context(closing(Listener(url)))
        while True:
            now = _read(connection, stream, before)
            show(before, now)
            if not now.summary.open:
                return now.summary.failed > 0
            before = now
            listener.wait(REFRESH_SECONDS)


def _view(stack: ExitStack, as_json: bool) -> View:
    if as_json:
        return lambda before, now: click.echo(json.dumps(stream_json(now)))
    if not on_terminal():
        return _print_changes
    return partial(_draw, stack.enter_context(Live(auto_refresh=False)))


def _print_changes(before: StreamReading | None, now: StreamReading) -> None:
    for line in changes(before, now):
        click.echo(line)
    if not now.summary.open:
        click.echo(headline(now))


def _draw(live: Live, before: StreamReading | None, now: StreamReading) -> None:
    most = max(1, live.console.height - LINES_AROUND)
    table = rich_table(jobs_table(now, most))
    live.update(Group(Text(headline(now)), table, Text(left_out(now, most))), refresh=True)
