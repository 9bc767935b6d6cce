"""What a terminal gets in colour and a pipe as plain text."""

from __future__ import annotations

import sys

import click
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from scheduler_bridge.text import Table, as_text

STYLES = {
    "completed": "green",
    "failed": "red",
    "lost": "red",
    "started": "cyan",
    "running": "cyan",
    "claimed": "cyan",
    "proposed": "yellow",
    "waiting": "dim",
    "returned": "yellow",
}
FOLDED = frozenset({"REASON", "VALUE", "ORIGIN", "NAME"})  # columns whose cells may take several lines


def on_terminal() -> bool:
    """Whether a person is likely to look."""
    return sys.stdout.isatty()


def show_table(table: Table) -> None:
    """Print a table: coloured and fitted to a terminal, plain into a pipe."""
    if on_terminal():
        Console().print(rich_table(table))
    else:
        click.echo(as_text(table))


def rich_table(table: Table) -> RichTable:
    """The table for a terminal; texts of rows are never read as markup."""
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column, heading in enumerate(table.headings):
        drawn.add_column(
            heading,
            justify="right" if column in table.numbers else "left",
            no_wrap=heading not in FOLDED,
            overflow="fold",
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return drawn
