"""Stream files: what is read, and that every problem is named with its line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_bridge.errors import StreamError
from scheduler_bridge.stream_file import StreamFile, StreamJob, read_stream

EXAMPLE = """\
name: scan of foo
priority: 2
jobs:
  - agent: unpack
    args: /path/to/input
  - agent: nomos
    name: license
    cmd_args: "-v"
    needs: unpack
    host: scan-1
  - agent: report
    needs: [unpack, license]
    priority: 5
    args: {format: dep5, files: [a, 1, 1.5, true, null, no]}
"""


def read(text: str | bytes) -> StreamFile:
    return read_stream(text, "stream.yaml")


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(StreamError) as caught:
        read(text)
    return [line.removeprefix("stream.yaml:").strip() for line in str(caught.value).split("\n")]


def jobs(*lines: str) -> str:
    return "\n".join(["jobs:", *lines])


def test_a_stream_is_read_with_all_that_can_be_said_about_a_job() -> None:
    stream = read(EXAMPLE)
    assert (stream.source, stream.name, stream.priority) == ("stream.yaml", "scan of foo", 2)
    assert stream.jobs[0] == StreamJob("unpack", "unpack", "/path/to/input", "", (), None, 2, 4)
    assert stream.jobs[1] == StreamJob("nomos", "license", "", "-v", (0,), "scan-1", 2, 6)
    assert stream.jobs[2].needs == (0, 1)
    assert stream.jobs[2].priority == 5


def test_a_list_or_mapping_in_args_is_handed_on_as_json() -> None:
    assert json.loads(read(EXAMPLE).jobs[2].args) == {
        "format": "dep5",
        "files": ["a", 1, 1.5, True, None, "no"],
    }


@pytest.mark.parametrize(
    ("written", "args"),
    [
        ("5", "5"),
        ("no", "no"),
        ("0x1F", "0x1F"),
        ("'[1]'", "[1]"),
        ("~", ""),
        ("", ""),
        ("|\n    a\n    b\n", "a\nb\n"),
        ("[é]", '["é"]'),
        ("[END]", '["END"]'),
        ("END 1", "END 1"),
        ("the END", "the END"),
    ],
)
def test_a_text_in_args_is_taken_as_it_is_written(written: str, args: str) -> None:
    assert read(jobs("- agent: a", f"  args: {written}")).jobs[0].args == args


def test_jobs_of_another_priority_go_into_a_sibling_stream() -> None:
    assert read(EXAMPLE).siblings() == {2: (0, 1), 5: (2,)}


def test_a_priority_equal_to_the_streams_makes_no_sibling() -> None:
    text = jobs("- {agent: a, name: x, priority: 0}", "- {agent: a, name: y}")
    assert read(text).siblings() == {0: (0, 1)}


def test_a_stream_row_without_jobs_is_not_made() -> None:
    assert read("priority: 1\njobs: [{agent: a, priority: -3}]").siblings() == {-3: (0,)}


def test_the_order_has_prerequisites_first_and_is_otherwise_that_of_the_file() -> None:
    text = jobs("- {agent: c, needs: a}", "- {agent: b}", "- {agent: a}", "- {agent: d}")
    assert read(text).order == (1, 2, 0, 3)


def test_a_need_named_twice_counts_once() -> None:
    assert read(jobs("- agent: a", "- {agent: b, needs: [a, a]}")).jobs[1].needs == (0,)


def test_equal_names_are_allowed_where_nobody_needs_them() -> None:
    assert [job.name for job in read(jobs("- agent: a", "- agent: a")).jobs] == ["a", "a"]


def test_what_is_left_empty_counts_as_not_given() -> None:
    text = "name:\npriority:\njobs:\n- {agent: a, name: , args: , cmd_args: , needs: , host: '', priority: }"
    stream = read(text)
    assert stream.name is None
    assert stream.jobs[0] == StreamJob("a", "a", "", "", (), None, 0, 4)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            ["- agent: license", "- {agent: report, needs: licence}"],
            "3: job 'report' needs 'licence', which is not a job of this stream; did you mean 'license'?",
        ),
        (["- {agent: report, needs: [x]}"], "2: job 'report' needs 'x', which is not a job of this stream"),
        (
            ["- agent: a", "- agent: a", "- {agent: b,", "   needs: a}"],
            "5: job 'b' needs 'a', which is the name of 2 jobs (lines 2, 3): give each its own name",
        ),
        (["- {agent: a, needs: a}"], "2: job 'a' needs itself"),
        (
            [
                "- {agent: a, needs: c}",
                "- {agent: b, needs: a}",
                "- {agent: c, needs: b}",
                "- {agent: d, needs: c}",
            ],
            "2: a cycle: 'a' needs 'c' needs 'b' needs 'a'",
        ),
        (["- name: x"], "2: a job needs the key agent: the name of its agent type"),
        (["- agent: ~"], "2: a job needs the key agent: the name of its agent type"),
        (["- agent: [a]"], "2: agent must be a text"),
        (["- agent: a b"], "2: the name of an agent type has letters, digits and _ . - only, not 'a b'"),
        (["- agent: command"], "2: 'command' cannot be an agent type"),
        (
            ["- agent: a", "  args: END"],
            "3: args has the line END: agents would take it for an order of their worker's",
        ),
        (
            ["- agent: a", "  args: |", "    a", "    CLOSE", "    b"],
            "3: args has the line CLOSE: agents would take it for an order of their worker's",
        ),
        (
            ["- agent: a", "  args: VERBOSE 3"],
            "3: args has the line VERBOSE 3: agents would take it for an order of their worker's",
        ),
        (
            ["- agent: a", "  host: a/b"],
            "3: the name of a host has letters, digits and _ . - only, not 'a/b'",
        ),
        (
            ["- agent: a", "  priority: high"],
            "3: priority must be a whole number from -2147483648 to 2147483647",
        ),
        (
            ["- agent: a", "  priority: 2147483648"],
            "3: priority must be a whole number from -2147483648 to 2147483647",
        ),
        (
            ["- agent: a", "  priority: [1]"],
            "3: priority must be a whole number from -2147483648 to 2147483647",
        ),
        (["- agent: a", "  cmd_args: [-v]"], "3: cmd_args must be a text"),
        (["- agent: a", "  args: [1e999]"], "3: the number '1e999' is too large"),
        (["- agent: a", "  needs: {b: c}"], "3: needs must be the name of a job, or a list of names"),
        (["- agent: a", "  needs: [[b]]"], "3: needs must be the name of a job, or a list of names"),
        (["- agent: a", "  need: b"], "3: unknown key 'need'; did you mean 'needs'?"),
        (["- agent: a", "  agent: b"], "3: the key 'agent' was already given in line 2"),
        (["- unpack"], "2: a job has the keys agent, name, args, cmd_args, needs, host, priority"),
        (
            ["- agent: &a x", "- agent: y", "  name: *a"],
            "4: aliases (*name) are not read: write the value again",
        ),
    ],
)
def test_a_wrong_job_is_named_with_its_line(lines: list[str], problem: str) -> None:
    assert refused(jobs(*lines)) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty: a stream has a list of jobs"),
        ("[]", "1: a stream has the keys name, priority, jobs"),
        ("name: x", "1: jobs must be a list of at least one job"),
        ("name: x\njobs: []", "2: jobs must be a list of at least one job"),
        ("name: x\njobs: unpack", "2: jobs must be a list of at least one job"),
        ("name: [x]\njobs: [{agent: a}]", "1: name must be a text"),
        (
            "priority: x\njobs: [{agent: a}]",
            "1: priority must be a whole number from -2147483648 to 2147483647",
        ),
        ("user: x\njobs: [{agent: a}]", "1: unknown key 'user'; known are name, priority, jobs"),
        ("jobs:\n- [}", "2: is not YAML: did not find expected node content"),
        (b"jobs:\n- agent: \xff", "2: holds bytes that are not UTF-8, or control characters"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text: str | bytes, problem: str) -> None:
    assert refused(text) == [problem]


def test_all_problems_are_reported_at_once_in_the_order_of_lines() -> None:
    lines = ["- {agent: a, needs: b}", "- {agnt: b}", "- {agent: c, needs: c}", "- {agent: d, priority: x}"]
    text = "nmae: x\n" + jobs(*lines)
    assert [problem.split(":")[0] for problem in refused(text)] == ["1", "3", "4", "4", "5", "6"]


def test_two_cycles_are_both_named() -> None:
    text = jobs("- {agent: a, needs: b}", "- {agent: b, needs: a}", "- {agent: c, needs: c}")
    assert refused(text) == ["2: a cycle: 'a' needs 'b' needs 'a'", "4: job 'c' needs itself"]


def test_a_long_cycle_is_cut_in_its_message() -> None:
    lines = [f"- {{agent: a, name: j{n}, needs: j{(n + 1) % 50}}}" for n in range(50)]
    (problem,) = refused(jobs(*lines))
    assert problem.endswith("'j9' needs 40 more needs 'j0'")


def test_a_file_that_is_wrong_throughout_is_answered_with_a_hundred_lines_and_a_count() -> None:
    problems = refused(jobs(*[f"- {{agent: a, name: n{n}, needs: missing-{n}}}" for n in range(3000)]))
    assert len(problems) == 101
    assert problems[-1] == "... and 2900 more"


def fan(number: int) -> str:
    return f"- {{agent: license, name: job-{number}, args: /path/{number}, needs: unpack}}"


def line(number: int) -> str:
    return f"- {{agent: license, name: job-{number}, needs: {f'job-{number - 1}' if number else 'unpack'}}}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", [fan, line])
def test_twenty_thousand_jobs_are_read_in_a_few_seconds(shape: Callable[[int], str]) -> None:
    text = jobs("- agent: unpack", *[shape(number) for number in range(20_000)])
    started = time.process_time()
    stream = read(text)
    assert stream.order == tuple(range(20_001))
    assert time.process_time() - started < 10  # 1 s here; a cost that grows with the square would be minutes


NAMES = st.text("abcdef.-_", min_size=1, max_size=5)


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, object]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    drawn = []
    for position, name in enumerate(names):
        job: dict[str, object] = {"agent": draw(NAMES.filter(lambda text: text != "command")), "name": name}
        job["needs"] = sorted(draw(st.sets(st.sampled_from(names[:position])))) if position else []
        job["args"] = draw(
            st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]))
        )
        job["priority"] = draw(st.integers(-(2**31), 2**31 - 1))
        drawn.append(job)
    return draw(st.permutations(drawn))


@given(streams())
def test_what_a_program_writes_as_json_is_read_as_it_was_meant(written: list[dict[str, object]]) -> None:
    stream = read(json.dumps({"jobs": written}))
    for job, expected in zip(stream.jobs, written, strict=True):
        assert (job.agent, job.name, job.priority) == (
            expected["agent"],
            expected["name"],
            expected["priority"],
        )
        assert job.args == expected["args"]
        assert sorted(stream.jobs[position].name for position in job.needs) == expected["needs"]
    place = {position: index for index, position in enumerate(stream.order)}
    assert all(place[needed] < place[at] for at, job in enumerate(stream.jobs) for needed in job.needs)


PARTS = st.sampled_from(
    [
        "jobs:\n",
        "- agent: a\n",
        "  needs: ",
        "a\n",
        "[",
        "]",
        "{",
        "}",
        "b: ",
        "name: ",
        "  priority: ",
        "1\n",
        "- ",
        "'",
        ",",
    ]
)


@given(st.lists(PARTS, max_size=25).map("".join))
def test_any_text_is_a_stream_or_a_stream_error(text: str) -> None:
    try:
        assert read(text).jobs
    except StreamError as error:
        assert str(error).startswith("stream.yaml:")
