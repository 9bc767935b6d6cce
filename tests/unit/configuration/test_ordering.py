"""Order of things that need each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.configuration.ordering import in_order


def test_an_order_that_is_possible_is_kept() -> None:
    assert in_order([(), (0,), (0,), (1, 2)]) == ((0, 1, 2, 3), ())


def test_what_is_needed_comes_first() -> None:
    assert in_order([(2,), (0,), ()]) == ((2, 0, 1), ())


def test_a_cycle_is_named_in_its_direction_and_what_waits_for_it_is_not_part_of_it() -> None:
    order, cycles = in_order([(1,), (2,), (0,), (0,), ()])
    assert order == (4,)
    assert cycles == ((0, 1, 2),)


def test_two_cycles_are_both_named() -> None:
    assert in_order([(0,), (2,), (1,)])[1] == ((0,), (1, 2))


GRAPHS = st.integers(0, 8).flatmap(
    lambda size: st.tuples(
        *[st.sets(st.integers(0, max(size - 1, 0))).map(sorted).map(tuple) for _ in range(size)]
    )
)


@given(GRAPHS)
def test_each_is_ordered_after_its_needs_or_a_true_cycle_is_named(needs: tuple[tuple[int, ...], ...]) -> None:
    order, cycles = in_order(needs)
    place = {position: index for index, position in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[needed] < place[position] for position in order for needed in needs[position])
    assert bool(cycles) == (len(order) < len(needs))
    for cycle in cycles:
        following = cycle[1:] + cycle[:1]
        assert all(after in needs[before] for before, after in zip(cycle, following, strict=True))
