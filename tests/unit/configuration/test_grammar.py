"""The `.conf` grammar: what is read, what is refused with its line, and that nothing ever raises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_bridge.configuration.grammar import Document, is_storable, parse

SAMPLE = """\
; FOSSology
[FOSSOLOGY]
port = 24693
path = /srv/fossology/repository

[DIRECTORIES]
PREFIX = /usr/local
BINDIR = $PREFIX/bin
  LOGDIR=/var/log/fossology
[default]
special[] = NOKILL
special[] = EXCLUSIVE
"""


def value(document: Document, group: str, key: str) -> str | tuple[str, ...] | None:
    entry = document.entry(group, key)
    return entry.value if entry else None


def messages(text: str | bytes) -> list[str]:
    return [str(problem) for problem in parse(text, "f.conf").problems]


def test_a_shipped_file_is_read_without_problems() -> None:
    document = parse(SAMPLE, "fossology.conf")
    assert document.problems == ()
    assert value(document, "FOSSOLOGY", "port") == "24693"
    assert value(document, "DIRECTORIES", "LOGDIR") == "/var/log/fossology"
    assert value(document, "default", "special") == ("NOKILL", "EXCLUSIVE")


def test_every_key_keeps_its_line_and_every_item_of_a_list_its_own() -> None:
    document = parse(SAMPLE, "fossology.conf")
    assert document.line("FOSSOLOGY", "path") == 4
    special = document.entry("default", "special")
    assert special is not None
    assert special.lines == (11, 12)
    assert document.groups["default"].line == 10


def test_the_line_of_a_missing_key_is_that_of_its_group() -> None:
    assert parse(SAMPLE, "f").line("DIRECTORIES", "none") == 6
    assert parse(SAMPLE, "f").line("none", "none") == 0


def test_a_name_after_a_dollar_is_replaced_by_that_key_of_the_same_group() -> None:
    assert value(parse(SAMPLE, "f"), "DIRECTORIES", "BINDIR") == "/usr/local/bin"


def test_a_longer_key_is_preferred_to_a_shorter_one_with_a_rest() -> None:
    document = parse("[g]\nA = 1\nA-b = 2\nx = $A-b\ny = $A-c\n", "f")
    assert value(document, "g", "x") == "2"
    assert value(document, "g", "y") == "1-c"


def test_a_name_of_another_group_or_further_down_stays_as_it_is_with_a_warning() -> None:
    document = parse("[a]\nX = 1\n[b]\ny = $X\nz = $LATER\nLATER = 2\n", "f")
    assert value(document, "b", "y") == "$X"
    assert value(document, "b", "z") == "$LATER"
    assert [(problem.line, problem.warning) for problem in document.problems] == [(4, True), (5, True)]


def test_a_list_cannot_be_substituted() -> None:
    document = parse("[g]\na[] = 1\nb = $a\n", "f")
    assert value(document, "g", "b") == "$a"
    assert document.problems[0].warning


def test_a_semicolon_after_a_value_belongs_to_it() -> None:
    assert value(parse("[g]\nmax = -1 ; unlimited\n", "f"), "g", "max") == "-1 ; unlimited"


def test_trailing_blanks_belong_to_the_value_and_leading_ones_do_not() -> None:
    assert value(parse("[g]\nk =   two words  \n", "f"), "g", "k") == "two words  "


def test_the_last_line_needs_no_newline() -> None:
    assert value(parse("[g]\nk = v", "f"), "g", "k") == "v"


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_values() -> None:
    document = parse(b"\xef\xbb\xbf[g]\r\nk = v\r\n", "f")
    assert value(document, "g", "k") == "v"
    assert document.problems == ()


def test_a_line_may_be_longer_than_todays_4095_bytes() -> None:
    assert value(parse(f"[g]\nk = {'x' * 100_000}\n", "f"), "g", "k") == "x" * 100_000


def test_a_later_duplicate_overwrites_and_brings_its_line() -> None:
    document = parse("[g]\nk = 1\n[other]\n[g]\nk = 2\n", "f")
    assert value(document, "g", "k") == "2"
    assert document.line("g", "k") == 5


def test_a_text_overwrites_a_list_and_a_list_a_text() -> None:
    document = parse("[g]\na[] = 1\na = 2\nb = 1\nb[] = 2\n", "f")
    assert value(document, "g", "a") == "2"
    assert value(document, "g", "b") == ("2",)


def test_a_group_may_have_blanks_inside_its_name_and_around_it() -> None:
    assert list(parse("[ two words ] \n", "f").groups) == ["two words"]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("[g]\nnonsense\n", 2, "neither a comment, nor [group], nor key = value: 'nonsense'"),
        ("[g]\n = 5\n", 2, "not the name of a key: ''"),
        ("[g]\nbad key = 5\n", 2, "not the name of a key: 'bad key'"),
        ("k = 5\n", 1, "the key 'k' stands above the first [group]"),
        ("[g\nk = 5\n", 1, "not the name of a group: '[g'"),
        ("[]\n", 1, "not the name of a group: '[]'"),
        ("[a/b]\n", 1, "not the name of a group: '[a/b]'"),
        ("[g]\nk[] = a]b\n", 2, "an item of a list cannot hold [ or ]: 'a]b'"),
        ("[g]\nk = a\0b\n", 2, "the line holds a NUL or bytes that are not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem_with_its_line(text: str, line: int, part: str) -> None:
    assert messages(text) == [f"f.conf:{line}: {part}"]


def test_bytes_that_are_not_utf_8_are_a_problem_of_their_line_alone() -> None:
    document = parse(b"[g]\na = 1\nb = \xff\nc = 3\n", "f.conf")
    assert [problem.line for problem in document.problems] == [3]
    assert value(document, "g", "b") is None
    assert value(document, "g", "c") == "3"


def test_a_comment_may_hold_any_bytes() -> None:
    assert parse(b"; \xe9t\xe9\n[g]\n", "f").problems == ()


def test_keys_below_a_broken_group_do_not_land_in_the_group_above() -> None:
    document = parse("[a]\nk = 1\n[b!\nk = 2\n", "f")
    assert value(document, "a", "k") == "1"


def test_all_problems_are_collected_in_the_order_of_their_lines() -> None:
    assert [problem.line for problem in parse("x\n[g]\ny\n[\nz = 1\n$\n", "f").problems] == [1, 3, 4, 6]


def test_a_message_shows_only_the_start_of_a_long_line() -> None:
    assert len(messages("x" * 1_000_000)[0]) < 200


def test_values_that_double_with_each_line_do_not_fill_the_memory() -> None:
    text = "[g]\nk0 = 0123456789\n" + "".join(f"k{i + 1} = $k{i}$k{i}\n" for i in range(200))
    document = parse(text, "f")
    sizes = [len(str(entry.value)) for entry in document.groups["g"].keys.values()]
    assert sum(sizes) < 2_000_000
    assert any("larger than can be meant" in problem.message for problem in document.problems)


@pytest.mark.parametrize(
    "text",
    ["[" + " " * 400_000, "[g]\n" + "a" * 400_000, "[g]\nk = " + "$" * 400_000, "[g]\n" + "=" * 400_000],
)
def test_a_hostile_line_costs_time_in_proportion_to_its_length(text: str) -> None:
    started = time.process_time()
    parse(text, "f")
    assert time.process_time() - started < 2  # quadratic would be minutes


def test_storable_is_unicode_without_nul() -> None:
    assert is_storable("été")
    assert not is_storable("a\0")
    assert not is_storable("a\udcff")


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)))
def test_no_input_raises_and_what_is_read_can_be_stored(text: str | bytes) -> None:
    document = parse(text, "f")
    lines = (text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text).count("\n") + 1
    for group in document.groups.values():
        for entry in group.keys.values():
            items = entry.value if isinstance(entry.value, tuple) else (entry.value,)
            assert all(is_storable(item) for item in items)
            assert all(1 <= line <= lines for line in entry.lines)
    assert all(1 <= problem.line <= lines for problem in document.problems)


PIECES = st.sampled_from(
    [
        "[",
        "]",
        "=",
        "[]",
        ";",
        "$",
        "$a",
        "a",
        "b.c",
        " ",
        "\t",
        "\r",
        "\n",
        "\0",
        "\udcff",
        "é",
        "[g]\n",
        "a = ",
    ]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_mixture_of_the_grammars_own_signs_raises(text: str) -> None:
    document = parse(text, "f")
    assert len(document.problems) <= text.count("\n") + 1 + text.count("$")


NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=8)
GROUPS = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_ ]{0,6}[A-Za-z0-9_])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\n\r\0$", exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: text == text.lstrip(" \t\v\f\r")
)
LISTS = st.lists(
    TEXTS.map(lambda text: text.replace("[", "").replace("]", "").lstrip(" \t\v\f\r")), min_size=1, max_size=4
)
DOCUMENTS = st.dictionaries(
    GROUPS, st.dictionaries(NAMES, st.one_of(TEXTS, LISTS.map(tuple)), max_size=5), max_size=4
)


def rendered(groups: dict[str, dict[str, str | tuple[str, ...]]]) -> str:
    lines = ["; written by a test"]
    for group, keys in groups.items():
        lines.append(f"[{group}]")
        for key, content in keys.items():
            items = [f"{key}[] = {item}" for item in content] if isinstance(content, tuple) else []
            lines += items or [f"{key} = {content}"]
    return "\n".join(lines)


@given(DOCUMENTS, st.sampled_from(["", "\n", "\r\n"]))
def test_what_was_written_is_what_is_read_each_key_with_its_line(
    groups: dict[str, dict[str, str | tuple[str, ...]]], end: str
) -> None:
    text = rendered(groups) + end
    document = parse(text, "f")
    assert document.problems == ()
    found = {
        name: {key: entry.value for key, entry in group.keys.items()}
        for name, group in document.groups.items()
    }
    assert found == groups
    lines = text.split("\n")
    for group in document.groups.values():
        for key, entry in group.keys.items():
            assert all(lines[line - 1].startswith(key) for line in entry.lines)
