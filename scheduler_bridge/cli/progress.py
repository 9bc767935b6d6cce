"""How a running scan looks: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from scheduler_bridge.cli.terminal import STYLES
from scheduler_bridge.model.jobs import Ending
from scheduler_bridge.status import changes, headline, reason, run_seconds
from scheduler_bridge.store.read_model import JobReading, StreamReading
from scheduler_bridge.text import span

BAR_WIDTH = 30

Show = Callable[[StreamReading, int], None]  # the stream, and how many files there are to scan; 0: not known


@contextmanager
def progress_view() -> Iterator[Show]:
    """What shows progress on standard error: standard output is the report's."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().show
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda now, files: live.update(_picture(now, files), refresh=True)


class _Lines:
    """A line for each job that has changed."""

    def __init__(self) -> None:
        self._before: StreamReading | None = None

    def show(self, now: StreamReading, files: int) -> None:
        for line in changes(self._before, now):
            click.echo(line, err=True)
        self._before = now


def _picture(now: StreamReading, files: int) -> Group:
    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading, justify in (("JOB", "right"), ("AGENT", "left"), ("", "left"), ("ITEMS", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # words of rich
    table.add_column("TIME", justify="right", no_wrap=True)
    table.add_column("STATE", overflow="fold")
    for job in now.jobs:
        seconds = run_seconds(job, now.read_at)
        table.add_row(
            str(job.job),
            Text(job.agent_type),
            _bar(job, files),
            f"{job.items:,}",
            span(seconds) if seconds is not None else "",
            _state(job),
        )
    return Group(Text(headline(now)), table)


def _bar(job: JobReading, files: int) -> ProgressBar:
    if job.state is Ending.COMPLETED:
        return ProgressBar(total=1, completed=1, width=BAR_WIDTH)
    if job.running and not files:
        return ProgressBar(width=BAR_WIDTH, pulse=True)
    return ProgressBar(total=max(files, 1), completed=min(job.items, files), width=BAR_WIDTH)


def _state(job: JobReading) -> Text:
    why = reason(job)
    return Text(f"{job.state.value}: {why}" if why else job.state.value, style=STYLES[job.state.value])
