"""`fo_scheduler`, also `scheduler-bridge fossology`: the options of the scheduler that it replaces."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from scheduler_bridge.cli.options import Options
from scheduler_bridge.daemon.choices import DEFAULT_FOLDER, Choices
from scheduler_bridge.daemon.detach import Starter
from scheduler_bridge.daemon.errors import REFUSED, exit_status
from scheduler_bridge.daemon.log_format import ALL_LINES
from scheduler_bridge.daemon.others import is_marked, signal_schedulers
from scheduler_bridge.daemon.start import start
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.settings import config_folder

FORGOTTEN = "the option -i/--database is ignored: the tables are FOSSology's, our own are made at every start"


class Refusal(click.UsageError):
    """A wrong command line, with FOSSology's exit status."""

    exit_code = REFUSED


class FoCommand(click.Command):
    """A command that is wrongly called ends with FOSSology's exit status."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises Refusal."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Refusal(error.format_message(), ctx) from error


@click.command(cls=FoCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-d", "--daemon", is_flag=True, help="Run in the background; returns when it has come up.")
@click.option("-i", "--database", is_flag=True, help="Accepted and ignored, as ever.")
@click.option("-k", "--kill", is_flag=True, help="End the schedulers of this folder at once; jobs go back.")
@click.option("-s", "--shutdown", is_flag=True, help="End them when their running jobs have ended.")
@click.option(
    "-L", "--log", metavar="PATH", help="File, folder, stdout or stderr; else LOGDIR/fossology.log."
)
@click.option("-p", "--port", type=click.IntRange(0, 65_535), help="TCP port of the commands; 0: any.")
@click.option("-R", "--reset", is_flag=True, help="Free the jobs that another scheduler has left as started.")
@click.option("-t", "--test", is_flag=True, help="Start every agent type once, then exit.")
@click.option("-v", "--verbose", type=click.IntRange(0), default=ALL_LINES, help="Mask: 0 errors, 3 all.")
@click.option(
    "-c", "--config", metavar="DIR", help=f"Configuration folder (FO_SYSCONFDIR; {DEFAULT_FOLDER})."
)
@click.pass_context
def fossology(ctx: click.Context, /, **given: Any) -> None:
    """Run FOSSology's jobs on this host, as fo_scheduler does.

    Starts bridge, worker, housekeeping and beat, and restarts one that ends. SIGTERM ends it when the running
    jobs have ended, SIGQUIT at once, SIGHUP reads the configuration again. Without REDIS_URL a broker runs in the
    state folder (SCHEDULER_BRIDGE_STATE). A database that is away is waited for.

    \b
    Example: scheduler-bridge fossology --config /usr/local/etc/fossology
             fo_scheduler --daemon --reset --verbose=3 --config /usr/local/etc/fossology
    """
    options = ctx.find_object(Options) or Options(None, None, None)
    choices = _choices(options, given)
    if given["database"] and not is_marked(choices.config):  # else it was said before the exec
        click.echo(f"fo_scheduler: {FORGOTTEN}", err=True)
    if given["kill"] or given["shutdown"]:
        ctx.exit(_signal(choices.config, signal.SIGQUIT if given["kill"] else signal.SIGTERM))
    try:
        if not is_marked(choices.config):
            start(choices)
        ctx.exit(_serve(choices))
    except (BridgeError, OSError) as error:
        _fail(error)


def _choices(options: Options, given: dict[str, Any]) -> Choices:
    folder = Path(given["config"] or config_folder(options.given(), os.environ) or DEFAULT_FOLDER)
    settings = {**options.given(), "port": given["port"]}
    del settings["config_folder"]
    if given["daemon"] and given["log"] in ("stdout", "stderr"):
        raise Refusal("a daemon has no stdout and no stderr: name a file with --log, or leave out --daemon")
    return Choices(
        config=folder.absolute(),
        settings=settings,
        daemon=given["daemon"],
        log=given["log"],
        reset=given["reset"],
        test=given["test"],
        verbosity=given["verbose"],
    )


def _serve(choices: Choices) -> int:
    # Not at the top: the first half of a start, and whoever only sends a signal, would import it for nothing.
    from scheduler_bridge.daemon.scheduler import EXPECTED, serve

    try:
        return serve(choices)
    except EXPECTED as error:
        _fail(error)


def _signal(folder: Path, number: signal.Signals) -> int:
    told = signal_schedulers(folder, number)
    if not told:
        click.echo(f"fo_scheduler: none of {folder} runs here that you may end", err=True)
    return 0 if told else REFUSED


def _fail(error: Exception) -> NoReturn:
    """Tell whoever waits: a terminal, or the process that has started this daemon."""
    starter, status = Starter.taken_over(), exit_status(error)
    if starter.waits:
        starter.tell_failed(status, str(error))
    else:
        click.echo(f"fo_scheduler: {error}", err=True)
    sys.exit(status)
