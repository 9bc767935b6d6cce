"""What a command costs before it does anything: it imports only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.process_nodes import PROJECT

PUBLISHES = "bridge"
COMMANDS = f"""
from scheduler_bridge.cli import main
for name in main.commands.keys() - {{"{PUBLISHES}"}}:
    main([name, "--help"], standalone_mode=False)
"""
FIRST_HALF = """
from scheduler_bridge.cli.fossology import fossology
fossology(["--help"], standalone_mode=False)
"""
SECOND_HALF = "import scheduler_bridge.daemon.scheduler"
BROKER = {"celery", "kombu", "redis"}
DATABASE = {"psycopg", "psycopg_pool"}
TERMINAL = {"rich"}


@pytest.mark.parametrize(
    ("program", "needless"),
    [
        pytest.param(COMMANDS, BROKER, id="commands that publish nothing"),
        pytest.param("import scheduler_bridge.cli", BROKER | DATABASE | TERMINAL, id="the list of commands"),
        pytest.param(FIRST_HALF, BROKER | DATABASE | TERMINAL, id="fo_scheduler before its exec"),
        pytest.param(SECOND_HALF, BROKER | TERMINAL, id="fo_scheduler after its exec"),
    ],
)
def test_what_a_program_does_not_need_is_not_imported(program: str, needless: set[str]) -> None:
    look = f"import sys; sys.exit(' '.join(sorted({needless} & sys.modules.keys())))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{look}"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
