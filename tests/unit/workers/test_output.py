"""The last part of an agent's output."""

from __future__ import annotations

from workers.output import KEPT_BYTES, Output


def test_lines_are_kept_in_order_and_the_version_tells_of_each() -> None:
    output = Output()
    output.add("one")
    assert output.version == 1
    output.add("two\nthree")
    assert output.version == 2
    assert output.last() == b"one\ntwo\nthree\n"


def test_only_the_last_part_is_kept_and_it_begins_with_a_whole_line() -> None:
    output = Output()
    for number in range(100_000):
        output.add(f"line {number}")
    last = output.last()
    assert KEPT_BYTES - 20 < len(last) <= KEPT_BYTES
    assert last.startswith(b"line ")
    assert last.endswith(b"line 99998\nline 99999\n")


def test_memory_is_bounded_whatever_is_added() -> None:
    output = Output()
    for _ in range(1000):
        output.add("x" * 65536)
    assert output._bytes < KEPT_BYTES + 2 * 65537


def test_one_long_line_is_cut_at_a_character() -> None:
    output = Output()
    output.add("é" * KEPT_BYTES)
    last = output.last()
    assert 0 < len(last) <= KEPT_BYTES
    assert set(last.decode()) == {"é", "\n"}


def test_output_is_always_utf_8() -> None:
    output = Output()
    output.add("\udcff")
    assert output.last().decode() == "\\udcff\n"
