"""Content in, licences out: which of all the matches in one file say something of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from workers.agents.spdx import expressions, matching
from workers.agents.spdx.gnu import gnu
from workers.agents.spdx.matching import Kind, Match
from workers.agents.spdx.words import Words, is_binary

# Whatever the tables name, its file holds one of these; most files hold none and are done with quickly.
_HINTS = (
    b"licen",
    b"perl itself",
    b"gpl",
    b"permission",
    b"redistribut",
    b"public domain",
    b"spdx-",
    b"bsd",
    b"disclaims",
    b"proprietary",
)

# A program's own strings hold such words too ("permission denied"); about its licence it says a sentence.
_SENTENCES = (
    b"spdx-license-identifier",
    b"licensed under",
    b"general public license",
    b"permission is hereby granted",
    b"permission to use",
    b"redistribution and use",
)
_PRINTABLE_RUN = re.compile(rb"[\t\n\r\x20-\x7e]{48,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """A licence of a file."""

    license: str  # SPDX identifier or, for tags and exceptions, expression
    kind: Kind
    line: int  # of its first place; 0: binary content has none
    score: int  # percent; below 100: the text has been changed or cut


def detect(data: bytes) -> list[Finding]:
    """Licences of one file, one finding each, in the order of their lines."""
    lower = data.lower()
    if not any(hint in lower for hint in _HINTS):
        return []
    if not is_binary(data):
        return sorted(_findings(data), key=lambda finding: finding.line)
    if not any(sentence in lower for sentence in _SENTENCES):
        return []
    found = _findings(b"\n\n".join(_PRINTABLE_RUN.findall(data)))
    return [replace(finding, line=0) for finding in found]


def _findings(data: bytes) -> list[Finding]:
    found = [Finding(tag, Kind.TAG, 1 + data.count(b"\n", 0, at), 100) for at, tag in expressions.tags(data)]
    words = Words(data)
    texts = matching.texts(words)
    others = [match for match in (*matching.named(words), *gnu(words)) if not _inside(match, texts)]
    strongest = _strongest_of_each(texts + others)
    suffixes = matching.exceptions(words) if strongest else []
    found += (_finding(match, words, suffixes) for match in strongest)
    return list(_without_echoes(found))


def _inside(match: Match, texts: Iterable[Match]) -> bool:
    return any(text.explains(match.start) for text in texts)


def _strongest_of_each(matches: Iterable[Match]) -> list[Match]:
    best: dict[str, Match] = {}
    for match in sorted(matches, key=lambda match: (match.kind, match.start)):
        best.setdefault(match.license, match)
    return list(best.values())


def _finding(match: Match, words: Words, suffixes: Iterable[str]) -> Finding:
    license_id = match.license
    for exception in suffixes:
        belongs = "Apache-2.0" if exception == "LLVM-exception" else "GPL-"
        if match.kind in (Kind.TEXT, Kind.NOTICE) and license_id.removeprefix("L").startswith(belongs):
            license_id += f" WITH {exception}"
            break
    return Finding(license_id, match.kind, words.line(match.start), match.score)


def _without_echoes(found: list[Finding]) -> Iterator[Finding]:
    """Drop what only repeats a stronger finding: a name beside its text, a GNU text beside its "or later"."""
    granted = _named_by(finding for finding in found if finding.kind < Kind.REFERENCE)
    tagged = _named_by(finding for finding in found if finding.kind is Kind.TAG)
    families = {expressions.family(name) for name in granted}
    some_bsd = any("BSD" in name for name in _named_by(found) if name != "LicenseRef-BSD")
    seen: set[str] = set()
    for finding in found:
        repeated = finding.license in seen or (finding.kind is not Kind.TAG and finding.license in tagged)
        seen.add(finding.license)
        if finding.kind is Kind.REFERENCE:
            repeated |= expressions.family(finding.license) in families
        elif finding.kind is Kind.TEXT and finding.license.endswith("-only"):
            repeated |= finding.license.removesuffix("-only") + "-or-later" in granted
        if not repeated and not (some_bsd and finding.license == "LicenseRef-BSD"):
            yield finding


def _named_by(findings: Iterable[Finding]) -> set[str]:
    return {name for finding in findings for name in expressions.identifiers(finding.license)}
