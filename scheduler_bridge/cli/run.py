"""`scheduler-bridge run`: from nothing to a finished job stream."""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console
from rich.markdown import Markdown

from scheduler_bridge.cli.context import connected
from scheduler_bridge.cli.group import INTERRUPTED
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.progress import Show, progress_view
from scheduler_bridge.cli.terminal import on_terminal
from scheduler_bridge.cli.up import local_environment, local_grace, local_settings
from scheduler_bridge.demo import Scan, installed_packages
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.status import reason
from scheduler_bridge.text import clean
from scheduler_bridge.up import LocalFleet, local_fleet

LOOK_SECONDS = 0.5  # between two pictures


@click.command
@click.argument("paths", nargs=-1, type=click.Path(exists=True, readable=True))
@pass_options
def run(options: Options, paths: tuple[str, ...]) -> None:
    """Scan PATHs and print the report.

    Starts everything, scans with the shipped agents, prints the report, stops everything. Without
    PATH, the Python packages that this program runs on are scanned. Servers are started where
    DATABASE_URL or REDIS_URL is not set; what was scanned once is remembered in the state folder
    (SCHEDULER_BRIDGE_STATE). The report is Markdown; a terminal gets it rendered.

    \b
    Example: scheduler-bridge run
             scheduler-bridge run ~/src/project > report.md
    """
    settings, configuration = local_settings(options)
    logs = settings.state_folder / "logs"
    absolute = [os.path.realpath(path) for path in paths] or installed_packages()
    _tell(f"starting, with logs in {logs}")
    environment, grace = local_environment(settings), local_grace(settings)
    state = settings.state_folder
    with (
        local_fleet(configuration.folder, state, environment, logs=logs, grace_seconds=grace) as fleet,
        connected(fleet.services.database_url) as connection,
    ):
        scan = Scan(connection, absolute)
        try:
            finished = _follow(fleet, scan)
        except BridgeError as error:
            raise BridgeError(f"{error}; the logs are in {logs}") from error
        if scan.failed:
            _tell_of_failures(scan)
            raise BridgeError(f"stream {scan.stream} failed; the logs are in {logs}")
        if not finished:
            _tell(f"interrupted; stream {scan.stream} goes on when its database is used again")
            click.get_current_context().exit(INTERRUPTED)


def _follow(fleet: LocalFleet, scan: Scan) -> bool:
    """Run the fleet until the scan has ended, and print its report; False when a signal came first."""
    with fleet.supervisor as supervisor:
        _tell(f"Flower is at {fleet.web_address}")
        with progress_view() as show:
            supervisor.run(until=lambda: _ended(fleet, scan, show), every_seconds=LOOK_SECONDS)
        if scan.ended and not scan.failed:
            _print_report(scan.report())
            _tell("stopping")
    return scan.ended


def _ended(fleet: LocalFleet, scan: Scan, show: Show) -> bool:
    if server := fleet.services.ended():
        raise BridgeError(f"{server} has ended")
    scan.look()
    show(scan.last, scan.files)
    return scan.ended


def _print_report(text: str) -> None:
    if on_terminal():
        Console().print("", Markdown(text))
    else:
        sys.stdout.buffer.write(text.encode() + b"\n")
        sys.stdout.buffer.flush()


def _tell_of_failures(scan: Scan) -> None:
    for job in scan.failed:
        _tell(f"job {job.job} ({job.agent_type}) failed: {reason(job)}")
        for line in scan.last_lines(job):
            _tell(f"  {clean(line)}")


def _tell(line: str) -> None:
    click.echo(line, err=True)
