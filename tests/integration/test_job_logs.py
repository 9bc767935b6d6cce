"""Job logs of real sessions: every line to the letter, and disks that are full, hang or are not there."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler_bridge.model.jobs import Ending
from tests.integration.fleet import until
from tests.toy import Played, Running, play, shortened
from workers import job_log
from workers.job_log import JobLog, JobLogs
from workers.log_writer import PUT_SECONDS, UNWRITTEN_BYTES, LogFile, LogWriter
from workers.orders import Abandon, Kill, SetVerbosity
from workers.timing import Timers

PLACE = "logs/00/00/07/000007"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def logs(repository: Path) -> JobLogs:
    return JobLogs(repository, 3, "here")


def said(repository: Path, name: str, pid: int) -> list[str]:
    """What the log's lines say; each must begin as FOSSology's do."""
    start = re.compile(rf"{TIME} {name} \[0\] :: JOB\[7\]\.{name}\[{pid}\.here\]: ")
    content = (repository / PLACE).read_text()
    assert content.endswith("\n")
    lines = content.removesuffix("\n").split("\n")
    assert all(start.match(line) for line in lines)
    return [start.sub("", line) for line in lines]


def log_of(played: Played, repository: Path, name: str) -> list[str]:
    """The same of a session that has ended."""
    assert played.session.log is not None
    assert played.session.log.path == str(repository / PLACE)
    return said(repository, name, played.pid)


def test_an_agent_that_says_nothing_has_no_log(logs: JobLogs, repository: Path) -> None:
    played = play("good_c_style", logs=logs)
    assert played.session.log is not None
    assert played.session.log.path is None
    assert list(repository.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "data", "lines"),
    [
        ("dies_with_data", "0", ['"last words"', "agent failed, code: 0"]),
        ("dies_with_data", "kill", ['"last words"', "agent was killed by signal: 9.Killed"]),
        ("good_php_style", "9", ["agent failed with error code 9"]),
        ("fails_after_its_work", "42", ["agent failed with error code 9"]),
        ("dies_at_once", "42", ["agent failed, code: 3"]),
        ("does_not_greet", "42", ["agent did not greet, but said: loading...VERSION: 1.0"]),
        ("invalid_utf8", "42", [r'"bad \xff\xfe bytes"', r'"\xc3("', r'"and a NUL \x00 too"']),
        ("bad_heart", "42", ['"HEART: x"', '"HEART"', '"SPECIAL: y"', '"GETSPECIAL"']),
        ("tells_input", "a", ['"<a>"', '"<END>"']),
    ],
)
def test_the_log_says_what_the_agent_said_and_how_it_ended(
    name: str, data: str, lines: list[str], logs: JobLogs, repository: Path
) -> None:
    timers = shortened(death_seconds=0.3)
    played = play(name, data, logs=logs, timers=timers)
    assert log_of(played, repository, name)[: len(lines)] == lines


def test_silence_is_logged_by_its_length(logs: JobLogs, repository: Path) -> None:
    played = play("silent", logs=logs, timers=shortened(death_seconds=1.0))
    assert log_of(played, repository, "silent") == ["no heartbeat for 1 seconds"]


def test_an_end_without_goodbye_after_the_work_is_logged_and_changes_nothing(
    logs: JobLogs, repository: Path
) -> None:
    played = play("vanishes_after_its_work", "5", logs=logs)
    assert played.outcome.ending is Ending.COMPLETED
    assert log_of(played, repository, "vanishes_after_its_work") == ["agent failed, code: 5"]


def test_an_agent_killed_for_a_row_that_has_ended_is_logged_where_there_is_a_log(
    logs: JobLogs, repository: Path
) -> None:
    running = Running("says_and_waits", "hello", logs=logs)
    log = running.session.log
    assert log is not None
    until_it_exists(log)
    running.session.order(Abandon())
    assert running.outcome().ending is Ending.LOST
    assert said(repository, "says_and_waits", running.pid) == [
        '"hello"',
        "agent was killed by signal: 9.Killed",
    ]


def test_an_attempt_that_has_lost_its_job_makes_no_log(logs: JobLogs, repository: Path) -> None:
    play("good_c_style", logs=logs, started=lambda session, pid: False)
    assert list(repository.iterdir()) == []


def test_a_job_whose_verbosity_says_so_is_followed_word_for_word(logs: JobLogs, repository: Path) -> None:
    running = Running("tells_input", "ask", logs=logs, orders=[SetVerbosity(0x10)])
    running.outcome()
    lines = said(repository, "tells_input", running.pid)
    for line in ('sent to agent "VERBOSE 16"', 'received: "GETSPECIAL: 1"', 'sent to agent "VALUE: 1"'):
        assert line in lines
    assert lines.index('received: "<ask>"') + 1 == lines.index('"<ask>"')
    assert lines[-2:] == ['received: "HEART: 1 1"', 'received: "BYE 0"']


def test_all_that_is_sent_is_shown_line_by_line_from_the_beginning(logs: JobLogs, repository: Path) -> None:
    running = Running("good_c_style", "one\ntwo", logs=logs, orders=[SetVerbosity(0x10)])
    running.outcome()
    lines = said(repository, "good_c_style", running.pid)
    sent = [line for line in lines if line.startswith("sent")]
    assert sent == [f'sent to agent "{word}"' for word in ("one", "two", "END", "VERBOSE 16", "CLOSE")]
    assert lines[0] == 'received: "VERSION: 1.0"'


def test_other_verbosity_is_for_the_agent_only(logs: JobLogs, repository: Path) -> None:
    Running("good_c_style", logs=logs, orders=[SetVerbosity(0x0F)]).outcome()
    assert not any("received" in line for line in (repository / PLACE).read_text().splitlines())


def test_a_new_attempt_begins_the_log_anew(logs: JobLogs, repository: Path) -> None:
    play("dies_with_data", "1", logs=logs)
    played = play("good_php_style", "3", logs=logs)
    assert log_of(played, repository, "good_php_style") == ["agent failed with error code 3"]


def test_a_flood_ends_at_the_limit_and_the_end_of_the_agent_is_still_logged(
    logs: JobLogs, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "LIMIT_BYTES", 1024 * 1024)
    running = Running("floods", "y", logs=logs, timers=Timers())
    path = repository / PLACE
    until(lambda: path.exists() and b"has reached 1 MiB" in path.read_bytes()[-500:], "the limit")
    running.session.order(Kill("enough"))
    running.outcome()
    lines = said(repository, "floods", running.pid)
    assert set(lines[:-2]) == {'"y"'}
    assert lines[-2:] == [
        "the log has reached 1 MiB: nothing more that the agent says is logged",
        "enough",
    ]
    assert (repository / PLACE).stat().st_size < 2 * 1024 * 1024 + 500


def test_a_flood_costs_little_of_our_time_although_it_is_logged(logs: JobLogs) -> None:
    running = Running("floods", "y", logs=logs)
    began = time.process_time()
    assert running.outcome_within(2.0) is None
    assert time.process_time() - began < 1.5
    running.session.order(Kill("enough"))
    running.outcome()


def test_a_repository_that_cannot_be_written_costs_one_warning_and_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = JobLogs(tmp_path / "not mounted", 3, "here")
    for _ in range(3):
        played = play("invalid_utf8", logs=logs)
        assert played.outcome.ending is Ending.COMPLETED
        assert played.session.log is not None
        assert played.session.log.path is None
        assert played.text.startswith("bad")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "not mounted" in caplog.text


def test_a_full_disk_costs_the_log_and_no_job(caplog: pytest.LogCaptureFixture) -> None:
    writer = LogWriter()
    for _ in range(2):
        file = LogFile(lambda: os.open("/dev/full", os.O_WRONLY))
        log = JobLog(writer, file, "/dev/full", " t [0] :: ")
        log.agent_said("one")
        log.close()
        assert (file.over, file.fd) == (True, -1)
        log.note("and no more")
    assert "No space left" in caplog.text
    assert len(caplog.records) == 1


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[LogFile, int]]:
    """A file that takes nothing, as on a server that does not answer, and where it can be read nevertheless."""
    reader, full = os.pipe()
    yield LogFile(lambda: full), reader
    os.close(reader)


def test_a_hanging_disk_holds_up_one_session_once_and_only_for_moments(
    hanging: tuple[LogFile, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = LogWriter()
    file, _ = hanging
    log = JobLog(writer, file, "", " t [0] :: ")
    log.agent_said("x" * UNWRITTEN_BYTES)
    began = time.monotonic()
    log.agent_said("lost")
    assert time.monotonic() - began < PUT_SECONDS + 0.2
    began = time.monotonic()
    for _ in range(1000):
        log.agent_said("lost too")
    other = JobLog(
        writer, LogFile(lambda: os.open(tmp_path / "o", os.O_CREAT | os.O_WRONLY)), "", " u [0] :: "
    )
    other.agent_said("lost as well")
    other.close()
    log.close()
    assert time.monotonic() - began < 0.5
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "the disk does not answer"
    ]


def test_when_the_disk_answers_again_the_log_goes_on_and_says_that_lines_are_missing(
    hanging: tuple[LogFile, int],
) -> None:
    writer = LogWriter()
    file, reader = hanging
    log = JobLog(writer, file, "", " t [0] :: ")
    log.agent_said("x" * UNWRITTEN_BYTES)
    log.agent_said("lost")
    content = bytearray()

    def read_to_the_end() -> None:
        while data := os.read(reader, 1 << 20):
            content.extend(data)

    thread = threading.Thread(target=read_to_the_end)
    thread.start()
    until_it_takes(writer)
    log.agent_said("found")
    log.close()
    thread.join()
    lines = content.decode().splitlines()
    assert [line.partition(" :: ")[2] for line in lines[1:]] == [
        "some lines are missing here: the disk was too slow",
        '"found"',
    ]


def until_it_exists(log: JobLog) -> None:
    deadline = time.monotonic() + 5
    while log.path is None:
        assert time.monotonic() < deadline, "the log does not appear"


def until_it_takes(writer: LogWriter) -> None:
    """Until it has written something after somebody waited in vain."""
    deadline = time.monotonic() + 5
    while not writer.put(LogFile(lambda: os.open(os.devnull, os.O_WRONLY)), b""):
        assert time.monotonic() < deadline, "the writer takes nothing"
