"""The sentences that put a file under a GNU licence: which one, which version, and whether a later one too.

The licences' texts are the same for "only" and "or later"; the sentence in the file's head makes the
difference: "either version 2 of the License, or (at your option) any later version".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workers.agents.spdx.matching import Kind, Match
from workers.agents.spdx.words import Words

_BEFORE, _AFTER, _LATER = 150, 160, 90  # bytes looked at before the name, behind it, behind the version

_NAME = re.compile(rb"(?<= )(?:gnu )?(?:(lesser|library|affero) )?(?:gnu )?general public license(?= )")
_SHORT = re.compile(rb" (a|l)?gpl(?: license)?(?: version)? ?v?(\d)(?: (\d))?(\+)?(?= )")
_VERSION_BEHIND = re.compile(
    rb" (?:a?l?gpl )?(?:as )?(?:published by the free software foundation )?(?:inc )?(?:either )?"
    rb"(?:version |v)(\d)(?: (\d)(?= ))?(\+)?"
)
_VERSION_BEFORE = re.compile(rb" version (\d)(?: (\d))?( or (?:any )?later(?: version)?)? of the $")
_OR_LATER = re.compile(
    rb" (?:of the license )?"
    rb"(?:or (?:at your (?:option|choice|discretion) )?(?:any |a )?(?:later|newer|higher)|"
    rb"or (?:at your option )?any (?:later|newer)|and (?:above|later)|or (?:above|greater|higher|up))"
)
_GRANTS = re.compile(
    rb" (?:under (?:the )?(?:terms|conditions)|licensed under|released under|distributed under|"
    rb"covered by|subject to|governed by) "
)

_PREFIX = {b"lesser": "LGPL", b"library": "LGPL", b"affero": "AGPL", b"l": "LGPL", b"a": "AGPL", None: "GPL"}
_KNOWN = {"GPL-1.0", "GPL-2.0", "GPL-3.0", "LGPL-2.0", "LGPL-2.1", "LGPL-3.0", "AGPL-1.0", "AGPL-3.0"}


def gnu(words: Words) -> Iterator[Match]:
    """Notices and references of GPL, LGPL and AGPL that name a version."""
    text = words.text
    if b"general public license" in text:
        for name in _NAME.finditer(text):
            if match := _long_form(text, name):
                yield match
    if b"gpl" in text:
        for short in _SHORT.finditer(text):
            later = short[4] is not None or _later(text, short.end())
            if license_id := _identifier(_PREFIX[short[1]], short[2], short[3], later):
                yield Match(license_id, Kind.REFERENCE, short.start(), short.end())


def _long_form(text: bytes, name: re.Match[bytes]) -> Match | None:
    lead = text[max(name.start() - _BEFORE, 0) : name.start()]
    version = _VERSION_BEHIND.match(text, name.end(), name.end() + _AFTER)
    if version:
        later = version[3] is not None or _later(text, version.end())
    else:
        version = _VERSION_BEFORE.search(lead)
        later = bool(version and version[3])
    if not version:
        return None
    license_id = _identifier(_PREFIX[name[1]], version[1], version[2], later)
    kind = Kind.NOTICE if _GRANTS.search(lead + b" ") else Kind.REFERENCE
    return Match(license_id, kind, name.start(), name.end()) if license_id else None


def _later(text: bytes, position: int) -> bool:
    return bool(_OR_LATER.match(text, position, position + _LATER))


def _identifier(family: str, major: bytes, minor: bytes | None, later: bool) -> str | None:
    version = f"{family}-{major.decode()}.{minor.decode() if minor else '0'}"
    return version + ("-or-later" if later else "-only") if version in _KNOWN else None
