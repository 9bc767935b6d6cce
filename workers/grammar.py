"""One line of an agent -> its message; the prefixes and numbers of both dialects.

A line is a message when it *begins* like one, in the order given here, whatever follows: `OKAY` is an OK and
`BYEBYE` a BYE 0, because unmodified agents were written against a scheduler that reads them so. Numbers are
brought into the range of the columns they end in.
"""

from __future__ import annotations

import re

from workers.lines import marks
from workers.messages import (
    Bye,
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
    Version,
)

GREETING = b"VERSION: "
LARGEST_ITEMS = 2**31 - 1  # jq_itemsprocessed is an int4
CURRENT_MEANING = marks(b"BYE", b"OK", b"HEART", b"EMAIL", b"SPECIAL", b"GETSPECIAL")
PRE_2_0_MEANING = marks(b"OK", b"ItemsProcessed", b"Heartbeat")

_NUMBERS = re.compile(rb"[A-Z]+:[ \t]*(\d+)(?:[ \t]+(\d))?")
_SIGNED = re.compile(rb"\s*([+-]?\d{1,18})(?!\d)")
_ITEMS_PROCESSED = re.compile(rb"ItemsProcessed:?[ \t]*(\d+)")


def shown(raw: bytes) -> str:
    """An agent's bytes as text that any log or column takes."""
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def current_message(line: bytes) -> FromAgent:
    """Message of today's protocol after the greeting; `line` is not blank and has no line end."""
    if line.startswith(b"BYE"):
        return Bye(_exit_code(line[4:]))
    if line.startswith(b"OK"):
        return Ready()
    if line.startswith(b"HEART"):
        return _heart(line)
    if line.startswith(b"EMAIL"):
        return Email(shown(line[6:]))
    if line.startswith(b"SPECIAL"):
        return _special(line)
    if line.startswith(b"GETSPECIAL"):
        return _get_special(line)
    return Text(shown(line))


def pre_2_0_message(line: bytes) -> FromAgent:
    """Message of the pre-2.0 protocol after the first OK; `line` is not blank and has no line end."""
    if line.startswith(b"OK"):
        return Ready()
    if line.startswith(b"ItemsProcessed"):
        found = _ITEMS_PROCESSED.match(line)
        return ItemsProcessed(_bounded(found[1])) if found else Malformed(shown(line), "expected a count")
    if line.startswith(b"Heartbeat"):
        return Heartbeat()
    return Text(shown(line))


def version(line: bytes) -> Version:
    """Greeting of today's protocol; `line` starts with GREETING."""
    return Version(shown(line[len(GREETING) :]))


def _heart(line: bytes) -> FromAgent:
    found = _NUMBERS.match(line)
    if not found:
        return Malformed(shown(line), "expected HEART: items alive")
    return Heart(_bounded(found[1]), found[2] == b"1" if found[2] else None)


def _special(line: bytes) -> FromAgent:
    found = _NUMBERS.match(line)
    if not found or not found[2]:
        return Malformed(shown(line), "expected SPECIAL: mask 0 or 1")
    return Special(_bounded(found[1]), found[2] != b"0")


def _get_special(line: bytes) -> FromAgent:
    found = _NUMBERS.match(line)
    return GetSpecial(_bounded(found[1])) if found else Malformed(shown(line), "expected GETSPECIAL: mask")


def _bounded(digits: bytes) -> int:
    """A count as an int4; thousands of digits are refused by int() itself and are no count anyway."""
    significant = digits.lstrip(b"0")
    return LARGEST_ITEMS if len(significant) > 10 else min(int(significant or b"0"), LARGEST_ITEMS)


def _exit_code(tail: bytes) -> int:
    """What today's scheduler makes of the text after BYE: atoi into an unsigned byte, no number is 0."""
    found = _SIGNED.match(tail)
    if found:
        return int(found[1]) & 0xFF
    return 255 if tail.strip()[:1].isdigit() else 0
