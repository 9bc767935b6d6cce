"""The conversation without a process: every golden line, any cutting of the bytes, any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.lines import BUFFER_LIMIT, LINE_LIMIT
from workers.messages import (
    Bye,
    Close,
    Data,
    Email,
    FromAgent,
    GetSpecial,
    Heart,
    Heartbeat,
    ItemsProcessed,
    Malformed,
    Ready,
    Special,
    Text,
    ToAgent,
    Value,
    Verbose,
    Version,
    Violation,
)
from workers.protocol import NEED_DATA, Conversation, Dialect, ProtocolMisuse

GREETING = b"VERSION: 1.0\n\nOK\n"


def messages(conversation: Conversation, data: bytes, step: int = LINE_LIMIT) -> list[FromAgent]:
    """What the conversation says to bytes that arrive `step` at a time."""
    said: list[FromAgent] = []
    for start in range(0, len(data), step):
        conversation.receive(data[start : start + step])
        while (message := conversation.next_message()) is not NEED_DATA:
            said.append(message)
    return said


def greeted() -> Conversation:
    """Today's agent, waiting for data."""
    conversation = Conversation()
    messages(conversation, GREETING)
    return conversation


def pre_2_0() -> Conversation:
    """A pre-2.0 agent, waiting for data."""
    conversation = Conversation()
    messages(conversation, b"OK\n")
    return conversation


def single_lines(said: list[FromAgent]) -> list[FromAgent]:
    """Blocks of text as the lines they are made of."""
    return [
        one
        for message in said
        for one in (
            [Text(line) for line in message.text.split("\n")] if isinstance(message, Text) else [message]
        )
    ]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_whole_conversation_is_the_same_however_its_bytes_are_cut(step: int) -> None:
    data = GREETING + b"HEART: 5 1\nNOTICE main.c.12: half way\nOK\nHEART: 5 0\n\nBYE 0\n"
    assert messages(Conversation(), data, step) == [
        Version("1.0"),
        Ready(),
        Heart(5, True),
        Text("NOTICE main.c.12: half way"),
        Ready(),
        Heart(5, False),
        Bye(0),
    ]


def test_php_greeting_without_a_blank_line_is_a_greeting() -> None:
    conversation = Conversation()
    assert messages(conversation, b"VERSION: 4.5\nOK\n") == [Version("4.5"), Ready()]
    assert conversation.dialect is Dialect.CURRENT
    assert conversation.awaits_data


def test_bare_ok_as_the_first_line_is_the_pre_2_0_dialect() -> None:
    conversation = Conversation()
    assert messages(conversation, b"\n\r\nOK\r\n") == [Ready()]
    assert conversation.dialect is Dialect.PRE_2_0


@pytest.mark.parametrize(
    "first",
    [b"hello\n", b"VERSION:1.0\n", b"version: 1.0\n", b"OKAY\n", b"HEART: 1 1\n", b"BYE 0\n", b"@@@0\n"],
)
def test_any_other_first_line_is_a_violation_and_ends_the_conversation(first: bytes) -> None:
    conversation = Conversation()
    assert messages(conversation, first + GREETING) == [Violation(first.decode().strip())]
    assert conversation.ended
    assert messages(conversation, GREETING) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"BYE 0", Bye(0)),
        (b"BYE 9", Bye(9)),
        (b"BYE -1", Bye(255)),
        (b"BYE 256", Bye(0)),
        (b"BYE  +7 and more", Bye(7)),
        (b"BYE", Bye(0)),
        (b"BYEBYE", Bye(0)),
        (b"BYE nine", Bye(0)),
        (b"BYE " + b"9" * 50, Bye(255)),
        (b"OK", Ready()),
        (b"OKAY, go on", Ready()),
        (b"HEART: 5 1", Heart(5, True)),
        (b"HEART: 5 0", Heart(5, False)),
        (b"HEART: 77", Heart(77, None)),
        (b"HEART:\t77 \t1", Heart(77, True)),
        (b"HEART: 007 1", Heart(7, True)),
        (b"HEART: 2147483647 1", Heart(2147483647, True)),
        (b"HEART: 2147483648 1", Heart(2147483647, True)),
        (b"HEART: " + b"9" * 5000 + b" 1", Heart(2147483647, True)),
        (b"EMAIL all is well", Email("all is well")),
        (b"EMAIL \xff", Email("\\xff")),
        (b"EMAIL", Email("")),
        (b"SPECIAL: 1 1", Special(1, True)),
        (b"SPECIAL: 1 0", Special(1, False)),
        (b"GETSPECIAL: 8", GetSpecial(8)),
        (b"@@@1", Text("@@@1")),
        (b"@ anything", Text("@ anything")),
        (b"ERROR parse.c.7: no such file", Text("ERROR parse.c.7: no such file")),
        (b"VERSION: 1.0", Text("VERSION: 1.0")),
        (b"ItemsProcessed 5", Text("ItemsProcessed 5")),
        (b" OK", Text(" OK")),
        (b"bad \xc3\x28 bytes", Text("bad \\xc3( bytes")),
        (b"a NUL \0 here", Text("a NUL \\x00 here")),
    ],
)
def test_a_line_of_todays_agents_means(line: bytes, message: FromAgent) -> None:
    assert messages(greeted(), line + b"\n") == [message]


@pytest.mark.parametrize(
    "line", [b"HEART: x", b"HEART 5 1", b"HEARTY", b"SPECIAL: 1", b"SPECIAL", b"GETSPECIAL: ?"]
)
def test_a_line_that_only_begins_like_a_message_is_reported_and_changes_nothing(line: bytes) -> None:
    conversation = greeted()
    [first, then] = messages(conversation, line + b"\nHEART: 1 1\n")
    assert isinstance(first, Malformed)
    assert first.line == line.decode()
    assert then == Heart(1, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"OK", Ready()),
        (b"ItemsProcessed 12", ItemsProcessed(12)),
        (b"ItemsProcessed: 99999999999", ItemsProcessed(2147483647)),
        (b"ItemsProcessed many", Malformed("ItemsProcessed many", "expected a count")),
        (b"Heartbeat", Heartbeat()),
        (b"BYE 3", Text("BYE 3")),
        (b"HEART: 5 1", Text("HEART: 5 1")),
        (b"DB: select 1;", Text("DB: select 1;")),
        (b"Success", Text("Success")),
        (b"ECHO hello", Text("ECHO hello")),
    ],
)
def test_a_line_of_pre_2_0_agents_means(line: bytes, message: FromAgent) -> None:
    assert messages(pre_2_0(), line + b"\n") == [message]


def test_plain_lines_that_arrive_together_come_as_one_block_without_its_blank_lines() -> None:
    said = messages(greeted(), b"one\n\n\r\ntwo\r\nthree\nHEART: 1 1\nfour\nfi")
    assert said == [Text("one\ntwo\nthree"), Heart(1, True), Text("four")]


def test_a_line_that_never_ends_is_cut_and_loses_nothing() -> None:
    conversation = greeted()
    line = b"x" * (3 * LINE_LIMIT + 5)
    said = messages(conversation, line + b"\nOK\n")
    assert said == [*[Text("x" * LINE_LIMIT)] * 3, Text("x" * 5), Ready()]


def test_what_is_left_of_a_cut_line_is_text_even_if_it_looks_like_a_message() -> None:
    said = messages(greeted(), b"x" * LINE_LIMIT + b"BYE 9\nBYE 0\n")
    assert said == [Text("x" * LINE_LIMIT), Text("BYE 9"), Bye(0)]


def test_cutting_a_line_does_not_cut_a_character() -> None:
    text = "é" * LINE_LIMIT
    said = messages(greeted(), b"x" + text.encode() + b"\n")
    assert all(isinstance(message, Text) for message in said)
    assert "".join(message.text for message in said if isinstance(message, Text)) == "x" + text


def test_a_last_line_without_its_end_is_delivered_at_the_end_of_input() -> None:
    conversation = greeted()
    assert messages(conversation, b"OK\nBYE 3") == [Ready()]
    conversation.end_of_input()
    assert conversation.next_message() == Bye(3)
    assert conversation.next_message() is NEED_DATA


def test_nothing_is_heard_after_bye() -> None:
    conversation = greeted()
    assert messages(conversation, b"BYE 0\nOK\nBYE 9\n") == [Bye(0)]


def test_the_buffer_is_bounded() -> None:
    conversation = greeted()
    conversation.receive(b"x" * BUFFER_LIMIT)
    with pytest.raises(BufferError):
        conversation.receive(b"x")


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (Data("42"), b"42\nEND\n"),
        (Data(""), b"\nEND\n"),
        (Data("one\ntwo"), b"one\ntwo\nEND\n"),
        (Data("größe"), "größe\nEND\n".encode()),
        (Data("\ud800"), b"\\ud800\nEND\n"),
        (Close(), b"CLOSE\n"),
        (Verbose(3), b"VERBOSE 3\n"),
        (Value(True), b"VALUE: 1\n"),
        (Value(False), b"VALUE: 0\n"),
    ],
)
def test_todays_agents_are_sent(message: ToAgent, sent: bytes) -> None:
    assert greeted().send(message) == sent


def test_a_pre_2_0_agent_gets_its_line_and_nothing_else() -> None:
    conversation = pre_2_0()
    assert conversation.send(Data("pfile='7'")) == b"pfile='7'\n"


@pytest.mark.parametrize("message", [Close(), Verbose(1), Value(True), Data("two\nlines")])
def test_a_pre_2_0_agent_is_not_sent_what_it_does_not_know(message: ToAgent) -> None:
    with pytest.raises(ProtocolMisuse):
        pre_2_0().send(message)


@pytest.mark.parametrize("message", [Close(), Verbose(1), Value(True), Data("42")])
def test_nothing_is_sent_before_the_greeting(message: ToAgent) -> None:
    with pytest.raises(ProtocolMisuse):
        Conversation().send(message)


def test_one_ok_is_answered_by_data_once() -> None:
    conversation = greeted()
    conversation.send(Data("42"))
    with pytest.raises(ProtocolMisuse):
        conversation.send(Data("43"))
    messages(conversation, b"OK\n")
    assert conversation.send(Data("43")) == b"43\nEND\n"


def test_nothing_is_sent_after_bye() -> None:
    conversation = greeted()
    messages(conversation, b"BYE 0\n")
    with pytest.raises(ProtocolMisuse):
        conversation.send(Close())


LINES = st.sampled_from(
    [
        b"OK",
        b"HEART: 3 1",
        b"HEART: x",
        b"EMAIL a",
        b"SPECIAL: 1 1",
        b"GETSPECIAL: 1",
        b"text",
        b"\r",
        b"",
        b"O",
    ]
)
ANYTHING = st.one_of(LINES.map(lambda line: line + b"\n"), LINES, st.binary(max_size=20))


@given(st.lists(ANYTHING, max_size=30), st.integers(1, 50), st.sampled_from([GREETING, b"OK\n", b""]))
def test_any_bytes_mean_the_same_however_they_are_cut(parts: list[bytes], step: int, start: bytes) -> None:
    data = start + b"".join(parts)
    at_once, cut = Conversation(), Conversation()
    whole, pieces = messages(at_once, data), messages(cut, data, step)
    for conversation, said in ((at_once, whole), (cut, pieces)):
        conversation.end_of_input()
        while (message := conversation.next_message()) is not NEED_DATA:
            said.append(message)
    assert single_lines(whole) == single_lines(pieces)
    for message in whole:
        if isinstance(message, Text):
            message.text.encode()
            assert "\0" not in message.text


@given(st.integers(1, LINE_LIMIT), st.integers(0, 5), st.booleans())
def test_long_lines_are_cut_at_the_same_place_however_they_arrive(step: int, more: int, ended: bool) -> None:
    data = GREETING + b"x" * (LINE_LIMIT - 2) + b"OK" + b"y" * more + (b"\nOK\n" if ended else b"")
    assert messages(greeted(), data, step) == messages(greeted(), data)
