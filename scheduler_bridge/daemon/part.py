"""A command of the Procfile with its log in FOSSology's form; run as a module it becomes that command."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import entry_points

from celery.signals import setup_logging

from scheduler_bridge.daemon.log_format import LogFormat

BEAT = "celery.beat"


def main(name: str, command: list[str]) -> object:
    """Become the console script that the command names."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormat(name))
    logging.basicConfig(handlers=[handler], level=logging.INFO)  # whoever comes second changes nothing
    logging.captureWarnings(True)
    logging.getLogger(BEAT).addFilter(_worth_a_line)
    setup_logging.connect(_keep, weak=False)
    (script,) = entry_points(group="console_scripts", name=command[0])
    sys.argv = command
    return script.load()()


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Of what beat says: not one line for each task that is due, every few seconds for ever."""
    return record.levelno > logging.INFO or str(record.msg).startswith(
        "beat: "
    )  # `Startup` waits for such a one


def _keep(**_: object) -> None:
    """Celery leaves the logging alone where somebody listens to this signal."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))  # type: ignore[arg-type]  # what console scripts return
