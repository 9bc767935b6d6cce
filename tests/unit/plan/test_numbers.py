"""Job numbers as text."""

from __future__ import annotations

from scheduler_bridge.plan.numbers import listed


def test_no_numbers_are_no_text() -> None:
    assert listed(()) == ""


def test_up_to_ten_numbers_are_all_shown_in_the_given_order() -> None:
    assert listed((12, 15, 3)) == "12, 15, 3"
    assert listed(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"


def test_of_more_than_ten_the_first_ten_and_the_count_are_shown() -> None:
    assert listed(range(1_234)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (1,234 jobs)"


def test_the_separator_can_be_chosen() -> None:
    assert listed(range(11), separator=" -> ").endswith("8 -> 9 -> ... (11 jobs)")
