"""Hosts of `fossology.conf`."""

from __future__ import annotations

import pytest

from scheduler_bridge.configuration.grammar import parse
from scheduler_bridge.configuration.hosts import read_hosts
from scheduler_bridge.configuration.reader import Reader
from scheduler_bridge.model.agents import Host


def read(*lines: str) -> tuple[dict[str, Host], list[str]]:
    reader = Reader(parse("\n".join(["[HOSTS]", *lines]), "fossology.conf"))
    return read_hosts(reader), [str(problem) for problem in reader.problems]


def test_the_shipped_host_has_ten_slots() -> None:
    assert read("localhost = localhost /usr/local/etc/fossology 10") == (
        {"localhost": Host("localhost", 10, "localhost")},
        [],
    )


def test_hosts_are_in_the_order_of_their_names_not_of_their_lines() -> None:
    hosts, _ = read("b = b.example /etc/f 2", "a = a.example /etc/f 1")
    assert list(hosts) == ["a", "b"]


def test_a_missing_max_is_that_of_the_host_before_in_the_order_of_names() -> None:
    hosts, problems = read("c = c /etc/f", "b = b /etc/f", "a = a /etc/f 4", "d = d /etc/f 8")
    assert problems == []
    assert {name: host.slots for name, host in hosts.items()} == {"a": 4, "b": 4, "c": 4, "d": 8}


def test_a_host_may_have_no_slots() -> None:
    assert read("a = a /etc/f 0")[0]["a"].slots == 0


def test_without_the_group_there_is_no_host() -> None:
    reader = Reader(parse("[FOSSOLOGY]\n", "f"))
    assert read_hosts(reader) == {}
    assert reader.problems == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a = a", "the host a must be written 'a = address agent_dir max'"),
        ("a =", "the host a must be written 'a = address agent_dir max'"),
        ("a[] = a /etc/f 3", "the host a is one value, not a list: write a = ..."),
        ("a = a /etc/f", "the host a has no max and none stands before it to inherit from"),
        ("a = a /etc/f many", "the max of the host a must be a whole number, not 'many'"),
        ("a = a /etc/f -1", "the max of the host a must be from 0 to 10000"),
        ("a = a /etc/f 99999", "the max of the host a must be from 0 to 10000"),
    ],
)
def test_a_wrong_host_is_left_out_with_its_line_and_the_others_stay(line: str, message: str) -> None:
    hosts, problems = read(line, "b = b /etc/f 2")
    assert list(hosts) == ["b"]
    assert problems == [f"fossology.conf:2: {message}"]


def test_what_follows_the_max_is_ignored_with_a_warning() -> None:
    hosts, problems = read("a = a /etc/f 5 fast")
    assert hosts["a"].slots == 5
    assert problems == ["fossology.conf:2: warning: the host a: what follows the max is ignored"]
