"""Commands run to their end, as a process or, which costs a fifteenth of it, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from click.testing import CliRunner

from scheduler_bridge.cli import main
from tests.process_nodes import PROJECT

PROGRAM = [sys.executable, "-m", "scheduler_bridge"]
Done = subprocess.CompletedProcess[str]
Cli = Callable[..., Done]


def as_process(environment: Mapping[str, str]) -> Cli:
    """What runs a command as a person or a script does: `run("status", "12", status=1, text="stdin", NAME=...)`."""

    def run(*arguments: str, status: int = 0, text: str = "", **variables: str) -> Done:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            input=text,
            env={**environment, **variables},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def here(environment: Mapping[str, str]) -> Cli:
    """The same command line in this process; what would be a traceback is raised.

    Each command is also run as a process somewhere. Commands that set up signals or logging are run as that only.
    """

    def run(*arguments: str, status: int = 0, text: str = "", **variables: str) -> Done:
        own = {**dict.fromkeys(os.environ), **environment, **variables}
        result = CliRunner().invoke(main, arguments, input=text, env=own)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return Done(arguments, result.exit_code, result.stdout, result.stderr)

    return run
