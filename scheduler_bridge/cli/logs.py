"""`scheduler-bridge logs`: what the agents of a job have printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

import click

from scheduler_bridge.cli.context import RowNumber, queue_of, settings_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.cli.terminal import on_terminal
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.status import attempts_table
from scheduler_bridge.store.listener import Listener
from scheduler_bridge.store.read_model import Attempt
from scheduler_bridge.store.reading import Reading
from scheduler_bridge.text import as_text, clean, continuation
from scheduler_bridge.wiring import database_url

REFRESH_SECONDS = 1.0  # a worker stores new output every few seconds and announces nothing


@click.command
@click.argument("job", type=RowNumber("job"))
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Not the last attempt but this one.")
@click.option(
    "--follow", is_flag=True, help="Until the job ends; a running agent's output comes in portions."
)
@pass_options
def logs(options: Options, job: int, attempt: int | None, follow: bool) -> None:
    """Print what the agent of JOB has printed.

    At most its last 256 KiB are kept. Of a job with several attempts the last one is printed; a
    list of all goes to standard error.

    \b
    Example: scheduler-bridge logs 31 --follow
             scheduler-bridge logs 31 --attempt 1
    """
    if follow and attempt:
        raise click.UsageError("--follow prints the last attempt: leave out --attempt")
    with queue_of(options) as connection:
        printer = _Printer(Reading(connection), job)
        if not follow:
            printer.print_once(attempt)
            return
        with closing(Listener(database_url(settings_of(options)[0]))) as listener:
            while printer.print_new():
                listener.wait(REFRESH_SECONDS)


class _Printer:
    """Prints the output of one job, as far as it has not done so."""

    def __init__(self, reading: Reading, job: int) -> None:
        self._reading = reading
        self._job = job
        self._epoch = 0
        self._printed = b""
        self._written_at: datetime | None = None

    def print_once(self, wanted: int | None) -> None:
        """One attempt, the last by default. Raises BridgeError where there is none."""
        attempts = self._attempts()
        known = [attempt.epoch for attempt in attempts]
        if wanted is not None and wanted not in known:
            raise BridgeError(f"job {self._job} has no attempt {wanted}; known: {', '.join(map(str, known))}")
        if len(attempts) > 1:
            _tell(as_text(attempts_table(attempts, self._reading.now())))
        self._print_output(wanted or known[-1])
        if not self._printed:
            _tell(f"no output of job {self._job}, attempt {wanted or known[-1]}, is stored")

    def print_new(self) -> bool:
        """What has come since the last call; whether more may come."""
        job = self._reading.job(self._job)
        if job is None:
            raise BridgeError(f"there is no job {self._job}")
        if job.epoch != self._epoch:
            self._epoch, self._printed, self._written_at = job.epoch, b"", None
            _tell(f"attempt {job.epoch} on host {clean(job.host or '-')}")
        if job.epoch:
            self._print_output(job.epoch)
        return not job.ended

    def _attempts(self) -> Sequence[Attempt]:
        attempts = self._reading.attempts(self._job)
        if not attempts:
            if self._reading.job(self._job) is None:
                raise BridgeError(f"there is no job {self._job}")
            raise BridgeError(
                f"job {self._job} has not been attempted: see `scheduler-bridge why {self._job}`"
            )
        return attempts

    def _print_output(self, epoch: int) -> None:
        found = self._reading.output(self._job, epoch, self._written_at)
        if found is None:
            return
        tail, self._written_at = found
        new = continuation(self._printed, tail)
        self._printed = tail
        if on_terminal():
            click.echo(
                "\n".join(clean(line) for line in new.decode("utf-8", "replace").split("\n")), nl=False
            )
        else:
            sys.stdout.buffer.write(new)
            sys.stdout.buffer.flush()


def _tell(line: str) -> None:
    click.echo(line, err=True)
