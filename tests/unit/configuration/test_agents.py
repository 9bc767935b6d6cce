"""Agent types from `mods-enabled`: one broken file harms no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.configuration.agents import load_agent_type, load_agent_types, words
from scheduler_bridge.model.agents import AgentType, Retry, Special
from scheduler_bridge.model.jobs import Ending

GOOD = "[default]\ncommand = nomos\nmax = -1\nspecial[] =\n"


def write(folder: Path, name: str, text: str | bytes = GOOD) -> Path:
    module = folder / "mods-enabled" / name
    module.mkdir(parents=True)
    content = text.encode() if isinstance(text, str) else text
    (module / f"{name}.conf").write_bytes(content)
    return module


def loaded(folder: Path, text: str | bytes) -> tuple[AgentType | None, list[str]]:
    module = write(folder, "nomos", text)
    agent_type, problems = load_agent_type(module)
    prefix = str(module / "nomos.conf")
    return agent_type, [str(problem).removeprefix(prefix) for problem in problems]


def test_a_shipped_file_becomes_an_agent_type(tmp_path: Path) -> None:
    agent_type, problems = loaded(tmp_path, GOOD)
    assert problems == []
    directory = tmp_path / "mods-enabled" / "nomos" / "agent"
    assert agent_type == AgentType("nomos", ("nomos",), directory, None, frozenset())


def test_the_command_keeps_placeholders_and_relative_programs(tmp_path: Path) -> None:
    command = "../../spdx/agent/spdx --outputFormat=dep5 -d %R/%H/%U"
    agent_type, _ = loaded(tmp_path, GOOD.replace("nomos", command))
    assert agent_type is not None
    assert agent_type.command == ("../../spdx/agent/spdx", "--outputFormat=dep5", "-d", "%R/%H/%U")


@pytest.mark.parametrize(
    ("written", "maximum"), [("-1", None), ("-7", None), ("0", 0), ("1", 1), ("300", 300)]
)
def test_max_means_what_it_says_and_negative_is_unlimited(
    tmp_path: Path, written: str, maximum: int | None
) -> None:
    agent_type, problems = loaded(tmp_path, GOOD.replace("-1", written))
    assert agent_type is not None
    assert (agent_type.maximum, problems) == (maximum, [])


def test_a_text_after_the_number_of_max_is_ignored_with_a_warning(tmp_path: Path) -> None:
    agent_type, problems = loaded(tmp_path, GOOD.replace("-1", "4 ; four"))
    assert agent_type is not None
    assert agent_type.maximum == 4
    assert problems == [":3: warning: max is read as 4, the rest of '4 ; four' is ignored"]


def test_flags_are_matched_by_their_start(tmp_path: Path) -> None:
    agent_type, problems = loaded(
        tmp_path, GOOD + "special[] = NOKILL \nspecial[] = EXCLUSIVE_\nspecial[] = LOCAL\n"
    )
    assert agent_type is not None
    assert agent_type.special == {Special.NOKILL, Special.EXCLUSIVE, Special.LOCAL}
    assert problems == []


def test_an_unknown_flag_is_a_warning_with_a_suggestion(tmp_path: Path) -> None:
    agent_type, problems = loaded(tmp_path, GOOD + "special[] = EXLUSIVE\n")
    assert agent_type is not None
    assert agent_type.special == frozenset()
    assert problems == [":5: warning: unknown flag 'EXLUSIVE' is ignored; did you mean 'EXCLUSIVE'?"]


def test_all_missing_keys_are_named_at_once(tmp_path: Path) -> None:
    agent_type, problems = loaded(tmp_path, "\n[default]\n")
    assert agent_type is None
    assert problems == [
        ":2: [default] lacks the key command: add the line 'command ='",
        ":2: [default] lacks the key max: add the line 'max ='",
        ":2: [default] lacks the key special: add the line 'special[] ='",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": the group [default] is missing"),
        ("[defualt]\n", ": the group [default] is missing: [defualt] in line 1 may be meant"),
        (GOOD.replace("nomos", ""), ":2: command is empty"),
        (GOOD.replace("nomos", '""'), ":2: command names no program"),
        (GOOD.replace("-1", ""), ":3: max is empty"),
        (GOOD.replace("-1", "many"), ":3: max must be a whole number, not 'many'"),
        (GOOD.replace("-1", "9" * 5000), f":3: max must be a whole number, not '{'9' * 57}...'"),
        (GOOD.replace("[]", ""), ":4: special is a list: write special[] = ..."),
        (GOOD.replace("command", "command[]"), ":2: command is one value, not a list: write command = ..."),
        (GOOD.replace("max", "max[]"), ":3: max is one value, not a list: write max = ..."),
    ],
)
def test_a_wrong_value_leaves_the_type_out(tmp_path: Path, text: str, problem: str) -> None:
    assert loaded(tmp_path, text) == (None, [problem])


def test_a_quote_that_is_not_closed_runs_to_the_end_with_a_warning(tmp_path: Path) -> None:
    agent_type, problems = loaded(tmp_path, GOOD.replace("nomos", 'nomos "a b'))
    assert agent_type is not None
    assert agent_type.command == ("nomos", "a b")
    assert problems == [":2: warning: a quote is not closed, the last word runs to the end: 'nomos \"a b'"]


def test_a_broken_file_leaves_out_its_own_type_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, "copyright", b"[default]\n\xff\n")
    write(tmp_path, "nomos")
    write(tmp_path, "ojo", "garbage\n" + GOOD)
    agent_types, problems = load_agent_types(tmp_path)
    assert list(agent_types) == ["nomos"]
    assert {Path(problem.source).name for problem in problems} == {"copyright.conf", "ojo.conf"}


def test_a_module_without_a_file_is_passed_over_silently(tmp_path: Path) -> None:
    write(tmp_path, "nomos")
    (tmp_path / "mods-enabled" / "www").mkdir()
    (tmp_path / "mods-enabled" / "README").write_text("not a module")
    (tmp_path / "mods-enabled" / "gone").symlink_to(tmp_path / "nowhere")
    assert load_agent_types(tmp_path) == (
        {"nomos": AgentType("nomos", ("nomos",), tmp_path / "mods-enabled" / "nomos" / "agent")},
        [],
    )


def test_a_module_may_be_a_link_to_its_folder(tmp_path: Path) -> None:
    module = write(tmp_path / "installed", "nomos")
    (tmp_path / "mods-enabled").mkdir()
    (tmp_path / "mods-enabled" / "nomos").symlink_to(module)
    agent_types, problems = load_agent_types(tmp_path)
    assert problems == []
    assert agent_types["nomos"].directory == tmp_path / "mods-enabled" / "nomos" / "agent"


def test_a_folder_in_the_place_of_the_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mods-enabled" / "nomos" / "nomos.conf").mkdir(parents=True)
    agent_types, problems = load_agent_types(tmp_path)
    assert agent_types == {}
    assert [problem.message for problem in problems] == ["is not a file"]


def test_a_name_that_no_queue_can_have_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "two words")
    agent_types, problems = load_agent_types(tmp_path)
    assert agent_types == {}
    assert "rename its folder" in problems[0].message


def test_no_mods_enabled_at_all_is_a_warning(tmp_path: Path) -> None:
    agent_types, problems = load_agent_types(tmp_path)
    assert agent_types == {}
    assert [problem.warning for problem in problems] == [True]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("wget_agent -C -d %R/%H/wget", ("wget_agent", "-C", "-d", "%R/%H/wget")),
        ("  a   b ", ("a", "b")),
        ('a "b c" d', ("a", "b c", "d")),
        ('a "b"c', ("a", "b", "c")),
        ('a --x="u v"', ("a", '--x="u', 'v"')),
        ('a "" b', ("a", "", "b")),
        ("a\tb c", ("a\tb", "c")),
        ("a \\ b", ("a", "\\", "b")),
        ("", ()),
    ],
)
def test_a_command_is_split_as_the_scheduler_splits_it(command: str, expected: tuple[str, ...]) -> None:
    assert words(command) == expected


@given(st.lists(st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), max_size=8)))
def test_words_between_quotes_arrive_as_they_are(parts: list[str]) -> None:
    assert words(" ".join(f'"{part}"' for part in parts)) == tuple(parts)


@given(st.text(max_size=60))
def test_splitting_never_raises_and_loses_only_blanks_and_quotes(command: str) -> None:
    kept = "".join(words(command)).replace(" ", "").replace('"', "")
    assert kept == command.replace(" ", "").replace('"', "")


def test_without_a_word_about_it_only_lost_jobs_are_tried_again(tmp_path: Path) -> None:
    agent_type, _ = loaded(tmp_path, GOOD)
    assert agent_type is not None
    assert agent_type.retry == Retry(10, frozenset({Ending.LOST}), 0)


def test_a_file_says_when_a_job_is_tried_again(tmp_path: Path) -> None:
    agent_type, problems = loaded(
        tmp_path, GOOD + "attempts = 3\nretry[] = failed\nretry[] = lost\nbackoff = 30\n"
    )
    assert agent_type is not None
    assert agent_type.retry == Retry(3, frozenset({Ending.FAILED, Ending.LOST}), 30)
    assert problems == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("attempts = 0", "attempts is 0, it must be from 1 to 1000"),
        ("backoff = 3601", "backoff is 3601, it must be from 0 to 3600"),
        ("retry[] = killed", "retry knows failed and lost, not 'killed'"),
        ("retry = failed", "retry is a list"),
    ],
)
def test_a_wrong_policy_leaves_the_type_out(tmp_path: Path, line: str, problem: str) -> None:
    agent_type, problems = loaded(tmp_path, f"{GOOD}{line}\n")
    assert agent_type is None
    assert any(problem in found for found in problems), problems
