"""`celery -A tasks monitor`: Flower, on loopback until someone says who may see it.

Takes every option of Flower: `--name=value`, then flowerconfig.py, then FLOWER_NAME in the environment. Its port
is by default that of our settings: $PORT, as platforms give it, else 5555.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

import click
import psycopg
from celery import Celery
from celery.bin.base import CeleryCommand
from flower.app import Flower
from flower.command import (
    apply_env_options,
    apply_options,
    extract_settings,
    print_banner,
    setup_logging,
)
from flower.urls import settings as flower_settings
from tornado.options import OptionParser, options

from scheduler_bridge.errors import SchemaError, SettingsError
from scheduler_bridge.settings import Settings
from scheduler_bridge.wiring import look_at_database, read_settings

LOOPBACK = "127.0.0.1"
TASK_COLUMNS = "name,args,state,received,started,runtime,worker"  # agent type, then job and stream
TASKS_REMEMBERED = 10_000  # 5 kB each; the database, not Flower, knows what has happened

logger = logging.getLogger(__name__)


@click.command(cls=CeleryCommand, context_settings={"ignore_unknown_options": True})
@click.argument("tornado_argv", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def monitor(ctx: click.Context, tornado_argv: tuple[str, ...]) -> None:
    """Flower for this project; takes every option of Flower."""
    app: Celery = ctx.obj.app
    settings, _ = read_settings()
    set_defaults(options, app, settings)
    apply_env_options()
    apply_options(sys.argv[0], tornado_argv)
    extract_settings()
    setup_logging()
    refuse_another_schema(settings)
    stay_private(options)
    serve(Flower(capp=app, options=options, **flower_settings), app)


def set_defaults(chosen: OptionParser, app: Celery, settings: Settings) -> None:
    """Ours in place of Flower's; FLOWER_ variables, flowerconfig.py and the command line come after."""
    chosen.max_tasks = TASKS_REMEMBERED
    chosen.tasks_columns = TASK_COLUMNS
    # Every 5 s Flower would tell all workers to send events; ours do from the start.
    chosen.enable_events = not app.conf.worker_send_task_events
    chosen.port = settings.web_port


def refuse_another_schema(settings: Settings) -> None:
    """End with one line when the database is not at this version; Flower needs none, so one may be away."""
    try:
        look_at_database(settings)
    except SchemaError as error:
        raise SystemExit(f"scheduler-bridge: {error}") from error
    except (psycopg.OperationalError, SettingsError) as error:
        logger.warning("the database cannot be reached: %s", error, extra={"action": "database_away"})


def stay_private(chosen: OptionParser) -> None:
    """Flower's own default is every address and no login: not before one of them is given."""
    if not (chosen.address or chosen.basic_auth or chosen.auth or chosen.unix_socket):
        chosen.address = LOOPBACK
        logger.warning(
            "only this machine can see Flower: set FLOWER_BASIC_AUTH=user:password to open it to others"
        )


def serve(flower: Flower, app: Celery) -> None:
    """Run until SIGTERM or Ctrl-C; harmless however early they come."""

    def end(number: int, frame: FrameType | None) -> None:
        flower.io_loop.add_callback_from_signal(flower.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    print_banner(app, "ssl_options" in flower_settings, flower.start_http_server())
    flower.start()
