"""A job stream as a YAML file, for whoever has no program that inserts rows.

    name: scan of foo
    priority: 0
    jobs:
      - agent: unpack
        args: /path/to/input
      - agent: license
        needs: unpack

Every problem of a file is reported at once, with its line. Texts are taken as they are written (`no` is a
word, not false); only a list or a mapping in `args` is read as JSON would be, and handed on as JSON.

A priority is a column of the stream's row, not of the job's. So jobs of another priority than their stream's
go into a sibling stream row of that priority (`StreamFile.siblings`); dependencies may cross streams.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from scheduler_bridge.configuration.grammar import KEY_NAME
from scheduler_bridge.configuration.ordering import in_order
from scheduler_bridge.configuration.problem import Problem, listing, shown
from scheduler_bridge.configuration.suggestion import did_you_mean
from scheduler_bridge.configuration.yaml_nodes import (
    INTEGER,
    Items,
    Node,
    Pairs,
    Scalar,
    plain_value,
    read_nodes,
)
from scheduler_bridge.errors import StreamError

STREAM_KEYS = ("name", "priority", "jobs")
JOB_KEYS = ("agent", "name", "args", "cmd_args", "needs", "host", "priority")
LOWEST, HIGHEST = -(2**31), 2**31 - 1  # job_priority is an int4
MOST_SUGGESTIONS = 20  # each compares one name with all others
CONTROL_LINE = re.compile(
    r"END|CLOSE|VERBOSE \d+"
)  # what workers say to agents; data are told apart by nothing else
MOST_NAMED = 10  # jobs of a cycle in its message


@dataclass(frozen=True, slots=True)
class StreamJob:
    """One job of a stream file."""

    agent: str  # jq_type
    name: str  # the agent's where none is given; need not be unique unless it is needed
    args: str  # jq_args; a list or mapping as JSON
    cmd_args: str  # jq_cmd_args
    needs: tuple[int, ...]  # positions in `StreamFile.jobs`, each once
    host: str | None  # jq_host; None: any
    priority: int  # job_priority of the stream row it goes to; higher first
    line: int  # where it starts


@dataclass(frozen=True, slots=True)
class StreamFile:
    """A stream that can be submitted: names are resolved, there is no cycle."""

    source: str
    name: str | None
    priority: int
    jobs: tuple[StreamJob, ...]  # as in the file
    order: tuple[int, ...]  # all positions, prerequisites first, otherwise as in the file

    def siblings(self) -> dict[int, tuple[int, ...]]:
        """The stream rows to make: priority -> positions of its jobs in `order`; the stream's own first."""
        rows: dict[int, list[int]] = {self.priority: []}
        for position in self.order:
            rows.setdefault(self.jobs[position].priority, []).append(position)
        return {priority: tuple(positions) for priority, positions in rows.items() if positions}


def read_stream(text: str | bytes, source: str) -> StreamFile:
    """Read one stream file; raises StreamError with every problem and its line."""
    root, problems = read_nodes(text, source)
    if root is None and not problems:
        problems.append(Problem(source, 0, "is empty: a stream has a list of jobs"))
    stream = _Reading(source, problems).stream(root) if root is not None else None
    if stream is None or problems:
        raise StreamError(listing(problems))
    return stream


@dataclass(frozen=True, slots=True)
class _Need:
    """A name in `needs`."""

    name: str
    line: int


class _Reading:
    """Turns the tree of one file into values; for a wrong one a problem is noted and a default stands in."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        self.suggestions = 0

    def stream(self, root: Node) -> StreamFile | None:
        if not isinstance(root, Pairs):
            self._refuse(root.line, f"a stream has the keys {', '.join(STREAM_KEYS)}")
            return None
        self._refuse_unknown_keys(root, STREAM_KEYS)
        priority = self._priority(root, 0)
        name = self._text(root, "name") or None
        nodes = self._job_nodes(root)
        jobs = [self._job(node, priority) for node in nodes]
        wanted = [self._wanted(node) for node in nodes]
        positions = self._positions(jobs, wanted)
        order, cycles = in_order(positions)
        for cycle in cycles:
            self._refuse_cycle([jobs[position] for position in cycle])
        resolved = tuple(replace(job, needs=needs) for job, needs in zip(jobs, positions, strict=True))
        return StreamFile(self.source, name, priority, resolved, order)

    def _refuse(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.source, line, message))

    def _suggest(self, word: str, known: Iterable[str]) -> str:
        self.suggestions += 1
        return did_you_mean(word, known) if self.suggestions <= MOST_SUGGESTIONS else ""

    def _refuse_unknown_keys(self, pairs: Pairs, known: tuple[str, ...]) -> None:
        for key in pairs.nodes:
            if key not in known:
                hint = self._suggest(key, known) or f"; known are {', '.join(known)}"
                self._refuse(pairs.lines[key], f"unknown key {shown(key)}{hint}")

    def _job_nodes(self, root: Pairs) -> list[Pairs]:
        node = root.nodes.get("jobs")
        if not isinstance(node, Items) or not node.nodes:
            self._refuse(root.lines.get("jobs", root.line), "jobs must be a list of at least one job")
            return []
        for item in node.nodes:
            if not isinstance(item, Pairs):
                self._refuse(item.line, f"a job has the keys {', '.join(JOB_KEYS)}")
        return [item for item in node.nodes if isinstance(item, Pairs)]

    def _job(self, node: Pairs, priority: int) -> StreamJob:
        self._refuse_unknown_keys(node, JOB_KEYS)
        agent = self._text(node, "agent")
        if agent is not None:
            self._check_agent(node, agent)
        elif "agent" not in node.nodes or _is_null(node.nodes["agent"]):
            self._refuse(node.line, "a job needs the key agent: the name of its agent type")
        return StreamJob(
            agent=agent or "",
            name=self._text(node, "name") or agent or "",
            args=self._args(node),
            cmd_args=self._text(node, "cmd_args") or "",
            needs=(),
            host=self._host(node),
            priority=self._priority(node, priority),
            line=node.line,
        )

    def _check_agent(self, node: Pairs, agent: str) -> None:
        if not KEY_NAME.fullmatch(agent):
            message = f"the name of an agent type has letters, digits and _ . - only, not {shown(agent)}"
            self._refuse(node.nodes["agent"].line, message)
        elif agent == "command":  # jq_type of orders to schedulers of old; every scheduler passes over it
            self._refuse(node.nodes["agent"].line, "'command' cannot be an agent type")

    def _text(self, pairs: Pairs, key: str) -> str | None:
        node = pairs.nodes.get(key)
        if node is None or _is_null(node):
            return None
        if isinstance(node, Scalar):
            return node.text
        self._refuse(node.line, f"{key} must be a text")
        return None

    def _host(self, node: Pairs) -> str | None:
        host = self._text(node, "host") or None
        if host is not None and not KEY_NAME.fullmatch(host):
            message = f"the name of a host has letters, digits and _ . - only, not {shown(host)}"
            self._refuse(node.nodes["host"].line, message)
        return host

    def _priority(self, pairs: Pairs, default: int) -> int:
        node = pairs.nodes.get("priority")
        if node is None or _is_null(node):
            return default
        if isinstance(node, Scalar) and INTEGER.fullmatch(node.text) and len(node.text) <= len(str(LOWEST)):
            number = int(node.text)
            if LOWEST <= number <= HIGHEST:
                return number
        self._refuse(node.line, f"priority must be a whole number from {LOWEST} to {HIGHEST}")
        return default

    def _args(self, node: Pairs) -> str:
        value = node.nodes.get("args")
        if value is None or isinstance(value, Scalar):
            text = self._text(node, "args") or ""
            for line in filter(CONTROL_LINE.fullmatch, text.split("\n")):
                message = f"args has the line {line}: agents would take it for an order of their worker's"
                self._refuse(node.nodes["args"].line, message)
            return text
        return json.dumps(self._json(value), ensure_ascii=False)

    def _json(self, node: Node) -> object:
        """Recursion is bounded by the depth `read_nodes` allows."""
        match node:
            case Pairs():
                return {key: self._json(value) for key, value in node.nodes.items()}
            case Items():
                return [self._json(item) for item in node.nodes]
        try:
            return plain_value(node)
        except ValueError as error:
            self._refuse(node.line, str(error))
            return None

    def _wanted(self, node: Pairs) -> list[_Need]:
        value = node.nodes.get("needs")
        if value is None or _is_null(value):
            return []
        items = value.nodes if isinstance(value, Items) else [value]
        wanted = []
        for item in items:
            if isinstance(item, Scalar) and not _is_null(item):
                wanted.append(_Need(item.text, item.line))
            else:
                self._refuse(item.line, "needs must be the name of a job, or a list of names")
        return wanted

    def _positions(self, jobs: list[StreamJob], wanted: list[list[_Need]]) -> list[tuple[int, ...]]:
        """What each job needs, as positions; each once."""
        named: dict[str, list[int]] = {}
        for position, job in enumerate(jobs):
            named.setdefault(job.name, []).append(position)
        needed: list[tuple[int, ...]] = []
        for job, needs in zip(jobs, wanted, strict=True):
            found = [named.get(need.name, []) for need in needs]
            for need, candidates in zip(needs, found, strict=True):
                if len(candidates) != 1:
                    lines = [jobs[position].line for position in candidates]
                    self._refuse(need.line, self._not_one(job, need, lines, named))
            needed.append(tuple(dict.fromkeys(one[0] for one in found if len(one) == 1)))
        return needed

    def _not_one(self, job: StreamJob, need: _Need, lines: list[int], names: Iterable[str]) -> str:
        start = f"job {shown(job.name)} needs {shown(need.name)}, which is"
        if not lines:
            return f"{start} not a job of this stream{self._suggest(need.name, names)}"
        places = ", ".join(map(str, lines[:MOST_NAMED])) + (" ..." if len(lines) > MOST_NAMED else "")
        return f"{start} the name of {len(lines)} jobs (lines {places}): give each its own name"

    def _refuse_cycle(self, cycle: list[StreamJob]) -> None:
        if len(cycle) == 1:
            self._refuse(cycle[0].line, f"job {shown(cycle[0].name)} needs itself")
            return
        names = [shown(job.name) for job in cycle[:MOST_NAMED]]
        if len(cycle) > MOST_NAMED:
            names.append(f"{len(cycle) - MOST_NAMED} more")
        self._refuse(cycle[0].line, f"a cycle: {' needs '.join([*names, names[0]])}")


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null
