"""argv as unmodified agents expect it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler_bridge.model.agents import AgentType
from scheduler_bridge.model.jobs import Work
from workers.command_line import command_line, split_arguments, whoever_the_job

AGENT_FOLDER = Path("/etc/fossology/mods-enabled/ununpack/agent")
UNUNPACK = AgentType("ununpack", ("ununpack", "-d", "%R/%H/ununpack/%U", "-qRCQx"), AGENT_FOLDER)


def test_program_configured_words_standard_options_and_the_jobs_own_come_in_this_order() -> None:
    work = Work(7, 3, "ununpack", 1, "42", arguments="-I  -E *.o", user=2, group=5)
    assert command_line(UNUNPACK, work, Path("/etc/fossology")) == [
        "/etc/fossology/mods-enabled/ununpack/agent/ununpack",
        "-d",
        "%R/%H/ununpack/%U",
        "-qRCQx",
        "--jobId=3",
        "--config=/etc/fossology",
        "--userID=2",
        "--groupID=5",
        "--scheduler_start",
        "-I",
        "-E",
        "*.o",
    ]


def test_a_program_in_another_agents_folder_keeps_its_dots() -> None:
    spdx = AgentType("spdx2", ("../../spdx/agent/spdx", "--outputFormat=spdx2"), Path("/m/spdx2/agent"))
    argv = command_line(spdx, Work(7, 3, "spdx2", 1), Path("/etc/fossology"))
    assert argv[:2] == ["/m/spdx2/agent/../../spdx/agent/spdx", "--outputFormat=spdx2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", []),
        ("   ", []),
        ("-lreu", ["-lreu"]),
        ("a  b   c", ["a", "b", "c"]),
        ('--z="u v" w', ['--z="u v"', "w"]),
        ("--report='a b.xml' --k=v", ["--report='a b.xml'", "--k=v"]),
        ("'a \" b", ["'a \"", "b"]),
        ('"open to the end', ['"open to the end']),
        ('a""b c', ['a""b', "c"]),
        ("tab\tstays here", ["tab\tstays", "here"]),
        ("x " * 100, ["x"] * 100),
    ],
)
def test_a_jobs_own_arguments_are_split_at_spaces_outside_quotes(arguments: str, words: list[str]) -> None:
    assert split_arguments(arguments) == words


def test_jobs_that_differ_in_ids_only_can_share_a_warm_agent() -> None:
    folder = Path("/etc/fossology")
    one = command_line(UNUNPACK, Work(7, 3, "ununpack", 1, user=2), folder)
    other = command_line(UNUNPACK, Work(8, 4, "ununpack", 2, user=9, group=1), folder)
    different = command_line(UNUNPACK, Work(9, 3, "ununpack", 1, arguments="-I"), folder)
    assert whoever_the_job(one) == whoever_the_job(other)
    assert whoever_the_job(one) != whoever_the_job(different)
