"""Everything on one machine: what its parts are told, and one start and stop of all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from scheduler_bridge.cli.up import local_grace
from scheduler_bridge.embedded import Services
from scheduler_bridge.launch import launcher
from scheduler_bridge.migrate import check_schema
from scheduler_bridge.servers import LOOPBACK, ServerError, claimed
from scheduler_bridge.settings import Settings
from scheduler_bridge.up import free_port, local_fleet, part_environment, prepare_database
from tests.process_nodes import PROJECT

UP = """
import os, sys
from pathlib import Path
from scheduler_bridge.up import up
sys.exit(up(Path(sys.argv[1]), Path(sys.argv[2]), os.environ))
"""
NODE = f"@{socket.gethostname()} ready."
ALL_THERE = ("Flower is at http://127.0.0.1:", f"celery{NODE}", f"housekeeping{NODE}", "beat: Starting")
GIVEN = Services("postgresql://db.example/fossology", "redis://broker.example/0", database_is_ours=False)


@pytest.fixture
def everything(config_folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`up` on servers of its own."""
    names = ("DATABASE_URL", "REDIS_URL", "PORT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    process = subprocess.Popen(
        launcher(
            [sys.executable, "-c", UP, str(config_folder), str(tmp_path / "state")],
            death_signal=signal.SIGTERM,
        ),
        cwd=PROJECT,
        env={**environment, "SCHEDULER_BRIDGE_PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def lines_until(process: subprocess.Popen[str], *wanted: str) -> list[str]:
    """Lines until each of `wanted` has come."""
    assert process.stdout is not None
    lines: list[str] = []
    missing = set(wanted)
    while missing:
        line = process.stdout.readline()
        assert line, f"ended without {missing}:\n{''.join(lines)}"
        lines.append(line)
        missing -= {text for text in missing if text in line}
    return lines


def test_parts_are_told_where_things_are_and_keep_the_rest() -> None:
    told = part_environment({"PATH": "/bin", "STAY": "1"}, GIVEN, Path("conf"), 5555)
    assert told == {
        "SCHEDULER_BRIDGE_HOST": "localhost",
        "STAY": "1",
        "DATABASE_URL": GIVEN.database_url,
        "REDIS_URL": GIVEN.redis_url,
        "SCHEDULER_BRIDGE_CONFIG": str(Path("conf").resolve()),
        "PORT": "5555",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:/bin",
    }


def test_a_host_name_of_the_environment_is_kept() -> None:
    told = part_environment({"SCHEDULER_BRIDGE_HOST": "scan-3"}, GIVEN, Path("conf"), 5555)
    assert told["SCHEDULER_BRIDGE_HOST"] == "scan-3"


def test_the_first_free_port_is_taken() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        assert free_port(taken) > taken


def test_a_database_of_our_own_gets_the_queue_and_the_trigger(empty_database: str) -> None:
    prepare_database(Services(empty_database, GIVEN.redis_url, database_is_ours=True))
    with psycopg.connect(empty_database) as connection:
        check_schema(connection)
        triggers = connection.execute("select tgname::text from pg_trigger where not tgisinternal").fetchall()
    assert ("scheduler_bridge_announce",) in triggers


def test_someone_elses_database_gets_only_our_schema(database: str) -> None:
    prepare_database(Services(database, GIVEN.redis_url, database_is_ours=False))
    with psycopg.connect(database) as connection:
        check_schema(connection)
        triggers = connection.execute("select tgname::text from pg_trigger where not tgisinternal").fetchall()
    assert ("scheduler_bridge_announce",) not in triggers


def test_everything_starts_tells_its_address_and_ends_with_ctrl_c(everything: subprocess.Popen[str]) -> None:
    lines_until(
        everything, "Flower is at http://127.0.0.1:", "celery@", "housekeeping@", "beat: Starting", "bridge"
    )
    family = psutil.Process(everything.pid).children(recursive=True)
    everything.send_signal(signal.SIGINT)
    rest, _ = everything.communicate(timeout=60)
    assert everything.returncode == 0, rest
    assert "worker ended with status 0" in rest
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_everything_ends_when_its_supervisor_is_killed(everything: subprocess.Popen[str]) -> None:
    lines_until(everything, *ALL_THERE)
    family = psutil.Process(everything.pid).children(recursive=True)
    everything.kill()
    everything.wait()
    assert len(family) >= 6  # two servers and their parts
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_a_run_that_is_refused_leaves_the_logs_of_the_other(
    config_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_bridge.servers.LOCK_WAIT_SECONDS", 0.1)
    state = tmp_path / "state"
    (state / "logs").mkdir(parents=True)
    (state / "logs" / "worker.log").write_text("of the other")
    with (
        claimed(state / "postgres"),
        pytest.raises(ServerError, match="is in use by another run"),
        local_fleet(config_folder, state, {}, logs=state / "logs"),
    ):
        pass
    assert (state / "logs" / "worker.log").read_text() == "of the other"


@pytest.mark.parametrize(("agents", "parts"), [("20", 30), ("120", 130)])
def test_a_worker_is_left_more_time_to_stop_than_it_leaves_its_agents(agents: str, parts: float) -> None:
    environment = {"SCHEDULER_BRIDGE_STOP_GRACE_SECONDS": agents}
    assert local_grace(Settings.read({}, environment, None, hostname="h")) == parts
