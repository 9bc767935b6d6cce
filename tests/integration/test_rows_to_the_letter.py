"""What the pages of FOSSology read in a row, word for word, after real workers and real agents."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.builders import a_job, a_stream, insert
from tests.conftest import Common, StartProcess, StartWorker, common_to_tests
from tests.integration.fleet import announce, configuration, idle, row, until
from tests.toy import AGENTS

Connection = psycopg.Connection[Any]
Row = dict[str, Any]

TOYS = (
    "dies_with_data",
    "does_not_greet",
    "fails_after_its_work",
    "good_c_style",
    "good_php_style",
    "no_progress",
    "says_and_waits",
    "silent",
    "slow",
    "tells_input",
    "vanishes_after_its_work",
)
OTHERS = {
    "broken": "no program",
    "fails_after_goodbye": "#!/bin/sh\nprintf 'VERSION: 1\\nOK\\n'; read -r line; echo 'BYE 0'; exit 11\n",
}
SETTINGS = """[FOSSOLOGY]
path = {repository}
depth = 3
[SCHEDULER]
agent_death_timer = {death}
agent_update_interval = 1
agent_update_number = {looks}
"""
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\w+) \[0\] :: JOB\[(\d+)\]\.(\w+)\[(\d+)\.w1\]: (.*)")
PATIENT, HASTY = 60, 2  # agent_death_timer, in seconds


class Fleet:
    """A bridge and a worker that read one configuration folder."""

    def __init__(self, folder: Path, connection: Connection) -> None:
        self.repository = folder / "repository"
        self.connection = connection
        self._folder = folder / "conf"

    def start(
        self,
        start_process: StartProcess,
        start_worker: StartWorker,
        *,
        death: int = PATIENT,
        looks: int = PATIENT,
    ) -> Fleet:
        """The repository must have been made before, if there is to be one."""
        scripts = {name: (AGENTS / name).read_text() for name in TOYS} | OTHERS
        scripts["nokill"] = scripts["silent"]
        configuration(self._folder, scripts, limits={"nokill": "max = -1\nspecial[] = NOKILL\n"})
        settings = SETTINGS.format(repository=self.repository, death=death, looks=looks)
        (self._folder / "fossology.conf").write_text(settings)
        chosen = {"SCHEDULER_BRIDGE_CONFIG": str(self._folder)}
        start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **chosen)
        self.worker = start_worker("w1", slots=4, **chosen)
        return self

    def put(self, *jobs: Any) -> list[int]:
        """Insert one job stream and say so; its jobs."""
        stream = insert(self.connection, a_stream(*jobs))
        announce(self.connection)
        return list(stream.jobs.values())

    def row(self, job: int) -> Row:
        return row(self.connection, job)

    def ended(self, job: int) -> Row:
        """The row as it is when its end is seen for the first time."""

        def found() -> Row | None:
            now = self.row(job)
            return now if now["jq_endtime"] else None

        return dict(until(found, f"the end of job {job}"))

    def started(self, job: int) -> Row:
        until(lambda: self.row(job)["jq_endtext"] == "Started", f"the start of job {job}")
        return self.row(job)

    def log(self, job: int) -> list[str]:
        """What the lines of its log say; each must have FOSSology's form."""
        path = self.repository / f"logs/00/00/{job:02d}/{job:06d}"
        type_ = self.row(job)["jq_type"]
        assert self.row(job)["jq_log"] == str(path)
        found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
        assert {(m[1], m[2], m[3]) for m in found if m} == {(type_, str(job), type_)}
        return [m[5] if m else "not in FOSSology's form" for m in found]


@pytest.fixture(scope="module")
def patient_fleet(common: Common) -> Fleet:
    built = Fleet(common.folder, common.connection)
    built.repository.mkdir()
    return built.start(common.start_process, common.start_worker)


@pytest.fixture(scope="module")
def impatient_fleet(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str, redis_server: str
) -> Iterator[Fleet]:
    with common_to_tests(tmp_path_factory.mktemp("hasty"), postgres_server, redis_server) as common:
        built = Fleet(common.folder, common.connection)
        built.repository.mkdir()
        yield built.start(common.start_process, common.start_worker, death=HASTY)


@pytest.fixture
def fleet(patient_fleet: Fleet) -> Fleet:
    """Shared, with nothing that runs."""
    idle(patient_fleet.connection)
    return patient_fleet


@pytest.fixture
def hasty_fleet(impatient_fleet: Fleet) -> Fleet:
    """Shared too; its agents must not be silent for long."""
    idle(impatient_fleet.connection)
    return impatient_fleet


@pytest.fixture
def own_fleet(tmp_path: Path, connection: Connection) -> Fleet:
    """Not started yet, without a repository."""
    return Fleet(tmp_path, connection)


def shown(found: Row) -> tuple[bool, bool, int, str | None]:
    """Started, ended, bits and text: what the pages tell a row's state by."""
    return (
        found["jq_starttime"] is not None,
        found["jq_endtime"] is not None,
        found["jq_end_bits"],
        found["jq_endtext"],
    )


QUEUED = (False, False, 0, None)
STARTED = (True, False, 0, "Started")
COMPLETED = (True, True, 1, "Completed")
FAILED = (True, True, 2, "Failed")


def test_a_job_that_waits_for_another_says_nothing(fleet: Fleet) -> None:
    first, second = fleet.put(a_job("says_and_waits"), a_job("good_c_style", needs="says_and_waits"))
    fleet.started(first)
    waiting = fleet.row(second)
    assert shown(waiting) == QUEUED
    assert (waiting["jq_schedinfo"], waiting["jq_log"]) == (None, None)


def test_a_running_job_says_started_and_where_and_its_log_is_known_within_moments(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("says_and_waits", args="here I am"))
    running = fleet.started(job)
    assert shown(running) == STARTED
    assert re.fullmatch(r"localhost\.\d+", running["jq_schedinfo"])
    until(lambda: fleet.row(job)["jq_log"], "the path of the log", seconds=5)
    assert shown(fleet.row(job)) == STARTED
    assert fleet.log(job) == ['"here I am"']


def test_a_stopped_worker_leaves_its_job_queued_as_if_it_had_never_run(
    own_fleet: Fleet, start_process: StartProcess, start_worker: StartWorker
) -> None:
    own_fleet.repository.mkdir()
    fleet = own_fleet.start(start_process, start_worker)
    (job,) = fleet.put(a_job("says_and_waits", args="here I am"))
    fleet.started(job)
    fleet.worker.container.kill("SIGTERM")
    assert fleet.worker.container.wait() == 0
    assert shown(fleet.row(job)) == QUEUED
    assert fleet.row(job)["jq_schedinfo"] is None


def test_a_c_style_agent_that_says_nothing_completes_with_its_last_count_and_has_no_log(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("good_c_style"))
    found = fleet.ended(job)
    assert shown(found) == COMPLETED
    assert (found["jq_itemsprocessed"], found["jq_schedinfo"], found["jq_log"]) == (2, None, None)
    assert list(fleet.repository.rglob(f"{job:06d}")) == []


def test_a_php_style_agent_completes_by_its_goodbye(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("good_php_style", args="0"))
    found = fleet.ended(job)
    assert shown(found) == COMPLETED
    assert found["jq_itemsprocessed"] == 3


def test_the_log_is_there_and_whole_when_the_end_is(fleet: Fleet) -> None:
    for job in fleet.put(*(a_job("tells_input", args=f"word {n}\nask", name=f"t{n}") for n in range(5))):
        found = fleet.ended(job)
        assert (shown(found), found["jq_itemsprocessed"]) == (COMPLETED, 1)
        lines = fleet.log(job)
        assert (lines[0].startswith('"<word '), lines[-1]) == (True, '"<CLOSE>"')
        path = Path(found["jq_log"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(path.parent.stat().st_mode) & 0o777 == 0o770


def test_a_goodbye_with_a_code_is_a_failure_and_fails_dependents_at_any_depth(fleet: Fleet) -> None:
    job, child, grandchild = fleet.put(
        a_job("good_php_style", args="9"),
        a_job("good_c_style", name="child", needs="good_php_style"),
        a_job("good_c_style", name="grandchild", needs="child"),
    )
    found = fleet.ended(job)
    assert (shown(found), found["jq_schedinfo"]) == (FAILED, None)
    assert fleet.log(job) == ["agent failed with error code 9"]
    for dependent in (child, grandchild):
        assert shown(fleet.ended(dependent)) == (False, True, 2, "dependency failed")
        assert fleet.row(dependent)["jq_log"] is None


def test_an_end_without_goodbye_is_a_failure_whatever_its_code(fleet: Fleet) -> None:
    sentences = {
        "0": "agent failed, code: 0",
        "7": "agent failed, code: 7",
        "kill": "agent was killed by signal: 9.Killed",
    }
    jobs = fleet.put(*(a_job("dies_with_data", args=args, name=args) for args in sentences))
    for job, sentence in zip(jobs, sentences.values(), strict=True):
        found = fleet.ended(job)
        assert (shown(found), found["jq_itemsprocessed"]) == (FAILED, 2)
        assert fleet.log(job) == ['"last words"', sentence]


def test_a_failing_exit_after_a_good_goodbye_is_a_success(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("fails_after_goodbye"))
    assert shown(fleet.ended(job)) == COMPLETED
    assert fleet.row(job)["jq_log"] is None


def test_what_follows_the_last_ok_is_logged_and_changes_nothing(fleet: Fleet) -> None:
    sentences = {
        "fails_after_its_work": "agent failed with error code 9",
        "vanishes_after_its_work": "agent failed, code: 5",
    }
    jobs = fleet.put(*(a_job(agent, args="5") for agent in sentences))
    for job, sentence in zip(jobs, sentences.values(), strict=True):
        assert shown(fleet.ended(job)) == COMPLETED
        assert fleet.log(job) == [sentence]


def test_an_agent_that_does_not_greet_has_failed_without_a_start(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("does_not_greet"))
    assert shown(fleet.ended(job)) == (False, True, 2, "Failed")
    assert fleet.log(job)[0].startswith("agent did not greet")


def test_a_killed_job_keeps_the_text_and_its_log_tells_of_the_agents_end(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("says_and_waits", args="here I am"))
    until(lambda: fleet.row(job)["jq_log"], "the path of the log")
    fleet.connection.execute("select scheduler_bridge.kill_job(%s, 'killed by fossy')", [job])
    found = fleet.ended(job)
    assert (shown(found), found["jq_schedinfo"]) == ((True, True, 2, "killed by fossy"), None)
    killed = ['"here I am"', "agent was killed by signal: 9.Killed"]
    until(lambda: fleet.log(job) == killed, "the agent's end in the log")


def test_a_paused_job_keeps_its_start_and_its_agent_stands_still_until_it_is_restarted(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("says_and_waits"))
    started = fleet.started(job)
    agent = psutil.Process(int(started["jq_schedinfo"].rpartition(".")[2]))

    def follows(order: str, text: str, status: str) -> None:
        fleet.connection.execute(f"select scheduler_bridge.{order}(%s)".encode(), [job])
        found = fleet.row(job)
        assert shown(found) == (True, False, 0, text)
        assert all(found[column] == started[column] for column in ("jq_starttime", "jq_schedinfo"))
        until(lambda: agent.status() == status, f"the agent to be {status}")

    follows("pause_job", "Paused", psutil.STATUS_STOPPED)
    follows("restart_job", "Restarted", psutil.STATUS_SLEEPING)


def test_silence_is_a_failure(hasty_fleet: Fleet) -> None:
    (job,) = hasty_fleet.put(a_job("silent", args="x"))
    assert shown(hasty_fleet.ended(job)) == FAILED
    assert hasty_fleet.log(job) in [[f"no heartbeat for {seconds} seconds"] for seconds in (2, 3)]


def test_a_machine_that_was_stopped_is_no_silence_of_its_agent(hasty_fleet: Fleet) -> None:
    (job,) = hasty_fleet.put(a_job("slow", args="1.5"))
    hasty_fleet.started(job)
    agent = hasty_fleet.connection.execute(
        "select agent_pid from scheduler_bridge.attempt where job = %s", [job]
    ).fetchone()
    assert agent
    stopped = [psutil.Process(hasty_fleet.worker.container.pid), psutil.Process(agent[0])]
    for process in stopped:
        process.suspend()
    threading.Event().wait(2 * HASTY)
    for process in stopped:
        process.resume()
    assert shown(hasty_fleet.ended(job)) == COMPLETED


def test_a_nokill_agent_may_be_silent(hasty_fleet: Fleet) -> None:
    exempt, watched = hasty_fleet.put(a_job("nokill", args="x"), a_job("silent", args="x"))
    hasty_fleet.started(exempt)
    assert shown(hasty_fleet.ended(watched)) == FAILED
    (later,) = hasty_fleet.put(a_job("silent", args="x"))
    assert shown(hasty_fleet.ended(later)) == FAILED
    assert shown(hasty_fleet.row(exempt)) == STARTED


def test_talk_without_progress_is_a_failure(
    own_fleet: Fleet, start_process: StartProcess, start_worker: StartWorker
) -> None:
    own_fleet.repository.mkdir()
    fleet = own_fleet.start(start_process, start_worker, looks=1)
    (job,) = fleet.put(a_job("no_progress", args="x"))
    assert shown(fleet.ended(job)) == FAILED
    assert fleet.log(job)[-1].startswith("agent has not set the alive flag")


def test_an_agent_that_cannot_be_started_is_a_failure_that_the_log_explains(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("broken"))
    found = fleet.ended(job)
    assert (found["jq_end_bits"], found["jq_endtext"]) == (2, "Failed")
    assert any("cannot be started" in line for line in fleet.log(job))


def test_an_unknown_agent_type_is_a_plain_failure(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("nowhere"))
    assert shown(fleet.ended(job)) == (False, True, 2, "Failed")


def test_an_unknown_host_is_named(fleet: Fleet) -> None:
    (job,) = fleet.put(a_job("good_c_style", host="nowhere"))
    assert shown(fleet.ended(job)) == (False, True, 2, "ERROR: jq_host not in the agent list!")


def test_no_in_jq_runonpfile_is_no_query(fleet: Fleet) -> None:
    with fleet.connection.transaction():
        stream = insert(fleet.connection, a_stream(a_job("tells_input", args="ask")))
        job = stream["tells_input"]
        fleet.connection.execute("update jobqueue set jq_runonpfile = 'no' where jq_pk = %s", [job])
    announce(fleet.connection)
    assert shown(fleet.ended(job)) == COMPLETED
    assert fleet.log(job)[:2] == ['"<ask>"', '"<END>"']


def test_where_the_repository_is_missing_jobs_run_and_one_warning_says_so(
    own_fleet: Fleet, connection: Connection, start_process: StartProcess, start_worker: StartWorker
) -> None:
    fleet = own_fleet.start(start_process, start_worker)
    jobs = fleet.put(*(a_job("tells_input", args="ask", name=f"t{n}") for n in range(3)))
    for job in jobs:
        found = fleet.ended(job)
        assert (shown(found), found["jq_log"]) == (COMPLETED, None)
    kept = connection.execute("select count(*) from scheduler_bridge.output where job = any(%s)", [jobs])
    assert kept.fetchone() == (3,)
    assert fleet.worker.container.logs().count("job logs cannot be written") == 1
    assert not os.path.lexists(fleet.repository)
