"""The group of all commands: imports the one that is called, and shows its errors."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from scheduler_bridge.errors import BridgeError

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class Elsewhere(click.Command):
    """Stands for a command whose module is imported when it is called: its name, and its line in `--help`."""

    def __init__(self, name: str, line: str, place: str) -> None:
        """`place` is "module:attribute"."""
        super().__init__(name, help=line)
        self._place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class BridgeGroup(click.Group):
    """Shows what an operator can act on as a line, and everything else as the fault that it is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As its parent's; a command that is elsewhere is fetched."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Elsewhere) else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit status 1 with a message, 130 after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except BridgeError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if not _of_database(error):
                raise
            raise click.ClickException(f"database: {' '.join(str(error).split())}") from error


def _of_database(error: Exception) -> bool:
    """Whether psycopg has raised it, or its pool; without an import that takes longer than some commands."""
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(error, psycopg.Error)
