"""Text for people: durations, and the place where two parts of an output meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.text import clean, continuation, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_text_is_cut_to_a_width_and_has_no_control_characters() -> None:
    assert clean("ä\t\x00\x9b\u202e") == "ä\\t\\x00\\x9b\\u202e"
    assert clean("abcdefgh", 6) == "abc..."


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 200))
def test_what_is_on_the_screen_always_ends_with_the_output(first: bytes, more: bytes, kept: int) -> None:
    printed, tail = first[-kept:], (first + more)[-kept:]
    assert (printed + continuation(printed, tail)).endswith(tail)


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=300))
def test_of_an_output_that_is_kept_whole_only_the_new_is_printed(first: bytes, more: bytes) -> None:
    assert continuation(first, first + more) == more


def test_new_output_is_found_behind_what_was_dropped_at_the_front() -> None:
    before = bytes(range(256)) * 1024
    after = (before + b"new lines\n")[-len(before) :]
    assert continuation(before, after) == b"new lines\n"
    assert continuation(b"", b"first") == b"first"
    assert continuation(b"abc", b"abcdef") == b"def"
    assert continuation(b"abc", b"something else") == b"something else"
