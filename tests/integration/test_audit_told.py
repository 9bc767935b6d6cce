"""Audits by beat and by command, and how their result is told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from scheduler_bridge.audit.auditor import audit, kept, remember
from scheduler_bridge.audit.checks import CHECKS
from scheduler_bridge.audit.watch import Watch
from scheduler_bridge.cli import main
from tests.contract.queues import PostgresSide
from tests.integration.audit_states import (
    ONE,
    Connection,
    aged,
    another_epoch,
)
from tests.process_nodes import PROJECT


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_housekeeping_lets_the_sweep_have_its_time_and_then_keeps_and_logs_findings(
    queue: PostgresSide, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    watch = Watch(interval_seconds=300, clock=clock)
    expected = another_epoch(queue, connection)
    clock.now = 119
    assert watch.audit(connection).startswith("no audit yet")
    watch.disturbed()
    clock.now = 200
    assert watch.audit(connection).startswith("no audit yet")
    assert kept(connection) is None
    clock.now = 240
    with caplog.at_level(logging.WARNING):
        assert watch.audit(connection) == "1 findings"
    (record,) = caplog.records
    assert (record.action, record.finding) == ("audit", "not_the_last_attempt")  # type: ignore[attr-defined]
    last = kept(connection)
    assert last is not None
    assert {f.name: list(f.ids) for f in last.findings} == expected
    assert watch.audit(connection) == "another audit has just been"
    connection.execute("update scheduler_bridge.audit set at = at - interval '301 seconds'")
    assert watch.audit(connection) == "1 findings"


@pytest.fixture
def cli(database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.delenv("SCHEDULER_BRIDGE_CONFIG", raising=False)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_the_command_exits_with_0_when_clean_1_with_findings_2_without_an_answer(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    clean = cli("audit")
    assert (clean.exit_code, clean.output) == (0, f"clean: {len(CHECKS)} questions, no finding\n")
    rows = queue.insert(ONE)
    new = cli("audit")
    assert (new.exit_code, new.output.splitlines()[1:]) == (
        0,
        ["too new to judge: 1; ask again in two minutes"],
    )
    remember(connection, aged(audit(connection)))
    bad = cli("audit")
    assert bad.exit_code == 1
    assert bad.output == (
        f"lost: waiting rows of jobqueue are not in the mirror: no bridge takes them in: {rows['unpack']}\n"
    )
    away = cli("--database-url", "postgresql://bridge@127.0.0.1:1/none", "audit")
    assert (away.exit_code, away.stdout) == (2, "")
    assert away.stderr.startswith("Error: ")
    connection.execute("drop table scheduler_bridge.migration")
    assert cli("audit").exit_code == 2


def test_the_command_answers_in_json(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    assert json.loads(cli("audit", "--json").output)["findings"] == []
    ((name, ids),) = another_epoch(queue, connection).items()
    answer = cli("audit", "--json")
    assert answer.exit_code == 1
    document = json.loads(answer.output)
    assert sorted(document) == ["at", "findings", "new_suspects"]
    (finding,) = document["findings"]
    assert (finding["name"], finding["ids"], finding["count"]) == (name, ids, 1)
    assert finding["sentence"] == "an attempt runs that is not the last at its job"


def test_status_shows_the_last_audit_of_housekeeping_in_one_line(
    queue: PostgresSide, connection: Connection, cli: Callable[..., Result]
) -> None:
    clock = Clock()
    watch = Watch(interval_seconds=300, clock=clock)
    clock.now = 1000
    assert "audit" not in cli("status").output
    assert json.loads(cli("status", "--json").output)["audit"] is None
    watch.audit(connection)
    connection.execute("update scheduler_bridge.audit set at = at - interval '1000 seconds'")
    assert cli("status").output.splitlines()[-1] == "audit: clean, 16 min 40 s ago: does beat run?"
    another_epoch(queue, connection)
    watch.audit(connection)
    line = cli("status").output.splitlines()[-1]
    assert line.startswith("audit: 1 finding: not_the_last_attempt (1), 0.")
    assert json.loads(cli("status", "--json").output)["audit"]["findings"][0]["count"] == 1


ASKED = """
import sys
from tasks.app import app
from tasks.housekeeping import audit, watch

entry = app.conf.beat_schedule["audit"]
assert app.tasks[entry["task"]].name == audit.name, entry
print(audit())
watch._undisturbed_since -= 200
print(audit())
"""


def test_beat_asks_housekeeping_for_audits(environment: dict[str, str], connection: Connection) -> None:
    first, second = in_housekeeping(environment)
    assert first.startswith("no audit yet")
    assert second == "0 findings"
    last = kept(connection)
    assert last is not None and last.findings == ()


def test_an_audit_without_a_database_is_one_line(environment: dict[str, str]) -> None:
    away = {**environment, "DATABASE_URL": "postgresql://bridge@127.0.0.1:1/none"}
    assert [line.partition(": ")[0] for line in in_housekeeping(away)] == ["no audit", "no audit"]


ASKED_OFTEN = """
from tasks.agenda import agenda
from tasks.housekeeping import audit, parts, watch

print(agenda(5)["audit"]["schedule"].run_every.total_seconds())
watch._undisturbed_since -= 200
for seconds in (0, 240, 60):
    with parts().store.connection() as connection:
        connection.execute("update scheduler_bridge.audit set at = at - make_interval(secs => %s)", [seconds])
    print(audit())
"""


def test_a_beat_that_begins_anew_every_few_minutes_is_no_end_of_audits_every_five(
    environment: dict[str, str],
) -> None:
    asked_every, *answers = in_housekeeping(environment, ASKED_OFTEN)
    assert float(asked_every) <= 60
    assert answers == ["0 findings", "another audit has just been", "0 findings"]


def in_housekeeping(environment: dict[str, str], script: str = ASKED) -> list[str]:
    """What a script says in a process of its own; of ASKED, what the task answers at once and after two minutes."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
