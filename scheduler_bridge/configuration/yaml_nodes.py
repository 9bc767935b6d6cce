"""YAML as a tree with line numbers, without anything that can hurt.

Built from the parser's events and not by `yaml.compose()`: its C form recurses without a bound (a file of
opening brackets ends the interpreter) and takes twice as long. Aliases, tags and second documents are
refused, depth and size are bounded. Scalars stay texts; `plain_value` reads one as JSON would, so `no` and
`12:30` stay words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.reader import Reader

from scheduler_bridge.configuration.grammar import is_storable
from scheduler_bridge.configuration.problem import Problem, shown

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_CHARACTERS = 64 * 1024 * 1024
MOST_NODES = 5_000_000
MOST_DEPTH = 50

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(slots=True)
class Scalar:
    """A text; `plain` where it was written without quotes."""

    text: str
    plain: bool
    line: int

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or `null`."""
        return self.plain and self.text in NULLS


@dataclass(slots=True)
class Items:
    """A sequence."""

    line: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Pairs:
    """A mapping; keys are texts and occur once."""

    line: int
    nodes: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)  # of the keys


Node = Scalar | Items | Pairs


def read_nodes(text: str | bytes, source: str) -> tuple[Node | None, list[Problem]]:
    """The one document of a file and what is wrong; never raises.

    None where the file is empty, or cannot be read to its end.
    """
    decoded = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    if len(decoded) > MOST_CHARACTERS:
        return None, [Problem(source, 0, f"is larger than {MOST_CHARACTERS} characters")]
    decoded = decoded.removeprefix("\ufeff")
    unreadable = Reader.NON_PRINTABLE.search(decoded)
    if unreadable:
        line = decoded.count("\n", 0, unreadable.start()) + 1
        return None, [Problem(source, line, "holds bytes that are not UTF-8, or control characters")]
    builder = _Builder(source)
    try:
        builder.build(yaml.parse(decoded, Loader=LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "cannot be read"
        builder.refuse(mark.line + 1 if mark else 0, f"is not YAML: {reason}")
        return None, builder.problems
    except _Stop:
        return None, builder.problems
    return builder.root, builder.problems


def plain_value(scalar: Scalar) -> str | int | float | bool | None:
    """What JSON would read: null, true, false and numbers where written without quotes, else the text.

    Raises ValueError for a number that is too large to be one.
    """
    if not scalar.plain:
        return scalar.text
    if scalar.text in NULLS:
        return None
    if scalar.text in {"true", "false"}:
        return scalar.text == "true"
    if not NUMBER.fullmatch(scalar.text):
        return scalar.text
    number = float(scalar.text)
    if math.isinf(number):
        raise ValueError(f"the number {shown(scalar.text)} is too large")
    return int(scalar.text) if INTEGER.fullmatch(scalar.text) else number


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


class _Stop(Exception):
    """What follows in the file is not read."""


class _Builder:
    """Takes events, holds the path of nodes that are still open."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.open: list[Items | Pairs] = []
        self.keys: list[Scalar | None] = []  # for each open node, the key that waits for its value
        self.nodes = 0
        self.documents = 0

    def build(self, events: Iterator[Event]) -> None:
        """Raises _Stop, and whatever the parser raises."""
        for event in events:
            self._take(event)

    def refuse(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.source, line, message))

    def _take(self, event: Event) -> None:
        match event:
            case ScalarEvent():
                line = _line(event)
                self._refuse_tag(event.tag, line)
                if event.style == '"' and not is_storable(event.value):  # only there are escapes read
                    self.refuse(line, "holds a NUL, which PostgreSQL cannot store")
                self._add(Scalar(event.value, event.implicit[0], line))
            case MappingStartEvent():
                self._enter(Pairs(_line(event)), event.tag)
            case SequenceStartEvent():
                self._enter(Items(_line(event)), event.tag)
            case MappingEndEvent() | SequenceEndEvent():
                self.open.pop()
                self.keys.pop()
            case AliasEvent():
                line = _line(event)
                self.refuse(line, "aliases (*name) are not read: write the value again")
                self._add(Scalar("", True, line))
            case DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    self.refuse(_line(event), "a second document (---) is not read")
                    raise _Stop

    def _enter(self, node: Items | Pairs, tag: str | None) -> None:
        self._refuse_tag(tag, node.line)
        self._add(node)
        self.open.append(node)
        self.keys.append(None)
        if len(self.open) > MOST_DEPTH:
            self.refuse(node.line, f"is nested more than {MOST_DEPTH} deep")
            raise _Stop

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            self.refuse(line, f"tags are not read: remove {shown(tag)}")

    def _add(self, node: Node) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self.refuse(node.line, f"holds more than {MOST_NODES} values")
            raise _Stop
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Items):
            parent.nodes.append(node)
        else:
            self._add_to_pairs(parent, node)

    def _add_to_pairs(self, parent: Pairs, node: Node) -> None:
        key = self.keys[-1]
        if key is not None:
            self.keys[-1] = None
            parent.nodes.setdefault(key.text, node)
            return
        if not isinstance(node, Scalar):
            self.refuse(node.line, "a key must be a text")
            node = Scalar("", True, node.line)
        elif node.text in parent.nodes:
            first = parent.lines[node.text]
            self.refuse(node.line, f"the key {shown(node.text)} was already given in line {first}")
        self.keys[-1] = node
        parent.lines.setdefault(node.text, node.line)
