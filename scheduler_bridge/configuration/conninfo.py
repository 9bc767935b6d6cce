"""FOSSology's `Db.conf`: lines `key=value;`, from which a connection string of libpq is made.

Today both readers of the file turn each `;` into a blank and hand the rest to libpq; so a value with blanks
or a `;` stands between single quotes, and a quote or backslash in it follows a backslash. No message shows a
value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scheduler_bridge.configuration.grammar import is_storable
from scheduler_bridge.configuration.masking import HARMLESS, MASK
from scheduler_bridge.configuration.problem import Problem

PAIR = re.compile(
    r"""[ \t\r]*(?P<key>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
        (?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^'\\;\s]|\\.)(?:[^\\;\s]|\\.)*|))
        (?:[ \t\r]*;|[ \t\r]|$)[;\s]*""",
    re.VERBOSE,
)
ESCAPED = re.compile(r"\\(.)")
NEEDS_QUOTES = re.compile(r"[\s'\\;]")


@dataclass(frozen=True, slots=True)
class Conninfo:
    """How to reach a PostgreSQL server; only `text` holds the password in clear."""

    pairs: tuple[tuple[str, str], ...] = field(repr=False)  # keyword and value, each keyword once

    @property
    def text(self) -> str:
        """The connection string for libpq."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in self.pairs)

    def __str__(self) -> str:
        shown = ((key, value if key in HARMLESS else MASK) for key, value in self.pairs)
        return " ".join(f"{key}={_quoted(value)}" for key, value in shown)


def parse_conninfo(text: str, source: str) -> tuple[Conninfo | None, int, list[Problem]]:
    """What a `Db.conf` says, None where it says nothing usable; the line it starts at; what is wrong."""
    pairs: dict[str, str] = {}
    problems: list[Problem] = []
    first = 0
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        found = parse_pairs(content)
        first = first or number
        if found is None:
            problems.append(Problem(source, number, "not 'key=value;' (a value with blanks needs 'quotes')"))
        else:
            pairs |= found
    usable = pairs and not problems
    return (Conninfo(tuple(pairs.items())) if usable else None), first, problems


def parse_pairs(text: str) -> dict[str, str] | None:
    """The pairs of one connection string; None where it is not one."""
    pairs: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = PAIR.match(text, position)
        if not found or not is_storable(text):
            return None
        raw = found["quoted"] if found["quoted"] is not None else found["plain"]
        pairs[found["key"]] = ESCAPED.sub(r"\1", raw)
        position = found.end()
    return pairs


def _quoted(value: str) -> str:
    if value and not NEEDS_QUOTES.search(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
