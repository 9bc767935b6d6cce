"""`scheduler-bridge audit`: whether the rows agree with each other."""

from __future__ import annotations

import json

import click
import psycopg

from scheduler_bridge.audit.auditor import audit as look
from scheduler_bridge.audit.auditor import remember
from scheduler_bridge.audit.report import audit_json, audit_lines
from scheduler_bridge.cli.context import queue_of
from scheduler_bridge.cli.options import Options, pass_options
from scheduler_bridge.errors import BridgeError

SOMETHING_FOUND = 1


class CannotAsk(click.ClickException):
    """No answer, which is neither clean nor a finding."""

    exit_code = 2


@click.command
@click.option("--json", "as_json", is_flag=True, help="As documented in docs/cli.md.")
@pass_options
def audit(options: Options, as_json: bool) -> None:
    """Ask the database for what should not be.

    Exit status 0: nothing was found; 1: something was; 2: the database could not be asked. What no row
    dates is found by the second audit that sees it, two minutes later or more.

    \b
    Example: scheduler-bridge audit
             scheduler-bridge audit --json
    """
    try:
        with queue_of(options) as connection:
            found = look(connection)
            remember(connection, found)
    except (BridgeError, psycopg.Error) as error:
        raise CannotAsk(" ".join(str(error).split())) from error
    click.echo(json.dumps(audit_json(found), indent=2) if as_json else "\n".join(audit_lines(found)))
    click.get_current_context().exit(SOMETHING_FOUND if found.findings else 0)
