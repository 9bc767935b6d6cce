"""Bytes become a command or an error reply, and never anything else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler_bridge.commands.grammar import (
    LONGEST_TEXT,
    READ_BYTES,
    Database,
    Invalid,
    Kill,
    Pause,
    Priority,
    Restart,
    Status,
    Verbose,
    parse,
)

WORDS = [
    "status",
    "kill",
    "pause",
    "restart",
    "priority",
    "verbose",
    "agents",
    "load",
    "stop",
    "die",
    "close",
]


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"database", Database()),
        (b"  dataBASE ", Database()),
        (b"status 31", Status(31)),
        (b"status 31abc", Status(31)),
        (b'status "31"', Status()),
        (b"pause\t31\r\n", Pause(31)),
        (b"restart -1", Restart(-1)),
        (b"priority 31 -20", Priority(31, -20)),
        (b'kill 31 "Killed by fossy"', Kill(31, "Killed by fossy")),
        (b'kill 31 "He said "no"" thanks', Kill(31, 'He said "no"')),
        (b'kill 31 "x"; drop table jobqueue; --"', Kill(31, 'x"; drop table jobqueue; --')),
        (b'kill 31 "one"\nkill 32 "two"', Kill(31, "one")),
        (b'kill 31 "two\r\nlines\x1b[2J"', Kill(31, "two  lines [2J")),
        ('kill 31 "Größe\u2028\u202e ok"'.encode(), Kill(31, "Größe   ok")),
        (b'kill 31 "Gr\xf6\xdfe"', Kill(31, "Gr??e")),
    ],
)
def test_a_command_is_read_as_todays_scheduler_reads_it(data: bytes, command: object) -> None:
    assert parse(data) == command


def test_verbose_takes_one_number_for_a_level_and_two_for_a_job_and_a_level() -> None:
    assert parse(b"verbose") == Verbose(None, None, b"verbose")
    assert parse(b"verbose 5") == Verbose(None, 5, b"verbose 5")
    assert parse(b"verbose 31 5") == Verbose(31, 5, b"verbose 31 5")


def test_a_text_of_blanks_is_no_reason_to_kill() -> None:
    assert parse(b'kill 31 " \n "') == Invalid(b'Invalid kill command: "kill 31 "   ""\n')


def test_a_text_is_cut_to_what_a_row_gets() -> None:
    command = parse(b'kill 31 "' + b"x" * 900 + b'"')
    assert command == Kill(31, "x" * LONGEST_TEXT)


def test_what_is_longer_than_one_read_is_cut_before_it_is_looked_at() -> None:
    assert isinstance(parse(b'kill 31 "' + b"x" * READ_BYTES + b'"'), Invalid)


def test_a_quoted_error_has_one_line() -> None:
    assert parse(b"foo\nend\n\x1b[2J") == Invalid(b'Invalid command: "foo end  [2j"\n')


@given(
    st.one_of(
        st.binary(max_size=1100),
        st.builds(
            lambda word, rest: word.encode() + rest,
            st.sampled_from(WORDS),
            st.lists(st.sampled_from([b" ", b"7", b"-", b'"', b"\n", b"\0", b"x", b"\xff", b"9" * 400])).map(
                b"".join
            ),
        ),
    )
)
@example(b"status " + b"9" * 5000)
def test_any_bytes_give_a_command_or_a_reply_of_one_line(data: bytes) -> None:
    parsed = parse(data)
    if isinstance(parsed, Invalid):
        assert parsed.reply.endswith(b"\n")
        assert parsed.reply.count(b"\n") == 1
        assert b"\0" not in parsed.reply
        assert b"nvalid" in parsed.reply
    if isinstance(parsed, Kill):
        assert parsed.text.isprintable()
        assert 0 < len(parsed.text) <= LONGEST_TEXT
