"""YAML trees: lines, what is refused, and that nothing can hurt."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler_bridge.configuration import yaml_nodes
from scheduler_bridge.configuration.yaml_nodes import Items, Pairs, Scalar, plain_value, read_nodes


def problems(text: str | bytes) -> list[str]:
    return [str(problem) for problem in read_nodes(text, "s.yaml")[1]]


def test_every_node_and_key_knows_its_line() -> None:
    root, found = read_nodes("# a comment\na:\n  - x\n  - 'y'\nb: {c: 1}\n", "s.yaml")
    assert found == []
    assert isinstance(root, Pairs)
    assert root.lines == {"a": 2, "b": 5}
    assert root.nodes["a"] == Items(3, [Scalar("x", True, 3), Scalar("y", False, 4)])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "s.yaml:3: the key 'a' was already given in line 1"),
        ("a: &x 1\nb: *x\n", "s.yaml:2: aliases (*name) are not read: write the value again"),
        (
            "a: !!python/name:os.system x\n",
            "s.yaml:1: tags are not read: remove 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: a second document (---) is not read"),
        ("? [a]\n: 1\n", "s.yaml:1: a key must be a text"),
        ('a: "x\\0"\n', "s.yaml:1: holds a NUL, which PostgreSQL cannot store"),
        ("a: 1\n\x07", "s.yaml:2: holds bytes that are not UTF-8, or control characters"),
        ("a: 1\n b: 2\n", "s.yaml:2: is not YAML: mapping values are not allowed in this context"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_bytes_that_are_not_utf_8_are_named_with_their_line() -> None:
    assert problems(b"a: 1\n\nb: \xff\n") == [
        "s.yaml:3: holds bytes that are not UTF-8, or control characters"
    ]


def test_what_cannot_be_read_to_its_end_gives_no_tree() -> None:
    assert read_nodes("a: [", "s.yaml")[0] is None


def test_an_empty_file_is_nothing_and_no_problem() -> None:
    assert read_nodes("# only a comment\n", "s.yaml") == (None, [])


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{a: " * 100_000, "- " * 100_000, "&a [*a]", "[&a [], *a, *a]"]
)
def test_deep_or_circular_files_end_quickly_with_a_problem(text: str) -> None:
    started = time.process_time()
    assert problems(text)
    assert time.process_time() - started < 5


def test_a_file_that_is_too_large_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MOST_CHARACTERS", 10)
    assert problems("x" * 11) == ["s.yaml: is larger than 10 characters"]


def test_a_file_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MOST_NODES", 3)
    assert problems("[a,\nb,\nc]") == ["s.yaml:3: holds more than 3 values"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("no", "no"),
        ("True", "True"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0", 0),
        ("-7", -7),
        ("007", "007"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1.50", 1.5),
        ("-2e3", -2000.0),
        (".5", ".5"),
        (".inf", ".inf"),
        ("١", "١"),
    ],
)
def test_scalars_without_quotes_are_read_as_json_reads_them(text: str, value: object) -> None:
    found = plain_value(Scalar(text, True, 1))
    assert found == value
    assert type(found) is type(value)


def test_scalars_in_quotes_are_texts() -> None:
    assert plain_value(Scalar("5", False, 1)) == "5"


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 5000])
def test_numbers_that_are_too_large_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is too large"):
        plain_value(Scalar(text, True, 1))


SIGNS = st.sampled_from(
    [
        "a",
        ": ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "!t ",
        "'",
        '"',
        "\\",
        "|",
        ">",
        "#",
        "---",
        "%",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.lists(SIGNS, max_size=30).map("".join), st.text(max_size=60), st.binary(max_size=60)))
def test_no_input_raises(text: str | bytes) -> None:
    root, found = read_nodes(text, "s.yaml")
    assert root is None or isinstance(root, Scalar | Items | Pairs)
    assert all(problem.line >= 0 for problem in found)


@given(st.one_of(st.integers(-(10**300), 10**300), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_of_json_is_that_number(number: float) -> None:
    found = plain_value(Scalar(repr(number), True, 1))
    assert isinstance(found, int | float)
    assert math.isclose(found, number)
