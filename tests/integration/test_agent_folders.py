"""The sample configuration folder, the example agents and what the how-to says about them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.stream_file import read_stream
from tests.integration.pipes import Talk, finish, start

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "deploy" / "conf"
EXAMPLES = ROOT / "deploy" / "examples" / "agents"
SHIPPED = ("copyright", "license", "mimetype", "report", "unpack")


@pytest.fixture
def folder(tmp_path: Path) -> Configuration:
    """The sample configuration with the examples installed as the how-to says."""
    shutil.copytree(SAMPLE, tmp_path / "conf")
    shutil.copytree(EXAMPLES, tmp_path / "conf" / "mods-enabled", dirs_exist_ok=True)
    return Configuration.read(tmp_path / "conf")


def talk(folder: Configuration, name: str, data: str | None) -> Talk:
    agent = folder.agent_types[name]
    return finish(start([agent.program, *agent.command[1:]], {}, folder=agent.directory), data)


def test_the_sample_folder_is_read_without_an_error() -> None:
    configuration = Configuration.read(SAMPLE)
    assert tuple(sorted(configuration.agent_types)) == SHIPPED
    assert [problem for problem in configuration.problems if not problem.warning] == []
    assert configuration.hosts["localhost"].slots == 10


def test_the_default_stream_can_be_submitted() -> None:
    stream = read_stream((ROOT / "deploy" / "stream.yaml").read_bytes(), "stream.yaml")
    assert [job.agent for job in stream.jobs] == ["unpack", "mimetype", "license", "copyright", "report"]
    assert [job.needs for job in stream.jobs] == [(), (0,), (0,), (0,), (1, 2, 3)]
    assert json.loads(stream.jobs[0].args)


@pytest.mark.parametrize("name", [*SHIPPED, "biggest", "wordcount"])
def test_an_installed_agent_passes_the_start_up_test(name: str, folder: Configuration) -> None:
    assert talk(folder, name, None) == Talk(("VERSION: 1.0", "OK", "HEART: 0 1", "BYE 0"), 0)


def test_the_python_example_counts_words(folder: Configuration, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one two three")
    (tmp_path / "b").write_text("")
    heard = talk(folder, "wordcount", f"{tmp_path}/a {tmp_path}/b")
    assert heard.said(f"NOTICE wordcount: {tmp_path}/a: 3 words")
    assert heard.lines[-3:] == ("OK", "HEART: 2 1", "BYE 0")


def test_the_python_example_fails_with_a_sentence(folder: Configuration) -> None:
    heard = talk(folder, "wordcount", "/no/such/file")
    assert heard.said("FATAL wordcount: FileNotFoundError: ")
    assert (heard.lines[-1], heard.code) == ("BYE 1", 1)


def test_the_shell_example_names_the_biggest_files(folder: Configuration, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for size in (10, 3000, 200):
        (files / str(size)).write_bytes(b"x" * size)
    heard = talk(folder, "biggest", str(files))
    assert [line.rpartition("/")[2] for line in heard.lines if "NOTICE" in line] == ["3000", "200", "10"]
    assert heard.lines[-3:] == ("OK", "HEART: 1 1", "BYE 0")


def test_the_shell_example_fails_with_a_sentence(folder: Configuration) -> None:
    heard = talk(folder, "biggest", "/no/such/folder")
    assert heard.lines[-2:] == ("FATAL biggest: no folder: /no/such/folder", "BYE 1")


def test_the_how_to_shows_the_examples_as_they_are() -> None:
    text = (ROOT / "docs" / "howto" / "write-an-agent.md").read_text()
    python = (EXAMPLES / "wordcount" / "agent" / "wordcount.py").read_text()
    assert python.partition('"""\n\n')[2] in text
    assert (EXAMPLES / "biggest" / "agent" / "biggest").read_text() in text


@pytest.mark.parametrize(
    ("agent", "words"),
    [("license", "MIT (tag, line 1)"), ("copyright", "Ann (2001), line 2"), ("mimetype", "text/x-python")],
)
def test_a_shipped_agent_works_alone_in_a_shell(agent: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# SPDX-License-Identifier: MIT\n# Copyright 2001 Ann\n")
    command = [sys.executable, "-m", f"workers.agents.{agent}", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.stdout == f"{tmp_path}/a.py: {words}\n"
    parsed = json.loads(subprocess.run([*command, "--json"], capture_output=True, timeout=60).stdout)
    assert parsed["path"] == f"{tmp_path}/a.py"
    assert len(parsed["findings"]) == 1


def test_unpack_alone_lists_what_is_in_an_archive_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "x").write_bytes(b"1")
    archive = shutil.make_archive(str(tmp_path / "a"), "gztar", tmp_path / "src")
    command = [sys.executable, "-m", "workers.agents.unpack", "--json", archive]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"TMPDIR": str(tmp_path / "src")}
    )
    paths = [json.loads(line)["path"] for line in shown.stdout.splitlines()]
    assert paths == [archive, f"{archive}!/x"]
    assert [path.name for path in (tmp_path / "src").iterdir()] == ["x"]


def test_a_missing_path_is_named_on_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workers.agents.license", str(tmp_path / "none")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 1
    assert shown.stderr == f"license: {tmp_path}/none: no such file or folder\n"
