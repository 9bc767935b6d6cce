"""What a mail says, read from FOSSology's tables as its core schema describes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from scheduler_bridge.mail.facts import MOST_JOBS, Facts
from scheduler_bridge.mail.message import JobFacts, obstacle
from scheduler_bridge.migrate import create_queue

# The columns that matter, with the types of the core schema.
TABLES = """
create table public.users (
    user_pk serial primary key, user_name text not null unique, root_folder_fk int not null default 1,
    user_desc text, user_email text, email_notify varchar(1) default 'y'
);
create table public.upload (
    upload_pk serial primary key, upload_desc text, upload_filename text not null, user_fk int,
    upload_mode int not null default 0
);
create table public.uploadtree (
    uploadtree_pk serial primary key, parent int, upload_fk int not null, pfile_fk int, ufile_mode int,
    lft int, rgt int, ufile_name text
);
create index uploadtree_upload_fk_idx on public.uploadtree (upload_fk);
create table public.folder (folder_pk serial primary key, folder_name text not null, user_fk int, folder_desc text);
create table public.foldercontents (
    foldercontents_pk serial primary key, parent_fk int not null, foldercontents_mode int not null,
    child_id int not null
);
create table public.sysconfig (
    sysconfig_pk serial primary key, variablename varchar(30) not null unique, conf_value text
);
insert into public.users (user_pk, user_name, user_email, email_notify) values
    (1, 'ann', 'ann@example.org', 'y'), (2, 'bob', 'bob@example.org', 'n'), (3, 'eve', null, 'y');
insert into public.folder (folder_pk, folder_name) values (1, 'Software Repository'), (2, 'team'), (3, 'zlib');
insert into public.foldercontents (parent_fk, foldercontents_mode, child_id) values (1, 1, 2), (2, 1, 3), (3, 2, 40);
insert into public.upload (upload_pk, upload_filename, user_fk) values (40, 'zlib.tar.gz', 1), (41, 'other', 2);
insert into public.uploadtree (uploadtree_pk, parent, upload_fk) values
    (400, null, 41), (401, null, 40), (402, 401, 40);
insert into public.sysconfig (variablename, conf_value) values
    ('FOSSologyURL', 'scan.example.org/repo/'), ('SMTPHostName', 'mail'), ('SMTPPort', '25'), ('SMTPFrom', null),
    ('SWHURL', 'x');
insert into public.job (job_pk, job_name, job_upload_fk, job_user_fk) values (7, 'zlib', 40, 2);
insert into public.jobqueue (jq_pk, jq_job_fk, jq_type, jq_endtime, jq_endtext, jq_end_bits, jq_log) values
    (70, 7, 'ununpack', '2026-08-20 12:00+00', 'Completed', 1, '/srv/logs/000070'),
    (71, 7, 'nomos', '2026-08-20 12:02+00', 'killed by bob', 2, null),
    (72, 7, 'ojo', '2026-08-20 12:01+00', 'Completed', 1, null);
"""


def readable(server_url: str) -> Iterator[Facts]:
    """Facts of a database with FOSSology's tables and the stream 7 in them."""
    create_queue(server_url)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(TABLES)
        yield Facts(connection)


@pytest.fixture
def facts(empty_database: str) -> Iterator[Facts]:
    """FOSSology's tables and nothing of ours."""
    yield from readable(empty_database)


def change(facts: Facts, statement: str, *values: Any) -> None:
    """Change rows."""
    facts.connection.execute(statement.encode(), values)


def test_everything_that_a_mail_says_is_read(facts: Facts) -> None:
    found = facts.stream(7, message="all is well")
    assert found is not None and obstacle(found) is None
    assert (found.stream, found.upload, found.upload_name, found.item) == (7, 40, "zlib.tar.gz", 401)
    assert (found.uploader, found.address, found.email_notify) == ("ann", "ann@example.org", True)
    assert found.folder_name == "Software Repository/team/zlib"
    assert found.site == "scan.example.org/repo/"
    assert found.jobs == (
        JobFacts(70, "ununpack", 1, "Completed", "/srv/logs/000070"),
        JobFacts(71, "nomos", 2, "killed by bob"),
        JobFacts(72, "ojo", 1, "Completed"),
    )
    assert (found.ended_at, found.last_job) == (datetime(2026, 8, 20, 12, 2, tzinfo=UTC), 71)
    assert (found.left_out, found.message) == (0, "all is well")
    assert found.database.startswith(facts.connection.info.dbname + ".")


def test_without_an_uploader_the_user_who_has_queued_it_counts(facts: Facts) -> None:
    change(facts, "update public.upload set user_fk = 99 where upload_pk = 40")
    found = facts.stream(7)
    assert found is not None and (found.uploader, found.email_notify) == ("bob", False)


def test_an_uploader_without_an_address_is_not_replaced_by_another_user(facts: Facts) -> None:
    change(facts, "update public.upload set user_fk = 3 where upload_pk = 40")
    found = facts.stream(7)
    assert found is not None and (found.uploader, found.address) == ("eve", None)


@pytest.mark.parametrize(("value", "wanted"), [("y", True), ("n", False), (None, False), ("", False)])
def test_only_a_yes_is_a_yes(facts: Facts, value: str | None, wanted: bool) -> None:
    change(facts, "update public.users set email_notify = %s", value)
    found = facts.stream(7)
    assert found is not None and found.email_notify is wanted


def test_a_stream_without_an_upload_has_its_own_name(facts: Facts) -> None:
    change(facts, "update public.job set job_upload_fk = null, job_user_fk = 1, job_name = 'Maintenance'")
    found = facts.stream(7)
    assert found is not None
    assert (found.upload, found.upload_name, found.item, found.folder_name) == (None, "Maintenance", None, "")
    assert found.address == "ann@example.org"


def test_nobody_at_all_gets_no_mail(facts: Facts) -> None:
    change(facts, "delete from public.users")
    found = facts.stream(7)
    assert found is not None and (found.address, found.email_notify) == (None, False)


def test_what_does_not_exist_has_no_facts(facts: Facts) -> None:
    assert facts.stream(8) is None
    change(facts, "delete from public.jobqueue")
    assert facts.stream(7) is None


def test_a_stream_in_which_nothing_has_ended_has_no_facts(facts: Facts) -> None:
    change(facts, "update public.jobqueue set jq_endtime = null")
    assert facts.stream(7) is None


def test_folders_in_a_circle_end(facts: Facts) -> None:
    change(
        facts, "insert into public.foldercontents (parent_fk, foldercontents_mode, child_id) values (3, 1, 1)"
    )
    found = facts.stream(7)
    assert found is not None and found.folder_name == "Software Repository/team/zlib"


def test_a_failure_is_listed_however_long_the_stream_is(facts: Facts) -> None:
    change(
        facts,
        "insert into public.jobqueue (jq_pk, jq_job_fk, jq_type, jq_endtime, jq_end_bits)"
        " select 1000 + n, 7, 'nomos', '2026-08-20 13:00+00'::timestamptz + n * interval '1 s', 1"
        " from generate_series(1, 1000) n",
    )
    change(facts, "update public.jobqueue set jq_end_bits = 3 where jq_pk = 2000")
    found = facts.stream(7)
    assert found is not None
    assert len(found.jobs) == MOST_JOBS and found.left_out == 1003 - MOST_JOBS
    assert [job.job for job in found.jobs if job.failed] == [71, 2000]
    assert found.last_job == 2000
    assert [job.job for job in found.jobs] == sorted(job.job for job in found.jobs)


def test_jobs_before_the_streams_first_one_are_not_read(facts: Facts) -> None:
    found = facts.stream(7, since=71)
    assert found is not None and [job.job for job in found.jobs] == [71, 72]


def test_legacy_rows_are_no_jobs(facts: Facts) -> None:
    change(facts, "update public.jobqueue set jq_type = 'command' where jq_pk = 70")
    found = facts.stream(7)
    assert found is not None and [job.job for job in found.jobs] == [71, 72]


def test_the_settings_of_smtp_are_read(facts: Facts) -> None:
    assert facts.smtp() == {"SMTPHostName": "mail", "SMTPPort": "25"}


@pytest.mark.parametrize("table", ["users", "upload", "uploadtree", "folder", "foldercontents", "sysconfig"])
def test_a_database_without_one_of_the_tables_sends_no_mail(facts: Facts, table: str) -> None:
    change(facts, f"drop table public.{table}")
    assert facts.stream(7) is None and facts.smtp() == {}
    assert {name.split(".")[0] for name in facts.lacking()} == {table}


def test_a_database_that_is_only_ours_sends_no_mail(connection: psycopg.Connection[Any]) -> None:
    facts = Facts(connection)
    assert facts.stream(1) is None and facts.smtp() == {}


def test_a_table_without_a_column_is_not_fossologys(facts: Facts) -> None:
    change(facts, "alter table public.users drop column email_notify")
    assert facts.lacking() == ["users.email_notify"]
    assert facts.stream(7) is None


def test_texts_of_a_database_without_an_encoding_are_read(postgres_server: str) -> None:
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as maintenance:
        maintenance.execute(
            "create database old_encoding template template0 encoding 'SQL_ASCII' locale 'C' "
        )
        try:
            for facts in readable(f"{postgres_server}/old_encoding"):
                change(
                    facts,
                    r"update public.upload set upload_filename = E'gr\303\274n\377' where upload_pk = 40",
                )
                found = facts.stream(7)
                assert found is not None
                assert (found.upload_name, found.address) == ("grün\ufffd", "ann@example.org")
                assert facts.smtp()["SMTPHostName"] == "mail"
        finally:
            maintenance.execute("drop database old_encoding with (force)")


def test_no_item_of_another_upload_is_read(facts: Facts) -> None:
    change(
        facts,
        "insert into public.uploadtree (uploadtree_pk, parent, upload_fk)"
        " select 1000 + n, null, 90 from generate_series(1, 40000) n"
        " union all select 50000 + n, 70000, 40 from generate_series(1, 10000) n",
    )
    change(facts, "update public.uploadtree set uploadtree_pk = 70000 where uploadtree_pk = 401")
    change(facts, "analyze public.uploadtree")
    with facts.connection.transaction():
        found = facts.stream(7)
        row = facts.connection.execute(
            "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'uploadtree'"
        ).fetchone()
    assert found is not None and found.item == 70000
    assert row is not None and row[0] < 10100
