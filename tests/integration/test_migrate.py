"""The schema: applied once, by however many processes; refused when it does not fit the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scheduler_bridge.errors import SchemaError
from scheduler_bridge.migrate import (
    MIGRATIONS,
    check_schema,
    create_queue,
    install_trigger,
    migrate,
    remove_trigger,
)
from tests.builders import a_job, a_stream, insert
from tests.process_nodes import PROJECT

MIGRATE = "import sys; from scheduler_bridge.migrate import migrate; print(*migrate(sys.argv[1]), sep='\\n')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations of our own."""
    (tmp_path / "0001_first.sql").write_text("create table first (id int); create table second (id int);")
    (tmp_path / "0002_second.sql").write_text("insert into first values (1)")
    return tmp_path


def names_in(url: str, schema: str) -> set[str]:
    """Tables, sequences and functions of a schema."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select relname::text from pg_class where relnamespace = to_regnamespace(%(schema)s)"
            " union all select proname::text from pg_proc where pronamespace = to_regnamespace(%(schema)s)",
            {"schema": schema},
        )
        return {name for (name,) in rows}


def test_files_are_applied_in_order_and_only_once(empty_database: str, folder: Path) -> None:
    assert migrate(empty_database, folder) == ["0001_first.sql", "0002_second.sql"]
    assert migrate(empty_database, folder) == []
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select count(*) from scheduler_bridge.first").fetchone() == (1,)
        check_schema(connection, folder)


def test_four_processes_at_once_apply_each_file_once(empty_database: str) -> None:
    create_queue(empty_database)
    command = [sys.executable, "-c", MIGRATE, empty_database]
    processes = [
        subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate() for process in processes]
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, said, strict=True)] == [
        (0, "")
    ] * 4
    applied = [name for output, _ in said for name in output.split()]
    assert sorted(applied) == sorted(file.name for file in MIGRATIONS.glob("*.sql"))


def test_a_failing_file_leaves_nothing_of_itself_and_keeps_those_before(
    empty_database: str, folder: Path
) -> None:
    (folder / "0003_wrong.sql").write_text("create table third (id int); select no_such_function();")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        migrate(empty_database, folder)
    assert {"first", "second"} <= names_in(empty_database, "scheduler_bridge")
    assert "third" not in names_in(empty_database, "scheduler_bridge")
    (folder / "0003_wrong.sql").write_text("create table third (id int)")
    assert migrate(empty_database, folder) == ["0003_wrong.sql"]


def test_an_edited_file_is_refused(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    (folder / "0001_first.sql").write_text("create table other (id int)")
    with pytest.raises(SchemaError, match=r"0001_first\.sql was edited after it was applied"):
        migrate(empty_database, folder)
    with (
        psycopg.connect(empty_database) as connection,
        pytest.raises(SchemaError, match=r"0001_first\.sql was edited"),
    ):
        check_schema(connection, folder)


def test_two_files_with_one_number_are_refused(empty_database: str, folder: Path) -> None:
    (folder / "0002_again.sql").write_text("select 1")
    with pytest.raises(SchemaError, match="same number"):
        migrate(empty_database, folder)


def test_a_database_without_the_schema_is_told_to_migrate(empty_database: str, folder: Path) -> None:
    with (
        psycopg.connect(empty_database) as connection,
        pytest.raises(
            SchemaError, match=r"lacks 0001_first\.sql, 0002_second\.sql: run `scheduler-bridge migrate`"
        ),
    ):
        check_schema(connection, folder)


def test_an_older_database_is_told_what_it_lacks(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    (folder / "0003_third.sql").write_text("create table third (id int)")
    with (
        psycopg.connect(empty_database) as connection,
        pytest.raises(SchemaError, match=r"lacks 0003_third\.sql: run `scheduler-bridge migrate`"),
    ):
        check_schema(connection, folder)


def test_a_newer_database_is_refused_by_check_and_by_migrate(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    (folder / "0002_second.sql").unlink()
    newer = "at migration 2, which needs programs that know 2, and this one knows only 1.*scheduler-bridge migrate"
    with psycopg.connect(empty_database) as connection, pytest.raises(SchemaError, match=newer):
        check_schema(connection, folder)
    with pytest.raises(SchemaError, match=newer):
        migrate(empty_database, folder)


def test_a_newer_database_that_is_compatible_passes_the_check_and_migrate_leaves_it(
    empty_database: str, folder: Path
) -> None:
    later = folder / "0003_later.sql"
    later.write_text("-- compatible from: 2\ncreate table third (id int);")
    migrate(empty_database, folder)
    later.unlink()
    with psycopg.connect(empty_database) as connection:
        check_schema(connection, folder)
    assert migrate(empty_database, folder) == []


@pytest.mark.parametrize("line", ["-- compatible from: two", "--compatible from: 2", "-- compatible: 2"])
def test_a_line_of_compatibility_that_cannot_be_read_is_refused(
    empty_database: str, folder: Path, line: str
) -> None:
    (folder / "0003_later.sql").write_text(f"{line}\ncreate table third (id int);")
    with pytest.raises(SchemaError, match=r"0003_later\.sql: its first line must be"):
        migrate(empty_database, folder)


def test_of_several_later_files_the_least_compatible_decides(empty_database: str, folder: Path) -> None:
    (folder / "0003_breaks.sql").write_text("alter table first add other int")
    (folder / "0004_adds.sql").write_text("-- compatible from: 2\ncreate table fourth (id int);")
    migrate(empty_database, folder)
    for later in ("0003_breaks.sql", "0004_adds.sql"):
        (folder / later).unlink()
    needed = "at migration 4, which needs programs that know 3, and this one knows only 2"
    with psycopg.connect(empty_database) as connection, pytest.raises(SchemaError, match=needed):
        check_schema(connection, folder)


def test_this_programs_own_schema_passes_the_check(connection: psycopg.Connection[Any]) -> None:
    check_schema(connection)


def test_numbered_files_touch_no_foreign_table(empty_database: str) -> None:
    create_queue(empty_database)
    before = names_in(empty_database, "public")
    migrate(empty_database)
    assert names_in(empty_database, "public") == before
    with psycopg.connect(empty_database) as connection:
        triggers = connection.execute(
            "select tgname from pg_trigger join pg_class on tgrelid = pg_class.oid"
            " where not tgisinternal and relnamespace <> 'scheduler_bridge'::regnamespace"
        ).fetchall()
    assert triggers == []


def test_the_queue_is_created_where_missing_and_left_alone_where_present(empty_database: str) -> None:
    create_queue(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        ids = insert(connection, a_stream(a_job("unpack"), a_job("license", needs="unpack")))
        create_queue(empty_database)
        kept = connection.execute("select jdep_jq_fk, jdep_jq_depends_fk from jobdepends").fetchall()
    assert kept == [(ids["license"], ids["unpack"])]


def test_the_trigger_announces_inserts_until_it_is_removed(database: str) -> None:
    with (
        psycopg.connect(database, autocommit=True) as listener,
        psycopg.connect(database, autocommit=True) as writer,
    ):
        listener.execute("listen scheduler_bridge")
        for _ in range(2):  # harmless when repeated
            install_trigger(database)
        insert(writer, a_stream(a_job("unpack")))
        assert [notice.channel for notice in listener.notifies(timeout=10, stop_after=1)] == [
            "scheduler_bridge"
        ]
        for _ in range(2):
            remove_trigger(database)
        insert(writer, a_stream(a_job("unpack")))
        assert list(listener.notifies(timeout=0.2)) == []
