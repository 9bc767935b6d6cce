"""The mail at the end of a stream: one, whatever sweeps, restarts and servers do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery

from scheduler_bridge.dispatch.routes import HOUSEKEEPING, SWEEP
from tests.builders import Inserted, a_job, a_stream, insert
from tests.integration.fleet import FAILS, QUICK, announce, configuration, ended, until
from tests.integration.smtp_server import SmtpServer, serving
from tests.integration.test_mail_facts import TABLES

Start = Callable[..., Any]
Connection = psycopg.Connection[Any]

SAYS = """#!/bin/sh
printf 'VERSION: 1\\n\\nOK\\n'
read -r line
echo "EMAIL seen: $line"
printf 'BYE 0\\n'
"""
AGENTS = {"quick": QUICK, "fails": FAILS, "says": SAYS, "quiet": QUICK}
LIMITS = {"quiet": "max = -1\nspecial[] = NOEMAIL\n"}


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with serving(SmtpServer()) as server:
        yield server


@pytest.fixture
def fleet(
    start_process: Start, start_worker: Start, connection: Connection, server: SmtpServer, tmp_path: Path
) -> Start:
    """FOSSology's tables, a bridge, a worker, and housekeeping that can be started again."""
    connection.execute(TABLES)
    connection.execute(
        "update sysconfig set conf_value = case variablename when 'SMTPPort' then %s else '127.0.0.1' end"
        " where variablename like 'SMTP%%'",
        [str(server.port)],
    )
    connection.execute(
        "update sysconfig set conf_value = 'fossy@example.org' where variablename = 'SMTPFrom'"
    )
    connection.execute("select setval('job_job_pk_seq', 100), setval('jobqueue_jq_pk_seq', 1000)")
    folder = str(configuration(tmp_path / "conf", AGENTS, limits=LIMITS))
    variables = {"SCHEDULER_BRIDGE_CONFIG": folder}
    start_process("bridge", ["scheduler-bridge", "bridge"], ready_text="bridge ready", **variables)
    start_worker("w1", slots=2, **variables)

    def housekeeping() -> Any:
        return start_worker("h1", slots=2, queues=HOUSEKEEPING, **variables)

    housekeeping()
    return housekeeping


def run(connection: Connection, *agent_types: str) -> Inserted:
    """A stream about the upload of `ann`, run to its end."""
    stream = insert(connection, a_stream(*(a_job(name, args="x") for name in agent_types)))
    connection.execute(
        "update job set job_upload_fk = 40, job_user_fk = 1 where job_pk = %s", [stream.stream]
    )
    announce(connection)
    ended(connection, *stream.jobs.values())
    return stream


def swept(app: Celery, connection: Connection) -> None:
    """A sweep that closes streams, and the mails it makes due handled."""
    connection.execute("update scheduler_bridge.progress set swept_at = '-infinity'")
    app.send_task(SWEEP, queue=HOUSEKEEPING)
    query = (
        "select swept_at > '-infinity' and not exists (select from scheduler_bridge.stream)"
        " from scheduler_bridge.progress"
    )
    until(lambda: connection.execute(query).fetchone() == (True,), "the sweep")


def handled(connection: Connection) -> list[str]:
    """What became of the mails, once none is due."""

    def reasons() -> list[str] | None:
        rows = connection.execute("select reason, due_at from scheduler_bridge.mail order by id").fetchall()
        return [reason for reason, _ in rows] if all(due is None for _, due in rows) else None

    found: list[str] = until(lambda: reasons() is not None and (reasons() or ["none"]), "the mails")
    return found


def test_a_stream_that_ends_is_told_once(
    fleet: Start, server: SmtpServer, connection: Connection, celery_setup_app: Celery
) -> None:
    run(connection, "quick", "says", "fails")
    for _ in range(3):
        swept(celery_setup_app, connection)
    assert handled(connection) == ["sent"]
    (mail,) = server.delivered
    assert (mail.address, mail.message["subject"]) == ("ann@example.org", "FOSSology scan complete")
    text = mail.message.get_content()
    assert "seen: x" in text
    fleet()  # another housekeeping, which remembers nothing
    swept(celery_setup_app, connection)
    assert handled(connection) == ["sent"]
    assert len(server.delivered) == 1


def test_mails_look_as_configured_when_the_folder_was_last_to_be_read(
    fleet: Start, server: SmtpServer, connection: Connection, celery_setup_app: Celery, tmp_path: Path
) -> None:
    subjects = ["FOSSology scan complete", "FOSSology scan complete", "analysis done"]
    for count, subject in enumerate(subjects, 1):
        run(connection, "quick")
        swept(celery_setup_app, connection)
        assert handled(connection) == ["sent"] * count
        assert server.delivered[-1].message["subject"] == subject
        (tmp_path / "conf" / "fossology.conf").write_text("[EMAILNOTIFY]\nsubject = analysis done\n")
        if count == 2:
            connection.execute("select scheduler_bridge.reload()")


def test_a_mail_server_that_refuses_for_now_is_asked_again(
    fleet: Start, server: SmtpServer, connection: Connection, celery_setup_app: Celery
) -> None:
    server.answers["RCPT"] = "451 try again"
    run(connection, "quick")
    swept(celery_setup_app, connection)
    until(
        lambda: (
            connection.execute("select tries from scheduler_bridge.mail where reason <> ''").fetchone()
            == (1,)
        ),
        "the refusal",
    )
    server.answers.clear()
    connection.execute("update scheduler_bridge.mail set due_at = now()")
    swept(celery_setup_app, connection)
    assert handled(connection) == ["sent"]
    assert len(server.delivered) == 1


def test_the_end_of_a_quiet_agent_sends_no_mail(
    fleet: Start, server: SmtpServer, connection: Connection, celery_setup_app: Celery
) -> None:
    run(connection, "quiet")
    swept(celery_setup_app, connection)
    assert connection.execute("select count(*) from scheduler_bridge.mail").fetchone() == (0,)
