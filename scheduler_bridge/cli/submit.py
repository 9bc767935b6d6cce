"""`scheduler-bridge submit`: a stream file becomes rows."""

from __future__ import annotations

from typing import BinaryIO

import click

from scheduler_bridge.cli.context import queue_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.store.submission import Submitted
from scheduler_bridge.store.submission import submit as insert_rows
from scheduler_bridge.stream_file import read_stream
from scheduler_bridge.text import clean

MOST_JOBS = 50  # listed one by one


@click.command
@click.argument("file", type=click.File("rb"))
@pass_options
def submit(options: Options, file: BinaryIO) -> None:
    """Insert the job stream that FILE describes.

    FILE - is standard input. Prints the number of the stream and of its jobs. Nothing is inserted when
    anything in the file is wrong.

    \b
    Example: scheduler-bridge submit stream.yaml
             printf 'jobs: [{agent: unpack, args: /srv/in}]' | scheduler-bridge submit -
    """
    stream = read_stream(file.read(), "standard input" if file.name == "<stdin>" else file.name)
    with queue_of(options) as connection:
        submitted = insert_rows(connection, stream)
    click.echo("\n".join(_lines(submitted)))


def _lines(submitted: Submitted) -> list[str]:
    own, *siblings = submitted.streams
    lines = [f"stream {own}"]
    lines += [f"stream {stream} (priority {submitted.streams[stream]})" for stream in siblings]
    for job in submitted.jobs[:MOST_JOBS]:
        needs = f" needs {', '.join(map(str, job.needs[:10]))}" if job.needs else ""
        more = f" and {len(job.needs) - 10} more" if len(job.needs) > 10 else ""
        lines.append(f"job {job.job} {clean(job.name)}{needs}{more}")
    rest = submitted.jobs[MOST_JOBS:]
    if rest:
        lines.append(f"... {len(rest)} more jobs, {rest[0].job} to {rest[-1].job}")
    return lines
