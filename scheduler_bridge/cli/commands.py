"""`scheduler-bridge cli`: the client of the command port, with the options of FOSSology's fo_cli."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from scheduler_bridge.cli.context import settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.commands.access import read_token
from scheduler_bridge.commands.client import CommandClient, ask, connect
from scheduler_bridge.commands.dialogue import HELP, Dialogue
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.settings import Settings
from scheduler_bridge.text import clean

NOT_CONNECTED = 255  # exit status, as fo_cli has it
DEFAULT_HOST = "localhost"
HIGHEST_NUMBER = 2**31 - 1
JOB = click.IntRange(1, HIGHEST_NUMBER)
CHANGES = ("reload", "database", "restart", "pause", "verbose")
QUESTIONS = ("agents", "load", "status")
ENDINGS = ("stop", "die")
FLAGS = frozenset({"reload", "database", *QUESTIONS, *ENDINGS})


@click.command
@click.option("-c", "--config", metavar="FOLDER", help="Configuration folder.")
@click.option("-H", "--host", help="Where the scheduler is ([FOSSOLOGY] address).")
@click.option("-p", "--port", type=click.IntRange(1, 65_535), help="Its TCP port ([FOSSOLOGY] port).")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Holds the token that a scheduler on another machine asks for.",
)
@click.option("-q", "--quiet", is_flag=True, help="No list of the commands at first.")
@click.option("-r", "--reload", is_flag=True, help="Read the configuration again.")
@click.option("-d", "--database", is_flag=True, help="Look for new jobs now.")
@click.option("-R", "--restart", type=JOB, metavar="JOB", help="Let a paused job go on.")
@click.option("-P", "--pause", type=JOB, metavar="JOB", help="Stop a job.")
@click.option(
    "-v", "--verbose", type=click.IntRange(0, HIGHEST_NUMBER), metavar="N", help="How much is logged."
)
@click.option("-a", "--agents", is_flag=True, help="The agent types that can be used.")
@click.option("-l", "--load", is_flag=True, help="What runs on each host.")
@click.option("-S", "--status", is_flag=True, help="Everything that is open.")
@click.option("-s", "--stop", is_flag=True, help="End once everything that runs has ended.")
@click.option("-D", "--die", is_flag=True, help="End now.")
@pass_options
def cli(
    options: Options,
    /,
    config: str | None,
    host: str | None,
    port: int | None,
    *,
    token_file: Path | None,
    quiet: bool,
    **commands: bool | int | None,
) -> None:
    """Send commands to a running scheduler.

    The options are those of FOSSology's fo_cli. Of several commands those that change something go first, and those
    that end the scheduler last. Without any, commands are read from standard input. Exit status 255 when nothing
    answers.

    \b
    Example: scheduler-bridge cli --status
             scheduler-bridge cli --config /etc/fossology --pause 31
    """
    if config:
        options = Options(Path(config), options.database_url, options.redis_url)
    settings, configuration = settings_of(options)
    default_host, default_port = _address(settings, configuration)
    host, port = host or default_host, port or default_port
    token = read_token(token_file or settings.token_file)
    try:
        with closing(connect(host, port, token)) as client:
            _talk(client, _texts(commands), quiet)
    except OSError as error:
        click.echo(f"the scheduler at {host} port {port}: {error}", err=True)
        click.get_current_context().exit(NOT_CONNECTED)


def _talk(client: CommandClient, commands: list[str], quiet: bool) -> None:
    if commands:
        for line in ask(client, commands):
            click.echo(clean(line))
        return
    if not quiet:
        click.echo(HELP)
    Dialogue(client, sys.stdin.fileno(), lambda line: click.echo(_shown(line))).run()


def _shown(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def _texts(given: dict[str, bool | int | None]) -> list[str]:
    """The commands as they are sent, in the order in which they make sense."""
    found = [name for name in CHANGES + QUESTIONS + ENDINGS if given[name] not in (None, False)]
    return [name if name in FLAGS else f"{name} {given[name]}" for name in found]


def _address(settings: Settings, configuration: Configuration | None) -> tuple[str, int]:
    """Where the scheduler is."""
    named = configuration.command_access.address if configuration else None
    return named or DEFAULT_HOST, settings.port
