"""Commands to the fleet through the database: `rerun`, `drain`."""

from __future__ import annotations

import click

from scheduler_bridge.cli.context import RowNumber, queue_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.errors import BridgeError

LONGEST_DEADLINE_SECONDS = 30 * 86_400


@click.command
@click.argument("stream", type=RowNumber("stream"))
@click.option("--failed", is_flag=True, help="The jobs that failed and what depends on them.")
@pass_options
def rerun(options: Options, stream: int, failed: bool) -> None:
    """Let the failed jobs of a stream run again.

    They and all that failed with them wait again as if never started; what has completed stays so. A job that
    was killed is left out, with what depends on it, until its agent has ended; where there is one the exit status is 1.

    \b
    Example: scheduler-bridge rerun 12 --failed
    """
    if not failed:
        raise click.UsageError("say which jobs: --failed")
    with queue_of(options) as connection:
        if connection.execute("select from job where job_pk = %s", [stream]).fetchone() is None:
            raise BridgeError(f"there is no stream {stream}")
        ((again, left_out),) = connection.execute("select * from scheduler_bridge.rerun_failed(%s)", [stream])
    if again or not left_out:
        click.echo(f"{again} jobs wait again" if again else f"no job of stream {stream} has failed")
    if left_out:
        raise BridgeError(
            f"{left_out} left out: an agent of theirs is still being ended; run this again in a moment"
        )


@click.command
@click.argument("host")
@click.option(
    "--deadline",
    type=click.FloatRange(0, LONGEST_DEADLINE_SECONDS),
    metavar="SECONDS",
    help="Then what still runs goes back to the queue; without it the last job is waited for.",
)
@pass_options
def drain(options: Options, host: str, deadline: float | None) -> None:
    """Let a host end what it runs and take nothing new.

    Its worker then exits by itself. A worker that is started there afterwards takes jobs again.

    \b
    Example: scheduler-bridge drain scan-3
             scheduler-bridge drain scan-3 --deadline 600
    """
    with queue_of(options) as connection:
        query = "select scheduler_bridge.drain_host(%s, make_interval(secs => %s::float))"
        row = connection.execute(query, [host, deadline]).fetchone()
        if row is None or not row[0]:
            known = connection.execute("select name from scheduler_bridge.host order by name").fetchall()
            names = ", ".join(name for (name,) in known) or "none"
            raise BridgeError(f"there is no host {host}; known hosts: {names}")
    click.echo(f"{host} takes no more jobs")
