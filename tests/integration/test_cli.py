"""The command line as a person or a script meets it, on a real database."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest

from scheduler_bridge.cli import main
from scheduler_bridge.model.agents import AgentType, Host
from scheduler_bridge.model.jobs import Ending, Outcome, Work
from scheduler_bridge.servers import reserved_port
from scheduler_bridge.store.postgres import PostgresStore
from tests.builders import a_job, a_stream, insert
from tests.integration.command_line import PROGRAM, Cli, as_process, here
from tests.integration.fleet import configuration, until
from tests.process_nodes import PROJECT, ProcessBox

Connection = psycopg.Connection[Any]
LONG_SWEEP = "60"  # what must happen at once must not happen to be swept


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """Run a command in this process."""
    return here(environment)


@pytest.fixture
def program(environment: dict[str, str]) -> Cli:
    """Run it as a process; each command is, by some test."""
    return as_process(environment)


@pytest.fixture
def cli_process(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command and leave it running."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """A store that knows the agent types unpack and license, and a host for them."""
    store = PostgresStore(database)
    types = [AgentType(name, (name,), Path()) for name in ("unpack", "license")]
    store.publish_configuration(types, [Host("h1", 2)])
    store.register_host(Host("h1", 2), "w", ["unpack", "license"])
    yield store
    store.close()


def attempted(store: PostgresStore, job: int, ending: Ending, output: bytes = b"") -> None:
    """One attempt at the job that ends so."""
    work = store.claim(job, "w", "h1")
    assert isinstance(work, Work)
    store.started(work, 4711)
    store.finish(work, Outcome(ending, 5, f"it {ending.value}"), output)
    store.startable(work)


def commands() -> list[str]:
    """Names of all commands."""
    return sorted(main.commands)


def loaded(name: str) -> click.Command:
    """The command itself, not what stands for it."""
    _, command, _ = main.resolve_command(click.Context(main), [name])
    assert command is not None
    return command


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_that_fits_a_line_and_an_example(name: str) -> None:
    line, command = main.commands[name], loaded(name)
    assert command.help is not None
    assert line.get_short_help_str(60) == command.get_short_help_str(60)
    assert (
        f"Example: scheduler-bridge {'--config /etc/fossology ' * (name in ('bridge', 'config'))}{name}"
        in (command.help)
    )
    assert not command.get_short_help_str(60).endswith("...")
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert undocumented == []


def test_usage_errors_exit_with_2(cli: Cli, program: Cli) -> None:
    assert "No such command" in program("statsu", status=2).stderr
    assert "--watch needs the number of a STREAM" in cli("status", "--watch", status=2).stderr
    assert "does not exist" in program("run", "/no/such/path", status=2).stderr


def test_run_refuses_a_missing_path_before_anything_starts(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "state"
    cli("run", str(tmp_path), str(tmp_path / "missing"), status=2, SCHEDULER_BRIDGE_STATE=str(state))
    assert not state.exists()


@pytest.mark.parametrize(("command", "what"), [("why", "job"), ("logs", "job"), ("status", "stream")])
def test_a_number_too_large_for_a_row_is_one_of_nothing(cli: Cli, command: str, what: str) -> None:
    assert cli(command, "99999999999", status=1).stderr == f"Error: there is no {what} 99999999999\n"
    assert cli(command, "2147483647", status=1).stderr == f"Error: there is no {what} 2147483647\n"
    assert "Invalid value" in cli(command, "0", status=2).stderr


def test_addresses_that_a_killed_run_has_left_are_told_with_what_to_do(
    cli: Cli, program: Cli, tmp_path: Path
) -> None:
    with reserved_port() as port:
        (tmp_path / "addresses").write_text(
            f"DATABASE_URL=postgresql://bridge:hidden@127.0.0.1:{port}/bridge\n"
            f"REDIS_URL=redis://:hidden@127.0.0.1:{port}/0\n"
        )
        own = {"DATABASE_URL": "", "REDIS_URL": "", "SCHEDULER_BRIDGE_STATE": str(tmp_path)}
        commands = ((cli, "status"), (cli, "migrate"), (cli, "logs", "1"), (program, "bridge"))
        for run, *arguments in commands:
            assert run(*arguments, status=1, **own).stderr == (
                f"Error: nothing answers at postgresql://bridge:***@127.0.0.1:{port}/bridge, which"
                f" {tmp_path}/addresses names: start `scheduler-bridge up`\n"
            )


def test_a_database_that_is_away_is_one_line_on_stderr(program: Cli) -> None:
    done = program("--database-url", "postgresql://bridge@127.0.0.1:1/none", "status", status=1)
    assert done.stdout == ""
    assert re.fullmatch(r"Error: database: .*Connection refused.*\n", done.stderr)


def test_an_option_wins_over_the_environment_and_passwords_stay_hidden(cli: Cli) -> None:
    shown = cli("--redis-url", "redis://:secret@option.example/1", "config").stdout
    assert "secret" not in shown
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    assert lines["redis_url"].split()[1:] == ["redis://:***@option.example/1", "option"]
    assert lines["database_url"].endswith("environment DATABASE_URL")


def test_config_lists_agent_types_and_the_problems_of_the_folder(
    cli: Cli, program: Cli, tmp_path: Path
) -> None:
    folder = configuration(
        tmp_path / "conf", {"license": "", "broken": ""}, limits={"broken": "max = many\n"}
    )
    (folder / "fossology.conf").write_text("[DIRECTORIES]\nPROJECTUSER = nobody-has-this-name\n")
    (folder / "VERSION").write_text("[BUILD]\nCOMMIT_HASH=abc123\n")
    shown = program("config", SCHEDULER_BRIDGE_CONFIG=str(folder)).stdout
    assert "agent types: license\nrevision of the folder: abc123\n" in shown
    assert f"{folder}/fossology.conf: warning: PROJECTUSER is nobody-has-this-name: start" in shown
    assert re.search(r"broken\.conf:\d+: ", shown)
    assert "did you mean" in cli("config", status=1, SCHEDULER_BRIDGE_SLOT="3").stderr


def test_config_tells_which_host_fo_scheduler_would_take_where_nothing_names_it(
    cli: Cli, tmp_path: Path
) -> None:
    folder = configuration(tmp_path / "conf", {"license": ""})
    (folder / "fossology.conf").write_text("[HOSTS]\nscan-1 = localhost AGENT_DIR 3\n")
    unnamed = {
        "SCHEDULER_BRIDGE_CONFIG": str(folder),
        "SCHEDULER_BRIDGE_HOST": "",
        "SCHEDULER_BRIDGE_SLOTS": "",
    }
    lines = {line.split()[0]: line for line in cli("config", **unnamed).stdout.splitlines() if line}
    assert re.fullmatch(r"host +\S+ +hostname; fo_scheduler: scan-1", lines["host"])
    assert re.fullmatch(r"slots +10 +default; fo_scheduler: 3", lines["slots"])
    named = cli("config", **{**unnamed, "SCHEDULER_BRIDGE_HOST": "scan-1"}).stdout
    assert "fo_scheduler:" not in named


def test_migrate_names_the_option_that_makes_the_queue(cli: Cli, program: Cli, empty_database: str) -> None:
    own = {"DATABASE_URL": empty_database}
    assert "`scheduler-bridge migrate --create-queue`" in cli("migrate", status=1, **own).stderr
    assert "migrate --create-queue" in cli("status", status=1, **own).stderr
    assert program("migrate", "--create-queue", **own).stdout.startswith("applied 0001_core.sql, ")
    assert cli("migrate", **own).stdout == "the schema is up to date\n"
    assert cli("status", **own).stdout == "there is no stream\n"


def test_the_trigger_is_installed_and_removed(program: Cli, connection: Connection) -> None:
    triggers = "select count(*) from pg_trigger where tgname = 'scheduler_bridge_announce'"
    program("install-trigger")
    assert connection.execute(triggers).fetchone() == (1,)
    program("remove-trigger")
    assert connection.execute(triggers).fetchone() == (0,)


def test_submit_names_the_line_of_every_problem_and_inserts_nothing(
    program: Cli, connection: Connection
) -> None:
    text = "jobs:\n  - agent: unpack\n  - {agent: license, needs: unpak}\n  - {agnt: license}\n"
    said = program("submit", "-", text=text, status=1).stderr
    assert "standard input:3: job 'license' needs 'unpak'" in said
    assert "standard input:4: unknown key 'agnt'; did you mean 'agent'?" in said
    assert connection.execute(
        "select (select count(*) from job) + (select count(*) from jobqueue)"
    ).fetchone() == (0,)


def test_submit_prints_the_numbers_and_wakes_the_bridges(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    connection.execute("listen scheduler_bridge")
    file = tmp_path / "stream.yaml"
    file.write_text("jobs: [{agent: unpack, args: /srv}, {agent: license, needs: unpack, priority: 7}]")
    said = cli("submit", str(file)).stdout
    own, urgent = (stream for (stream,) in connection.execute("select job_pk from job order by job_priority"))
    first, second = (job for (job,) in connection.execute("select jq_pk from jobqueue order by jq_pk"))
    assert said.splitlines() == [
        f"stream {own}",
        f"stream {urgent} (priority 7)",
        f"job {first} unpack",
        f"job {second} license needs {first}",
    ]
    assert len(list(connection.notifies(timeout=5, stop_after=1))) == 1


def test_of_a_large_stream_submit_prints_the_first_jobs_and_the_range_of_the_rest(
    cli: Cli, connection: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "stream.yaml"
    file.write_text("jobs:\n" + "".join(f"  - {{agent: unpack, args: /srv/{n}}}\n" for n in range(5000)))
    lines = cli("submit", str(file)).stdout.splitlines()
    assert len(lines) == 52
    assert connection.execute("select count(*), max(jq_pk) from jobqueue").fetchone() == (
        5000,
        int(lines[-1].split()[-1]),
    )


def test_status_lists_streams_and_their_jobs_with_reasons(
    cli: Cli, program: Cli, store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack"), name="x\x1b[2J"))
    store.observe()
    assert program("status").stdout.splitlines()[1].split()[:6] == [
        str(rows.stream),
        "x\\x1b[2J",
        "0",
        "0",
        "0",
        "2",
    ]
    lines = cli("status", str(rows.stream)).stdout.splitlines()
    assert lines[0].startswith(f"stream {rows.stream} (x\\x1b[2J): 0 done, 0 failed, 0 running, 2 waiting")
    assert lines[3].endswith(f"it waits for jobs: {rows['unpack']}")
    assert cli("status", "99999", status=1).stderr == "Error: there is no stream 99999\n"


def test_status_as_json_is_what_the_documentation_says(
    cli: Cli, store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    store.observe()
    attempted(store, rows["unpack"], Ending.COMPLETED)
    listed = json.loads(cli("status", "--json").stdout)
    document = json.loads(cli("status", str(rows.stream), "--json").stdout)
    assert listed["streams"] == [document["stream"]]
    assert document["stream"] | {"completed": 1, "waiting": 1, "ended_at": None} == document["stream"]
    unpack, license_job = document["jobs"]
    assert unpack | {"state": "completed", "items": 5, "attempt": 1, "host": "h1", "reason": None} == unpack
    assert license_job | {"state": "proposed", "run_seconds": None} == license_job
    documented = (PROJECT / "docs" / "cli.md").read_text()
    assert [key for key in {**document["stream"], **unpack} if f"`{key}`" not in documented] == []


@pytest.mark.parametrize(("ending", "status"), [(Ending.COMPLETED, 0), (Ending.FAILED, 3)])
def test_watch_follows_a_stream_to_its_end_and_tells_by_its_exit_status_how_it_went(
    cli_process: Callable[..., subprocess.Popen[str]],
    store: PostgresStore,
    connection: Connection,
    ending: Ending,
    status: int,
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license")))
    store.observe()
    attempted(store, rows["license"], Ending.COMPLETED)
    process = cli_process("status", str(rows.stream), "--watch")
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith(f"job {rows['unpack']} (unpack, stream {rows.stream}) does not run: ")
    attempted(store, rows["unpack"], ending)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == status
    assert output.splitlines()[-1].startswith(f"stream {rows.stream} (upload): ")


def test_ctrl_c_ends_a_watch_quietly(
    cli_process: Callable[..., subprocess.Popen[str]], store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack")))
    process = cli_process("status", str(rows.stream), "--watch", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["stream"]["waiting"] == 1
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 130


def test_logs_prints_the_last_attempt_and_lists_all(
    cli: Cli, environment: dict[str, str], store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license")))
    store.observe()
    attempted(store, rows["unpack"], Ending.RETURNED, b"first\n")
    attempted(store, rows["unpack"], Ending.FAILED, b"second \xff\n")
    done = cli("logs", str(rows["unpack"]), "--attempt", "1")
    assert done.stdout == "first\n"
    assert [line.split()[:2] for line in done.stderr.splitlines()[1:]] == [["1", "returned"], ["2", "failed"]]
    raw = subprocess.run(
        [*PROGRAM, "logs", str(rows["unpack"])], env=environment, cwd=PROJECT, capture_output=True, check=True
    )
    assert raw.stdout == b"second \xff\n"
    assert (
        "has no attempt 3; known: 1, 2" in cli("logs", str(rows["unpack"]), "--attempt", "3", status=1).stderr
    )
    assert "has not been attempted" in cli("logs", str(rows["license"]), status=1).stderr
    assert "there is no job 99999" in cli("logs", "99999", status=1).stderr


def test_logs_follow_prints_what_comes_until_the_job_has_ended(
    cli_process: Callable[..., subprocess.Popen[str]], store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack")))
    store.observe()
    work = store.claim(rows["unpack"], "w", "h1")
    assert isinstance(work, Work)
    store.keep_output({(work.job, work.epoch): b"first\n"})
    process = cli_process("logs", str(work.job), "--follow")
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    store.keep_output({(work.job, work.epoch): b"first\nsecond\n"})
    assert process.stdout.readline() == "second\n"
    store.finish(work, Outcome(Ending.COMPLETED), b"first\nsecond\nthird\n")
    assert process.communicate(timeout=20)[0] == "third\n"
    assert process.returncode == 0


def test_why_answers_for_open_and_ended_jobs(
    cli: Cli, program: Cli, store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    unseen = program("why", str(rows["unpack"])).stdout
    assert unseen.splitlines() == [
        f"job {rows['unpack']} (unpack, stream {rows.stream}) does not run: no bridge has seen it yet",
        "no sweep has run yet: is a bridge running?",
    ]
    store.observe()
    attempted(store, rows["unpack"], Ending.FAILED)
    first, second = cli("why", str(rows["license"])).stdout.splitlines()
    assert "dependency failed" in first
    assert second.endswith("it failed")
    assert cli("why", "99999", status=1).stderr == "Error: there is no job 99999\n"


def test_prune_tells_what_it_has_deleted(
    cli: Cli, program: Cli, store: PostgresStore, connection: Connection
) -> None:
    rows = insert(connection, a_stream(a_job("unpack")))
    store.observe()
    attempted(store, rows["unpack"], Ending.COMPLETED, b"said")
    assert program("prune", "--days", "1").stdout.startswith("deleted 0 attempts")
    connection.execute("update scheduler_bridge.attempt set ended_at = ended_at - interval '2 days'")
    assert cli("prune", "--days", "1").stdout.startswith("deleted 1 attempts")
    assert connection.execute("select jq_endtext from jobqueue").fetchall() == [("Completed",)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_bridge_proposes_what_is_submitted_and_stops_at_once(
    cli: Cli,
    start_process: Callable[..., ProcessBox],
    connection: Connection,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    folder = configuration(tmp_path / "conf", {"unpack": ""})
    variables = {"SCHEDULER_BRIDGE_CONFIG": str(folder), "SCHEDULER_BRIDGE_SWEEP_SECONDS": LONG_SWEEP}
    bridge = start_process("bridge", [*PROGRAM, "bridge"], ready_text="bridge ready.", **variables)
    file = tmp_path / "stream.yaml"
    file.write_text("jobs: [{agent: unpack}, {agent: elsewhere}]")
    cli("submit", str(file))
    proposed = "select count(*) from scheduler_bridge.open_job where proposed_at is not null"
    until(lambda: connection.execute(proposed).fetchone() == (1,), "the hint", 10)
    begun = time.monotonic()
    bridge.kill(number.name)
    assert bridge.wait() == 0
    assert time.monotonic() - begun < 10
    assert "bridge stopped." in bridge.logs()
    assert "Traceback" not in bridge.logs()


def test_the_bridge_says_what_it_lacks(program: Cli) -> None:
    assert "set SCHEDULER_BRIDGE_CONFIG" in program("bridge", status=1, SCHEDULER_BRIDGE_CONFIG="").stderr
    assert "REDIS_URL is not set" in program("bridge", status=1, REDIS_URL="").stderr


def test_rerun_lets_failed_jobs_wait_again(
    cli: Cli, program: Cli, store: PostgresStore, connection: psycopg.Connection[Any]
) -> None:
    stream = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
    store.observe()
    store.lease_streams("bridge")
    attempted(store, stream["unpack"], Ending.FAILED)
    assert "say which jobs" in cli("rerun", str(stream.stream), status=2).stderr
    assert program("rerun", str(stream.stream), "--failed").stdout == "2 jobs wait again\n"
    assert "no job of stream" in cli("rerun", str(stream.stream), "--failed").stdout
    assert "there is no stream 999" in cli("rerun", "999", "--failed", status=1).stderr


def test_drain_tells_a_host_to_take_nothing_new(
    cli: Cli, program: Cli, store: PostgresStore, connection: psycopg.Connection[Any]
) -> None:
    assert "known hosts: h1" in cli("drain", "h2", status=1).stderr
    assert program("drain", "h1", "--deadline", "60").stdout == "h1 takes no more jobs\n"
    told = store.register_host(Host("h1", 2), "w", ["unpack"])
    assert told.draining and told.seconds_left is not None and 50 < told.seconds_left <= 60
    assert not store.register_host(Host("h1", 2), "another worker", ["unpack"]).draining
