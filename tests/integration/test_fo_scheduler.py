"""`fo_scheduler` with real parts, a real database and a real broker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from scheduler_bridge.servers import LOOPBACK
from tests.integration.command_line import here
from tests.integration.fleet import NAPPER, QUICK, announce, configuration, ended, row, started, until
from tests.integration.schedulers import LINE, PARTS, Scheduler, call, daemons, gone, name_of

Start = Callable[..., Scheduler]


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    folder = configuration(tmp_path / "sys config", {"quick": QUICK, "nap": NAPPER})
    (folder / "fossology.conf").write_text("[HOSTS]\nscan-1 = localhost AGENT_DIR 3\n")
    return folder


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**environment, "SCHEDULER_BRIDGE_STATE": str(tmp_path / "state")}


@pytest.fixture
def start(environment: dict[str, str], config_folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Start one in the foreground: `start("--reset", SCHEDULER_BRIDGE_PORT="0")`."""
    started: list[Scheduler] = []

    def run(*options: str, **variables: str) -> Scheduler:
        log = tmp_path / f"fossology.{len(started)}.log"
        started.append(Scheduler({**environment, **variables}, config_folder, log, *options))
        return started[-1]

    yield run
    for scheduler in started:
        scheduler.close()
    for daemon in daemons(config_folder):
        daemon.kill()


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port that some program listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def insert(connection: psycopg.Connection[Any], agent_type: str, args: str, **columns: str) -> int:
    """A stream of one job; its number."""
    stream = connection.execute("insert into job (job_name) values ('test') returning job_pk").fetchone()
    assert stream is not None
    names = ", ".join(["jq_job_fk", "jq_type", "jq_args", *columns])
    marks = ", ".join(["%s"] * (3 + len(columns)))
    values = [stream[0], agent_type, args, *columns.values()]
    job = connection.execute(
        f"insert into jobqueue ({names}) values ({marks}) returning jq_pk".encode(), values
    ).fetchone()
    assert job is not None
    announce(connection)
    return int(job[0])


def test_it_runs_jobs_writes_one_log_and_ends_when_told_by_its_folder(
    start: Start,
    connection: psycopg.Connection[Any],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    scheduler = start("--database", "-p", "0", SCHEDULER_BRIDGE_SWEEP_SECONDS="1")
    scheduler.wait_until_up()
    job = insert(connection, "quick", "the input", jq_host="scan-1")
    assert ended(connection, job) == ["Completed"]
    assert {name_of(process) for process in psutil.Process(scheduler.process.pid).children()} == PARTS

    elsewhere = configuration(tmp_path / "elsewhere", {"quick": QUICK})
    run = here(environment)
    run("fossology", "--kill", "--config", str(elsewhere), status=255)
    assert scheduler.process.poll() is None

    family = scheduler.family()
    link = tmp_path / "link"
    link.symlink_to(scheduler.config)
    assert call(environment, "--shutdown", "--config", str(link)).returncode == 0
    scheduler.wait_for("stopping when the running jobs have ended")
    assert scheduler.end(signal.SIGTERM) == 0
    assert scheduler.output().count("-i/--database is ignored") == 1
    assert gone(family)
    run("fossology", "--shutdown", "--config", str(link), status=255)

    lines = scheduler.lines
    assert [line for line in lines if not LINE.match(line)] == []
    notes = [line.split(" :: NOTE: ")[1] for line in lines if " :: NOTE: " in line]
    assert notes[:4] == [
        "***  FOSSology scheduler started ***",
        f"***    pid:     {scheduler.process.pid}",
        "***    verbose: 3",
        f"***    config:  {scheduler.config}",
    ]
    assert "***  FOSSology scheduler closed ***" in notes
    assert any(note.startswith("worker: job ") for note in notes)
    assert any(note.startswith("beat: beat: Starting") for note in notes)
    assert [note for note in notes if "due task" in note or "--------" in note] == []


def is_free(connection: psycopg.Connection[Any], job: int) -> bool:
    """Whether a row looks as if it had never started: FOSSology's scheduler would run it."""
    columns = ("jq_starttime", "jq_endtime", "jq_endtext", "jq_schedinfo")
    return [row(connection, job)[column] for column in columns] == [None] * 4


def test_a_running_job_is_waited_for_while_nothing_new_starts(
    start: Start, connection: psycopg.Connection[Any]
) -> None:
    scheduler = start()
    scheduler.wait_until_up()
    running = insert(connection, "nap", "4")
    started(connection, running)
    scheduler.send(signal.SIGTERM)
    draining = "select from scheduler_bridge.host where name = 'scan-1' and draining"
    until(lambda: connection.execute(draining.encode()).fetchone() is not None, "the drain")
    late = insert(connection, "quick", "too late")
    assert scheduler.process.wait(40) == 0
    assert row(connection, running)["jq_endtext"] == "Completed"
    assert row(connection, late)["jq_starttime"] is None


def with_a_long_job(start: Start, connection: psycopg.Connection[Any]) -> tuple[Scheduler, int]:
    """A scheduler that runs a job of ten minutes."""
    scheduler = start()
    scheduler.wait_until_up()
    job = insert(connection, "nap", "600")
    started(connection, job)
    return scheduler, job


def test_sigquit_ends_agents_at_once_and_their_jobs_go_back(
    start: Start, connection: psycopg.Connection[Any]
) -> None:
    scheduler, job = with_a_long_job(start, connection)
    family = scheduler.family()
    begun = time.monotonic()
    assert scheduler.end(signal.SIGQUIT) == 0
    assert time.monotonic() - begun < 5
    assert gone(family, 1)
    assert is_free(connection, job)


def test_a_worker_that_has_to_be_killed_leaves_no_row_as_started(
    start: Start, connection: psycopg.Connection[Any]
) -> None:
    scheduler, job = with_a_long_job(start, connection)
    family = scheduler.family()
    scheduler.part("worker").send_signal(signal.SIGSTOP)
    assert scheduler.end(signal.SIGQUIT) == 0
    assert gone(family, 1)
    assert f"jobs of a killed worker are free again: {job}" in scheduler.log.read_text()
    assert is_free(connection, job)


def test_a_paused_job_waits_again_when_a_drain_is_cut_short(
    start: Start, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    scheduler, job = with_a_long_job(start, connection)
    connection.execute("select scheduler_bridge.pause_job(%s)", [job])
    until(lambda: row(connection, job)["jq_endtext"] == "Paused", "the pause")
    scheduler.send(signal.SIGTERM)
    scheduler.wait_for("stopping when the running jobs have ended")
    family = scheduler.family()
    here(environment)("fossology", "--kill", "-c", str(scheduler.config))
    assert scheduler.process.wait(10) == 0
    assert gone(family, 1)
    assert row(connection, job)["jq_schedinfo"] is None
    after = row(connection, job)
    assert (after["jq_starttime"].year, after["jq_endtext"], after["jq_schedinfo"]) == (9999, "Paused", None)
    held = "select from scheduler_bridge.attempt where ended_at is null"
    assert connection.execute(held.encode()).fetchone() is None


def test_a_part_that_dies_is_started_again_and_sighup_goes_on_in_a_new_log(start: Start) -> None:
    scheduler = start()
    scheduler.wait_until_up()
    scheduler.send(signal.SIGPIPE)
    scheduler.part("beat").kill()
    scheduler.wait_for("beat was ended by SIGKILL, starts again in 1 s")
    scheduler.wait_for("beat: Starting", times=2)
    old = scheduler.log.rename(scheduler.log.with_suffix(".1"))
    scheduler.send(signal.SIGHUP)
    scheduler.wait_for("reading the configuration again")
    size = old.stat().st_size
    scheduler.part("beat").kill()
    scheduler.wait_for("beat was ended by SIGKILL")
    assert old.stat().st_size == size
    assert scheduler.end() == 0


def test_a_daemon_is_up_when_its_starter_returns_has_left_the_terminal_and_is_the_only_one_of_its_folder(
    start: Start, environment: dict[str, str], config_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "logs"
    log.mkdir()
    begun = call(environment, "-d", "-c", str(config_folder), "-L", str(log))
    assert (begun.returncode, begun.stdout, begun.stderr) == (0, "", "")
    assert "bridge ready." in (log / "fossology.log").read_text()
    (daemon,) = daemons(config_folder)
    assert daemon.terminal() is None
    assert daemon.cwd() == "/"
    assert os.getsid(daemon.pid) not in (os.getsid(0), daemon.pid)
    assert [str(Path(f"/proc/{daemon.pid}/fd/{number}").readlink()) for number in (0, 1, 2)] == [
        os.devnull,
        str(log / "fossology.log"),
        str(log / "fossology.log"),
    ]

    second = call(environment, "-d", "-c", str(config_folder), "-L", str(log))
    assert second.returncode == 254
    assert "fo_scheduler already runs" in second.stderr
    elsewhere = {**environment, "SCHEDULER_BRIDGE_STATE": str(tmp_path / "elsewhere")}
    third = call(elsewhere, "-c", str(config_folder))
    assert third.returncode == 254
    assert f"already runs with {config_folder}, as process {daemon.pid}" in third.stderr

    family = [daemon, *daemon.children(recursive=True)]
    assert call(environment, "-k", "-c", str(config_folder)).returncode == 0
    assert gone(family, 20)


def test_a_daemon_whose_part_does_not_start_tells_the_reason(
    start: Start, environment: dict[str, str], config_folder: Path
) -> None:
    wrong = {**environment, "CELERY_LOADER": "no.such:Loader"}
    begun = call(wrong, "-d", "-c", str(config_folder))
    assert begun.returncode == 254
    assert "has ended before it was ready:" in begun.stderr
    assert "ModuleNotFoundError" in begun.stderr
    until(lambda: daemons(config_folder) == [], "the end of the daemon")


def test_reset_frees_rows_that_another_scheduler_has_left(
    start: Start, connection: psycopg.Connection[Any]
) -> None:
    left = insert(
        connection,
        "quick",
        "left",
        jq_starttime="2020-01-01",
        jq_endtext="Started",
        jq_schedinfo="localhost.1",
    )
    scheduler = start("--reset")
    scheduler.wait_for("reset: 1 jobs are free again")
    assert ended(connection, left) == ["Completed"]
    assert scheduler.end() == 0


def test_a_port_that_a_stranger_holds_is_a_reason_not_to_start_and_to_leave_its_rows(
    environment: dict[str, str], config_folder: Path, connection: psycopg.Connection[Any], held_port: int
) -> None:
    theirs = insert(
        connection,
        "quick",
        "runs there",
        jq_starttime="2020-01-01",
        jq_endtext="Started",
        jq_schedinfo="localhost.1",
    )
    before = row(connection, theirs)
    done = call(environment, "--reset", "-c", str(config_folder), "-p", str(held_port))
    assert done.returncode == 254
    assert f"port {held_port} is held by" in done.stderr
    assert "FOSSology's by `fo_cli --stop`" in done.stderr
    assert "`fo_scheduler --shutdown --config`" in done.stderr
    assert row(connection, theirs) == before


def test_a_broker_of_its_own_that_dies_is_started_again(
    start: Start, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    scheduler = start(REDIS_URL="")
    scheduler.wait_until_up()
    addresses = (tmp_path / "state" / "addresses").read_text()
    parts = {part: scheduler.part(part).pid for part in ("bridge", "worker")}
    broker_of(scheduler).kill()
    scheduler.wait_for("valkey has ended, starts again in 1 s")
    job = insert(connection, "quick", "the input")
    assert ended(connection, job) == ["Completed"]
    assert {part: scheduler.part(part).pid for part in parts} == parts
    assert (tmp_path / "state" / "addresses").read_text() == addresses
    broker_of(scheduler).kill()
    scheduler.wait_for("valkey has ended, starts again in 2 s")
    assert scheduler.end() == 0


def broker_of(scheduler: Scheduler) -> psutil.Process:
    """Its broker, once it runs."""

    def find() -> list[psutil.Process]:
        family = psutil.Process(scheduler.process.pid).children()
        return [child for child in family if child.status() != "zombie" and "-server" in child.name()]

    (found,) = until(find, "a broker")
    return found


def test_it_migrates_the_schema_of_db_conf_and_tells_a_shell_where_that_and_its_own_broker_are(
    start: Start, connection: psycopg.Connection[Any], database: str, config_folder: Path, tmp_path: Path
) -> None:
    connection.execute("drop schema scheduler_bridge cascade")
    (config_folder / "Db.conf").write_text(
        "".join(f"{name}={value};\n" for name, value in conninfo_to_dict(database).items())
    )
    scheduler = start(DATABASE_URL="", REDIS_URL="")
    scheduler.wait_until_up()
    script = 'set -eu; . "$1"; printf "%s\n" "$DATABASE_URL" "$REDIS_URL"'
    shell = ["sh", "-c", script, "sh", str(tmp_path / "state" / "addresses")]
    read = subprocess.run(shell, env={}, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [conninfo_to_dict(read[0])["dbname"], read[1][:8]] == [
        conninfo_to_dict(database)["dbname"],
        "redis://",
    ]
    job = insert(connection, "quick", "the input")
    assert ended(connection, job) == ["Completed"]
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert scheduler.end() == 0


def test_a_daemon_that_cannot_start_leaves_lines_of_the_logs_form_alone(
    environment: dict[str, str], config_folder: Path, held_port: int, tmp_path: Path
) -> None:
    log = tmp_path / "fossology.log"
    begun = call(environment, "-d", "-c", str(config_folder), "-L", str(log), "-p", str(held_port))
    assert begun.returncode == 254
    assert begun.stderr.count(f"port {held_port} is held by") == 1
    until(lambda: daemons(config_folder) == [], "the end of the daemon")
    lines = log.read_text().splitlines()
    assert any(f"ERROR: port {held_port} is held by" in line for line in lines)
    assert [line for line in lines if not LINE.match(line)] == []


def test_the_option_port_reaches_the_bridge(start: Start, held_port: int) -> None:
    scheduler = start("--port", "0", "-v", "0", SCHEDULER_BRIDGE_PORT=str(held_port))
    bridge = scheduler.part("bridge")
    assert bridge.environ()["SCHEDULER_BRIDGE_PORT"] == "0"
    assert bridge.environ()["SCHEDULER_BRIDGE_HOST"] == "scan-1"
    assert scheduler.end(signal.SIGQUIT) == 0
    assert [line for line in scheduler.lines if ":: NOTE" in line] == []


def test_a_queue_without_its_columns_is_refused(
    environment: dict[str, str], config_folder: Path, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("drop schema scheduler_bridge cascade; alter table jobqueue drop column jq_cmd_args")
    done = call(environment, "-c", str(config_folder))
    assert (done.returncode, "jobqueue.jq_cmd_args" in done.stderr) == (230, True)


def test_no_database_is_fatal(environment: dict[str, str], config_folder: Path) -> None:
    done = call({**environment, "DATABASE_URL": ""}, "-c", str(config_folder))
    assert done.returncode == 254
    assert "Db.conf" in done.stderr


def test_a_wrong_option_ends_it_with_fossologys_status(environment: dict[str, str]) -> None:
    done = call(environment, "--bogus")
    assert (done.returncode, done.stdout) == (255, "")
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("options", [["-v", "many"], ["stray"], ["-p", "70000"], ["-d", "-L", "stdout"]])
def test_wrong_options_are_told_with_the_usage(environment: dict[str, str], options: list[str]) -> None:
    done = here(environment)("fossology", *options, status=255)
    assert done.stdout == ""
    assert "Usage:" in done.stderr


def test_a_startup_test_names_the_agent_types_that_cannot_be_used(
    environment: dict[str, str], config_folder: Path
) -> None:
    passed = call(environment, "--test", "-c", str(config_folder))
    assert (passed.returncode, passed.stdout) == (0, "")
    assert not Path(environment["SCHEDULER_BRIDGE_STATE"]).exists()

    configuration(
        config_folder, {"dies": "#!/bin/sh\nexit 3\n", "broken": QUICK}, limits={"broken": "max = x\n"}
    )
    done = call(environment, "-t", "-c", str(config_folder))
    assert done.returncode == 1
    assert sorted(line.partition(": ")[0] for line in done.stdout.splitlines()) == ["broken", "dies"]
