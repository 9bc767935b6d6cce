"""What agents write: one attempt at a time, findings by content, and nothing half."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from workers.agents import results
from workers.agents.helper import AgentError, Start, Task
from workers.agents.results import Columns, Source, Totals, page, publish, remember, replacing

WORDS = Source("words", "1", Columns("scan_mimetype", ("mimetype",), ("text",)))
NAMES = Source("names", "1", Columns("scan_mimetype", ("mimetype",), ("text",)), by_name=True)
STREAM = 7


def silent() -> None:
    """Nobody listens."""


@pytest.fixture
def task(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Task]:
    monkeypatch.setenv("DATABASE_URL", database)
    opened = Task(Start.read([f"--jobId={STREAM}"]), "", None)
    yield opened
    opened.close()


def add_files(connection: psycopg.Connection[Any], *files: tuple[str, bytes]) -> None:
    for number, (path, digest) in enumerate(files, 1):
        connection.execute(
            "insert into scheduler_bridge.scan_file (stream, file, path, kind, size, sha256)"
            " values (%s, %s, %s, 'file', 1, %s)",
            [STREAM, number, path, digest],
        )


def found(connection: psycopg.Connection[Any]) -> list[tuple[int, str]]:
    return connection.execute(
        "select file, mimetype from scheduler_bridge.scan_mimetype order by 1, 2"
    ).fetchall()


def test_findings_go_to_every_file_of_the_content(task: Task, connection: psycopg.Connection[Any]) -> None:
    add_files(connection, ("/a", b"1"), ("/b", b"1"), ("/c", b"2"))
    files = page(task.connection, WORDS, STREAM, 0, 10)
    assert [(known.path, known.cached) for known in files] == [("/a", False), ("/b", False), ("/c", False)]
    remember(task.connection, WORDS, [(files[0], [("x",), ("y",)]), (files[2], [])])
    publish(task, WORDS, Totals(3), [("/c", "a note\0")])
    assert found(connection) == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    assert connection.execute("select path, note from scheduler_bridge.scan_note").fetchall() == [
        ("/c", "a note\\0")
    ]
    assert all(known.cached for known in page(task.connection, WORDS, STREAM, 0, 10))


def test_where_names_count_the_same_content_is_known_by_each(
    task: Task, connection: psycopg.Connection[Any]
) -> None:
    add_files(connection, ("/p/a.py", b"1"), ("/q.whl!/a.py", b"1"), ("/p/a.txt", b"1"))
    files = page(task.connection, NAMES, STREAM, 0, 10)
    assert [known.variant for known in files] == ["a.py", "a.py", "a.txt"]
    remember(task.connection, NAMES, [(files[0], [("x",)])])
    assert [known.cached for known in page(task.connection, NAMES, STREAM, 0, 10)] == [True, True, False]


def test_another_version_knows_nothing(task: Task, connection: psycopg.Connection[Any]) -> None:
    add_files(connection, ("/a", b"1"))
    remember(task.connection, WORDS, [(page(task.connection, WORDS, STREAM, 0, 10)[0], [("x",)])])
    newer = Source("words", "2", WORDS.columns)
    assert not page(task.connection, newer, STREAM, 0, 10)[0].cached


def test_remembering_twice_is_harmless(task: Task, connection: psycopg.Connection[Any]) -> None:
    add_files(connection, ("/a", b"1"))
    files = page(task.connection, WORDS, STREAM, 0, 10)
    remember(task.connection, WORDS, [(files[0], [("x",)]), (files[0], [("x",)])])
    remember(task.connection, WORDS, [(files[0], [("x",)])])
    publish(task, WORDS, Totals(1), [])
    assert found(connection) == [(1, "x")]


def test_files_that_were_replaced_meanwhile_fail_the_attempt(
    task: Task, connection: psycopg.Connection[Any]
) -> None:
    add_files(connection, ("/a", b"1"), ("/b", b"2"))
    remember(task.connection, WORDS, [(page(task.connection, WORDS, STREAM, 0, 10)[0], [("x",)])])
    with pytest.raises(AgentError, match="were replaced while they were scanned"):
        publish(task, WORDS, Totals(2), [])
    assert found(connection) == []
    publish(task, WORDS, Totals(2, unreadable=1), [])
    assert found(connection) == [(1, "x")]


def test_used_findings_are_marked_so_that_they_are_kept(
    task: Task, connection: psycopg.Connection[Any]
) -> None:
    add_files(connection, ("/a", b"1"))
    remember(task.connection, WORDS, [(page(task.connection, WORDS, STREAM, 0, 10)[0], [])])
    connection.execute("update scheduler_bridge.scan_cache set used_on = current_date - 100")
    publish(task, WORDS, Totals(1), [])
    assert connection.execute("select scheduler_bridge.trim_scan_cache(90)").fetchall() == [(0,)]


@pytest.mark.parametrize("first_files", [True, False])
def test_an_attempt_waits_for_the_other_and_shows_that_it_lives(
    first_files: bool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LOCK_SECONDS", 0.05)
    waited, order = threading.Event(), list[str]()

    def second() -> None:
        with (
            psycopg.connect(database) as connection,
            replacing(connection, STREAM, "words", alive=waited.set, files=not first_files),
        ):
            order.append("second")

    with psycopg.connect(database) as connection, ThreadPoolExecutor(1) as pool:
        with replacing(connection, STREAM, "words", alive=silent, files=first_files):
            other = pool.submit(second)
            assert waited.wait(30)
            order.append("first")
        other.result(30)
    assert order == ["first", "second"]


def test_different_agents_of_a_stream_do_not_wait(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "LOCK_SECONDS", 1)

    def never() -> None:
        raise AssertionError("waited")

    with (
        psycopg.connect(database) as one,
        psycopg.connect(database) as two,
        replacing(one, STREAM, "words", alive=never),
        replacing(two, STREAM, "names", alive=never),
    ):
        both = (one.info.transaction_status, two.info.transaction_status)
        assert both == (TransactionStatus.INTRANS,) * 2
