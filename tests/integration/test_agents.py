"""The shipped agents as processes, spoken to over pipes, with a real database."""

from __future__ import annotations

import json
import os
import signal
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.pipes import Talk, finish, shipped, start

SCANNERS = ("mimetype", "license", "copyright")
MIT = """\
Copyright (c) 2020 Jane Doe <jane@example.org>

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without
limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the
Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions
of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.
"""
GPL = "# under the terms of the GNU General Public License, version 2 or later\n# Copyright 1999 Ann\n"

Run = Callable[..., Talk]
Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def settings(database: str, tmp_path: Path) -> dict[str, str]:
    """The environment of an agent."""
    return {"DATABASE_URL": database, "SCHEDULER_BRIDGE_STATE": str(tmp_path / "state")}


@pytest.fixture
def run(settings: dict[str, str]) -> Run:
    """Run one shipped agent over its whole life."""

    def run_agent(name: str, stream: int, data: str | None = "", *arguments: str) -> Talk:
        return finish(start(shipped(name), settings, stream=stream, arguments=arguments), data)

    return run_agent


@pytest.fixture
def rows(connection: psycopg.Connection[Any]) -> Rows:
    """Rows of a statement about one stream."""
    return lambda statement, stream: connection.execute(statement, [stream]).fetchall()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a package, a wheel that says one thing and holds another, and something of nobody's."""
    folder = tmp_path / "source"
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg" / "package.json").write_text('{"name": "pkg", "version": "2", "license": "MIT"}')
    (folder / "pkg" / "LICENSE").write_text(MIT)
    (folder / "pkg" / "copy").write_text(MIT)
    (folder / "lone.py").write_text(f"{GPL}x = 1\n")
    with zipfile.ZipFile(folder / "foo-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("foo-1.0.dist-info/METADATA", "Name: foo\nVersion: 1.0\nLicense: MIT\n")
        wheel.writestr("foo-1.0.dist-info/RECORD", "foo/a.py,,\nfoo-1.0.dist-info/METADATA,,\n")
        wheel.writestr("foo/a.py", GPL)
    return folder


def scan(run: Run, stream: int, data: str) -> list[Talk]:
    """A whole stream, one agent after the other."""
    return [run("unpack", stream, data), *(run(name, stream) for name in SCANNERS), run("report", stream)]


LICENSES = """
select f.path, l.license, l.kind from scheduler_bridge.scan_license l
join scheduler_bridge.scan_file f using (stream, file)
where stream = %s and l.kind <> 'reference' order by f.path"""
RUNS = "select agent, files, cached from scheduler_bridge.scan_run where stream = %s order by agent"
REPORT = "select format, text from scheduler_bridge.scan_report where stream = %s order by format"


def test_a_stream_of_all_agents_ends_in_a_report(run: Run, rows: Rows, source: Path) -> None:
    talks = scan(run, 1, str(source))
    for talk in talks:
        assert talk.lines[:2] == ("VERSION: 1.0", "OK")
        assert talk.lines[-3] == "OK"
        assert talk.lines[-2] == f"HEART: {talk.items} 1"
        assert (talk.lines[-1], talk.code) == ("BYE 0", 0)
    assert [talk.items for talk in talks] == [8, 8, 8, 8, 8]
    wheel = f"{source}/foo-1.0-py3-none-any.whl"
    assert rows(LICENSES, 1) == [
        (f"{wheel}!/foo/a.py", "GPL-2.0-or-later", "notice"),
        (f"{source}/lone.py", "GPL-2.0-or-later", "notice"),
        (f"{source}/pkg/LICENSE", "MIT", "text"),
        (f"{source}/pkg/copy", "MIT", "text"),
    ]
    (_, document), (_, text) = rows(REPORT, 1)
    assert "foo-1.0-py3-none-any.whl!/foo/a.py:1" in text
    assert "| Jane Doe | 2     | 2020  |" in text
    assert [package["name"] for package in json.loads(document)["packages"]] == ["foo", "pkg"]


def test_content_is_scanned_once_whatever_stream_it_is_in(run: Run, rows: Rows, source: Path) -> None:
    scan(run, 1, str(source))
    scan(run, 2, str(source))
    first = {agent: cached for agent, _, cached in rows(RUNS, 1) if agent in SCANNERS}
    # The second copy of the licence, and the archive, which is its members; where names count, they differ.
    assert first == {"copyright": 2, "license": 2, "mimetype": 0}
    assert all(files == cached for agent, files, cached in rows(RUNS, 2) if agent in SCANNERS)
    assert rows(LICENSES, 1) == rows(LICENSES, 2)


def test_a_new_attempt_replaces_what_the_last_one_found(run: Run, rows: Rows, source: Path) -> None:
    for name, data in (("unpack", str(source)), ("license", ""), ("report", "")):
        run(name, 1, data)
    (source / "lone.py").write_text("x = 1\n")
    (source / "pkg" / "copy").unlink()
    for name, data in (("unpack", str(source)), ("license", ""), ("report", "")):
        run(name, 1, data)
    paths = [path for path, _, _ in rows(LICENSES, 1)]
    assert paths == [f"{source}/foo-1.0-py3-none-any.whl!/foo/a.py", f"{source}/pkg/LICENSE"]
    assert len(rows(REPORT, 1)) == 2
    assert len(rows("select path from scheduler_bridge.scan_input where stream = %s", 1)) == 1


def test_two_attempts_at_once_do_not_mix(run: Run, rows: Rows, source: Path) -> None:
    run("unpack", 1, str(source))
    run("license", 1)
    expected = rows(LICENSES, 1)
    with ThreadPoolExecutor(4) as pool:
        talks = list(pool.map(lambda name: run(name, 1), ["license", "copyright"] * 2))
    assert [talk.code for talk in talks] == [0] * 4
    assert rows(LICENSES, 1) == expected


def test_an_attempt_that_is_stopped_leaves_the_last_one_s_results_whole(
    run: Run, rows: Rows, source: Path, settings: dict[str, str]
) -> None:
    run("unpack", 1, str(source))
    run("license", 1)
    expected = rows(LICENSES, 1)
    process = start(shipped("license"), settings, stream=1)
    assert process.stdin and process.stdout
    assert process.stdout.readline() == b"VERSION: 1.0\n"
    process.stdin.write(b"\nEND\n")
    process.stdin.flush()
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == -signal.SIGHUP
    process.stdin.close()
    process.stdout.close()
    assert rows(LICENSES, 1) == expected


def test_unpacked_files_of_an_earlier_attempt_are_removed(
    run: Run, source: Path, settings: dict[str, str]
) -> None:
    run("unpack", 1, str(source))
    kept = Path(settings["SCHEDULER_BRIDGE_STATE"], "files", "scheduler-bridge", "1")
    first = list(kept.iterdir())
    run("unpack", 1, str(source))
    second = list(kept.iterdir())
    assert len(first) == len(second) == 1
    assert first != second
    assert [folder.stat().st_mode & 0o077 for folder in (kept.parent, kept)] == [0, 0]


def test_of_a_repository_that_is_scanned_only_our_own_folder_is_left_out(
    run: Run, rows: Rows, source: Path, settings: dict[str, str]
) -> None:
    settings["SCHEDULER_BRIDGE_REPOSITORY"] = str(source / "pkg")
    run("unpack", 1, str(source))
    run("unpack", 2, str(source))
    listed = "select path from scheduler_bridge.scan_file where stream = %s order by path"
    assert rows(listed, 2) == rows(listed, 1)
    assert (f"{source}/pkg/LICENSE",) in rows(listed, 2)


def test_several_paths_come_as_a_json_list(run: Run, rows: Rows, source: Path) -> None:
    inputs = [str(source / "pkg"), str(source / "lone.py")]
    assert run("unpack", 1, json.dumps(inputs)).items == 4
    assert sorted(rows("select path from scheduler_bridge.scan_input where stream = %s", 1)) == sorted(
        (path,) for path in inputs
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("/no/such/folder", "/no/such/folder: no such file or folder"),
        ("relative/path", "relative/path: not an absolute path"),
        ("", "the data is neither a path nor a JSON list of paths"),
        ("[1, 2]", "the data is neither a path nor a JSON list of paths"),
    ],
)
def test_an_unusable_input_fails_the_job_and_is_named(data: str, reason: str, run: Run, rows: Rows) -> None:
    talk = run("unpack", 1, data)
    assert talk.lines[-2:] == (f"FATAL unpack: {reason}", "BYE 1")
    assert talk.code == 1
    assert rows(RUNS, 1) == []


def test_a_limit_of_the_job_s_own_is_kept(run: Run, source: Path) -> None:
    talk = run("unpack", 1, str(source), "--max-entries=1")
    assert talk.said("not unpacked: more than 1 entries")
    assert talk.code == 0
    assert run("unpack", 1, str(source), "--max-entires=1").said("FATAL unpack: unknown arguments")


def test_a_file_that_changed_or_went_is_noted_and_not_remembered(run: Run, rows: Rows, source: Path) -> None:
    run("unpack", 1, str(source))
    (source / "lone.py").write_text(MIT)
    os.utime(source / "lone.py", ns=(1, 1))
    (source / "pkg" / "LICENSE").unlink()
    (source / "pkg" / "copy").unlink()
    assert run("license", 1).code == 0
    notes = rows("select path, note from scheduler_bridge.scan_note where stream = %s order by path", 1)
    assert notes == [
        (f"{source}/lone.py", "changed since it was unpacked"),
        (f"{source}/pkg/LICENSE", "cannot be read: No such file or directory"),
        (f"{source}/pkg/copy", "cannot be read: No such file or directory"),
    ]
    assert [path for path, _, _ in rows(LICENSES, 1)] == [f"{source}/foo-1.0-py3-none-any.whl!/foo/a.py"]


def test_a_name_that_is_no_text_is_scanned(run: Run, rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9\n.py")).write_text(GPL)
    run("unpack", 1, str(folder))
    run("license", 1)
    assert rows(LICENSES, 1) == [(f"{folder}/caf\\xe9\n.py", "GPL-2.0-or-later", "notice")]


def test_the_report_says_which_agents_did_not_run(run: Run, rows: Rows, source: Path) -> None:
    assert run("report", 1).said("FATAL report: stream 1 has no list of files")
    run("unpack", 1, str(source))
    run("report", 1)
    assert "Incomplete: license, copyright, mimetype" in rows(REPORT, 1)[1][1]


def test_forgetting_a_stream_leaves_the_others_and_the_cache(run: Run, rows: Rows, source: Path) -> None:
    scan(run, 1, str(source))
    run("unpack", 2, str(source))
    run("license", 2)
    rows("select scheduler_bridge.forget_scan(%s)", 1)
    for table in ("input", "file", "note", "run", "mimetype", "license", "copyright", "report"):
        assert rows(f"select 1 from scheduler_bridge.scan_{table} where stream = %s", 1) == []
    assert len(rows(LICENSES, 2)) == 4
    assert rows("select scheduler_bridge.trim_scan_cache(%s)", 30) == [(0,)]
    assert rows("select scheduler_bridge.trim_scan_cache(%s)", -1)[0][0] > 0


def test_without_a_database_an_agent_says_so(settings: dict[str, str]) -> None:
    talk = finish(
        start(shipped("license"), {**settings, "DATABASE_URL": "postgresql://127.0.0.1:1/x"}, stream=1), ""
    )
    assert talk.said("FATAL license: no connection to the database")
    assert talk.lines[-1] == "BYE 1"
