"""The conversation an agent gets from the helper."""

from __future__ import annotations

import io

import pytest

from workers.agents.helper import AgentError, Conversation, Start, Task


def talk(heard: bytes = b"") -> tuple[Conversation, io.BytesIO]:
    said = io.BytesIO()
    return Conversation("toy", io.BytesIO(heard), said), said


def test_the_data_are_the_lines_up_to_end() -> None:
    conversation, _ = talk(b"one\ntwo\nEND\nCLOSE\n")
    assert conversation.next_data() == "one\ntwo"
    assert conversation.next_data() is None


def test_an_empty_line_is_data() -> None:
    conversation, _ = talk(b"\nEND\n")
    assert conversation.next_data() == ""


def test_close_at_once_is_no_work() -> None:
    conversation, _ = talk(b"CLOSE\n")
    assert conversation.next_data() is None


def test_what_was_said_before_the_pipe_ended_is_still_data() -> None:
    conversation, _ = talk(b"data")
    assert conversation.next_data() == "data"
    assert conversation.next_data() is None


def test_bytes_that_are_no_text_survive() -> None:
    conversation, _ = talk(b"/caf\xe9\nEND\n")
    assert (conversation.next_data() or "").encode("utf-8", "surrogateescape") == b"/caf\xe9"


def test_the_verbosity_is_no_data() -> None:
    conversation, _ = talk(b"VERBOSE 3\n42\nEND\n")
    assert conversation.next_data() == "42"
    assert conversation.verbosity == 3


def test_heartbeats_within_a_second_are_one() -> None:
    conversation, said = talk()
    for number in range(100):
        conversation.heart(number)
    assert said.getvalue() == b"HEART: 0 1\n"
    assert conversation.items == 99


def test_a_sign_of_life_keeps_the_count() -> None:
    conversation, said = talk()
    conversation.items = 7
    conversation.heart(None)
    assert said.getvalue() == b"HEART: 7 1\n"


@pytest.mark.parametrize(
    "text", ["x\nBYE 0", "x\r\nOK", "\x1b[2J", "@@@1", "BYE 0", "x" * 5000, "caf\udce9", "é" * 800]
)
def test_no_text_can_pass_for_a_message(text: str) -> None:
    conversation, said = talk()
    conversation.say("WARNING", text)
    lines = said.getvalue().split(b"\n")
    assert len(lines) == 2
    assert lines[0].startswith(b"WARNING toy: ")
    assert len(lines[0]) < 1023
    assert b"\x1b" not in lines[0]


def test_debugging_is_told_only_to_who_asked() -> None:
    conversation, said = talk()
    task = Task(Start.read([]), "", conversation)
    task.debug("a")
    conversation.verbosity = 1
    task.debug("b")
    assert said.getvalue() == b"DEBUG toy: b\n"


def test_the_command_line_of_a_scheduler_is_understood() -> None:
    start = Start.read(
        [
            "-x",
            "--jobId=12",
            "--config=/etc/f",
            "--userID=3",
            "--groupID=4",
            "--scheduler_start",
            "--max-bytes=9",
        ]
    )
    assert (start.stream, start.user, start.group, start.config) == (12, 3, 4, "/etc/f")
    assert start.by_scheduler
    assert start.arguments == ("-x", "--max-bytes=9")


def test_a_stream_that_is_no_number_is_named() -> None:
    with pytest.raises(AgentError, match="jobId"):
        Start.read(["--jobId=x"])


def test_without_a_database_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(AgentError, match="DATABASE_URL"):
        _ = Task(Start.read([]), "", None).connection
