"""The grammar of FOSSology's `.conf` and `VERSION` files.

    ; a comment takes the whole line, there are no inline comments
    [group]
    key = value, the rest of the line with its trailing blanks; $NAME is the value of NAME above in this group
    key[] = one item of a list

Nothing raises: a line that cannot be read is a `Problem` and the rest of the file counts. Differences from
today's reader, all towards reading more: lines of any length, a last line without newline, CRLF, a byte order
mark. A `$NAME` that names nothing stays as it is, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from scheduler_bridge.configuration.problem import Problem, shown

BLANKS = " \t\v\f\r"
MOST_SUBSTITUTED = 1_000_000  # characters a document; twenty lines `b = $a$a` would fill the memory otherwise

GROUP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ \t]*")
KEY_NAME = re.compile(r"[A-Za-z0-9_.-]+")
REFERENCE = re.compile(r"\$([A-Za-z0-9_.-]+)")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key holds."""

    value: str | tuple[str, ...]  # a tuple where the key was written `key[] =`
    lines: tuple[int, ...]  # from 1; one for a text, one for each item of a list

    @property
    def line(self) -> int:
        """Where the value was written last."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True)
class Group:
    """The keys below one `[group]`; a group that is opened twice is one group."""

    line: int  # of its first header
    keys: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Document:
    """A file that has been read, as far as it could be."""

    source: str
    groups: Mapping[str, Group]
    problems: tuple[Problem, ...]  # in the order of their lines

    def entry(self, group: str, key: str) -> Entry | None:
        """What `key` of `group` holds, None where either is missing."""
        found = self.groups.get(group)
        return found.keys.get(key) if found else None

    def line(self, group: str, key: str) -> int:
        """The line of a key, else of its group, else 0."""
        entry = self.entry(group, key)
        if entry:
            return entry.line
        return self.groups[group].line if group in self.groups else 0


def parse(text: str | bytes, source: str) -> Document:
    """Read one file; bytes are UTF-8, and a line that is not (other than a comment) is a problem."""
    decoded = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    reading = _Reading(source)
    for number, line in enumerate(decoded.removeprefix("\ufeff").split("\n"), start=1):
        reading.take(number, line.removesuffix("\r"))
    return reading.document()


def is_storable(text: str) -> bool:
    """Whether PostgreSQL and a command line can hold it: Unicode, no bytes that failed to decode, no NUL."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


@dataclass(slots=True)
class _Keys:
    """A group while it is read; lists grow."""

    line: int
    texts: dict[str, Entry] = field(default_factory=dict)
    lists: dict[str, tuple[list[str], list[int]]] = field(default_factory=dict)

    def finished(self) -> Group:
        lists = {key: Entry(tuple(items), tuple(lines)) for key, (items, lines) in self.lists.items()}
        return Group(self.line, MappingProxyType(self.texts | lists))


class _Reading:
    """Takes the lines of one file in their order."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.groups: dict[str, _Keys] = {}
        self.current: _Keys | None = None
        self.problems: list[Problem] = []
        self.substituted = 0  # characters so far

    def document(self) -> Document:
        groups = {name: keys.finished() for name, keys in self.groups.items()}
        return Document(self.source, MappingProxyType(groups), tuple(self.problems))

    def take(self, number: int, line: str) -> None:
        content = line.lstrip(BLANKS)
        if not content or content.startswith(";"):
            return
        if not is_storable(content):
            self._refuse(number, "the line holds a NUL or bytes that are not UTF-8")
        elif content.startswith("["):
            self._open_group(number, content.rstrip(BLANKS))
        elif "=" in content:
            self._set(number, content)
        else:
            self._refuse(number, f"neither a comment, nor [group], nor key = value: {shown(content)}")

    def _open_group(self, number: int, header: str) -> None:
        name = header[1:-1].strip(BLANKS)
        if header.endswith("]") and GROUP_NAME.fullmatch(name):
            self.current = self.groups.setdefault(name, _Keys(number))
            return
        self._refuse(number, f"not the name of a group: {shown(header)}")
        self.current = _Keys(number)  # its keys must not land in the group above

    def _set(self, number: int, content: str) -> None:
        left, _, right = content.partition("=")
        key, value = left.rstrip(BLANKS), right.lstrip(BLANKS)
        name = key.removesuffix("[]").rstrip(BLANKS)
        if not KEY_NAME.fullmatch(name):
            self._refuse(number, f"not the name of a key: {shown(key)}")
        elif self.current is None:
            self._refuse(number, f"the key {name!r} stands above the first [group]")
        elif key.endswith("[]"):
            self._append(self.current, name, self._substitute(number, self.current, value), number)
        else:
            self.current.lists.pop(name, None)
            self.current.texts[name] = Entry(self._substitute(number, self.current, value), (number,))

    def _append(self, keys: _Keys, name: str, item: str, number: int) -> None:
        if "[" in item or "]" in item:
            self._refuse(number, f"an item of a list cannot hold [ or ]: {shown(item)}")
            return
        keys.texts.pop(name, None)
        items, lines = keys.lists.setdefault(name, ([], []))
        items.append(item)
        lines.append(number)

    def _substitute(self, number: int, keys: _Keys, value: str) -> str:
        if "$" not in value:
            return value
        return REFERENCE.sub(lambda found: self._referenced(number, keys, found[1]), value)

    def _referenced(self, number: int, keys: _Keys, written: str) -> str:
        """`$PREFIX-old` means PREFIX-old where there is such a key, else PREFIX."""
        plain = PLAIN_NAME.match(written)
        for name in (written, plain[0] if plain else written):
            entry = keys.texts.get(name)
            if entry is not None:
                return self._within_budget(number, str(entry.value), written) + written[len(name) :]
        self._warn(number, f"no key above in this group is called {written!r}; the text stays as it is")
        return "$" + written

    def _within_budget(self, number: int, text: str, written: str) -> str:
        if self.substituted + len(text) > MOST_SUBSTITUTED:
            self._refuse(number, f"substituting ${written} makes the file larger than can be meant")
            return ""
        self.substituted += len(text)
        return text

    def _refuse(self, number: int, message: str) -> None:
        self.problems.append(Problem(self.source, number, message))

    def _warn(self, number: int, message: str) -> None:
        self.problems.append(Problem(self.source, number, message, warning=True))
