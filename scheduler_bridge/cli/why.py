"""`scheduler-bridge why`: what keeps a job from running, or ended it."""

from __future__ import annotations

import click

from scheduler_bridge.cli.context import RowNumber, queue_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.status import chain_lines
from scheduler_bridge.store.reading import Reading


@click.command
@click.argument("job", type=RowNumber("job"))
@pass_options
def why(options: Options, job: int) -> None:
    """Say why JOB does not run, or how it ended.

    Down to the root: each line is held up by the next. The answer is that of the function by which
    workers decide, asked now.

    \b
    Example: scheduler-bridge why 31
    """
    with queue_of(options) as connection:
        chain = Reading(connection).chain(job)
    if chain is None:
        raise BridgeError(f"there is no job {job}")
    click.echo("\n".join(chain_lines(chain)))
