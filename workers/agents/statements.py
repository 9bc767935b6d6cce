"""Copyright statements: who claims which years, read from the lines that look like one.

Most lines with the word are no statement ("the above copyright notice", `copyright=copyright`), so a line
must have the form of one: a mark ("Copyright", "(c)", the sign), then years or a name that begins with a
capital, and no word that only prose has behind the mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.agents.spdx.words import is_binary

LINE_BYTES = 400  # of a line are looked at; minified code has lines of a megabyte
HOLDER_LENGTH = 100
TEXT_LENGTH = 200

_SIGNS = (b"\xc2\xa9", b"&copy;", b"(c)")
_WORD = re.compile(rb"copyright")
_PLACES = re.compile(rb"copyright|\xc2\xa9|&copy;|\(c\)[ \t]*(?:copyright[ \t]+)?(?:19|20)\d\d")
_LINE_ENDS = b"\n\r\0"
_LEADERS = " \t#*/;!%-.|<>\"'"

_YEAR = r"(?:19[6-9]\d|20[0-4]\d)"
_YEARS = re.compile(
    rf"{_YEAR}(?:\s*(?:-|–|—|,|/|&|and|to)\s*(?:{_YEAR}|20\dx|\d\d?\b|present|now|today))*", re.I
)
_MARK = re.compile(
    r"(?:(?P<tag>SPDX-FileCopyrightText)|(?P<word>\b_*copyrights?_*)|(?P<sign>©|&copy;|\(c\)))"
    r"(?:[\s:,=\"'\[]|(?P<more>©|&copy;|\(c\)|\bcopyright\b)|\bby\b|\bu(?='))*",
    re.I,
)
# Behind the mark, these make prose of it.
_PROSE = re.compile(
    r"(?:notices?|holders?'?s?|laws?|licen[sc]es?|owners?|office|statements?|information|protect\w*|"
    r"infring\w*|rights?|disclaimers?|acts?|and|or|is|in|of|on|for|to|as|at|are|was|has|have|may|shall|must|"
    r"will|with|from|this|that|these|it|its|it's|headers?|lines?|years?|date|claim\w*|interest\w*|assign\w*|"
    r"agree\w*|transfer\w*|material\w*|string|text|files?|comments?|"
    r"similar|related|grants?|treaty|treaties|symbol|sign|status|terms?|policy|issues?|dealings|management|reserved)\b",
    re.I,
)
_TEMPLATE = re.compile(
    r"yyyy|[<\[{](?:name|year|owner|copyright|fullname|author|organi[sz]ation|insert)|"
    r"name of (?:the )?author|m\. y\. name|\borganization\b|the package's|[%$]\{|%[sd(]|\{\{",
    re.I,
)
_BEHIND_HOLDER = re.compile(
    r"\s*(?:\ball rights?\b|\blicen[sc]ed?\b|\breleased\b|\bdistributed\b|\bpermission\b|\bredistribution\b|"
    r"\bpublished\b|"
    r"\bthis (?:file|software|program|code|work|library|project|document|is)\b|"
    r"\bsee\b|\bSPDX-|\buse of\b|\bunder the\b|"
    r"\bfor (?:details|more)\b|\bhttps?:|\bwww\.|\bsome rights\b|\bdual\b|\bfor authorized\b|"
    r"\beveryone is\b|\ball copyrights\b|"
    r"\*/|-->|\"\"\"|'''|\\n|</|\s\|\s|\s[-–]{2,}\s).*",
    re.I | re.S,
)
_MAIL = re.compile(
    r"\s*(?:<[^<>]*>|\([^()\s]*@[^()\s]*\)|\[[^\[\]\s]*@[^\[\]\s]*\]|\S+@\S+\.\w+)|\s*<[^<>]*$"
)
_COMPANY = re.compile(r"\b(Inc|Ltd|Corp|Co)\.?$", re.I)
_BRACKETS = re.compile(r"\s*\([^()]*(?:\)|$)")
_EMPTY_LABEL = re.compile(
    r"^copyright:\s*(?=[Cc]opyright|\([Cc]\)|©)"
)  # a field whose value is the statement
_CODE = re.compile(r"[=;`{}\\$%]|\w\(|\)\.|\w\.\w+\(")
_OWN_TEXT = re.compile(r"everyone is (?:permitted|allowed) to (?:copy and )?distribute verbatim", re.I)


@dataclass(frozen=True, slots=True)
class Statement:
    """One holder's claim."""

    holder: str  # without years, mail address and "All rights reserved"
    years: str  # "2001", "2001-2020", "2001-present"; empty: none given
    text: str  # as in the file, blanks collapsed
    line: int  # from 1; 0: binary content has none


def statements(data: bytes) -> list[Statement]:
    """Copyright statements of one file, one for each holder and years."""
    lower = data.lower()
    binary = is_binary(data)
    if b"copyright" not in lower and (binary or not any(mark in lower for mark in _SIGNS)):
        return []
    found: dict[tuple[str, str], Statement] = {}
    covered = -1
    for place in (_WORD if binary else _PLACES).finditer(lower):
        if place.start() < covered:
            continue
        start, covered = _line_around(data, place.start())
        for holder, years, text in _claims(*_lines(data, start, covered)):
            line = 0 if binary else 1 + data.count(b"\n", 0, place.start())
            if not binary or text.isprintable():
                found.setdefault((holder, years), Statement(holder, years, text, line))
    return list(found.values())


def _line_around(data: bytes, position: int) -> tuple[int, int]:
    lead = data[max(position - 80, 0) : position]
    start = position - len(lead) + max(lead.rfind(bytes([end])) for end in _LINE_ENDS) + 1
    rest = data[position : position + LINE_BYTES]
    ends = [at for end in _LINE_ENDS if (at := rest.find(end)) >= 0]
    return start, position + (min(ends) if ends else len(rest))


def _lines(data: bytes, start: int, end: int) -> tuple[str, str]:
    """The line, and what follows it, both as text."""
    return _text(data[start:end]), _text(data[end : end + LINE_BYTES]).lstrip("\r\n")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _claims(line: str, following: str) -> Iterator[tuple[str, str, str]]:
    if _OWN_TEXT.search(
        " ".join((line + " " + following).split())
    ):  # who wrote the licence, not who wrote the file
        return
    marks = list(_MARK.finditer(line))
    ends = [mark.start() for mark in marks[1:]] + [len(line)]
    for mark, behind in zip(marks, ends, strict=False):
        rest = _with_next_line(line[mark.end() : behind], following if behind == len(line) else "")
        if claim := _claim(mark, rest):
            text = _EMPTY_LABEL.sub("", line[mark.start() : mark.end()] + rest)
            yield *claim, " ".join(text.split())[:TEXT_LENGTH].rstrip(" */")


def _with_next_line(rest: str, following: str) -> str:
    """Years at the end of a line have their holder on the next one."""
    unfinished = _YEARS.sub("", rest).strip(" ,.;:-") == "" or rest.rstrip().endswith((",", " and", "&"))
    next_line = following.partition("\n")[0].strip(_LEADERS)
    if unfinished and any(map(str.isdigit, rest)) and next_line[:1].isalnum() and not _MARK.search(next_line):
        return f"{rest.rstrip()} {next_line}"
    return rest


def _claim(mark: re.Match[str], rest: str) -> tuple[str, str] | None:
    spans = list(_YEARS.finditer(rest))
    signed = bool(mark["tag"] or mark["more"] or (mark["sign"] and mark["sign"].lower() != "(c)"))
    if _TEMPLATE.search(rest) or (mark["sign"] and not signed and not spans):
        return None
    named_first = rest[: spans[0].start()] if spans else rest
    if _PROSE.match(rest.lstrip()):
        return None
    holder = _holder(named_first) or _holder(_YEARS.sub(" ", rest))
    if not holder or _PROSE.match(holder) or _CODE.search(holder):
        return None
    if not spans and not (_is_name(holder) and (signed or mark["word"] == "Copyright")):
        return None
    return holder, _span_of(spans)


def _holder(text: str) -> str:
    text = _BEHIND_HOLDER.sub("", _BRACKETS.sub("", _MAIL.sub(" ", text)))
    text = " ".join(text.replace("\\", " ").split()).strip(" .,;:-–*/#\"'()[]{}<>|=_~!+")
    text = re.sub(r"^(?:by|and|the authors?:?)\s+", "", text, flags=re.I).removesuffix(" and").rstrip(" ,")
    if len(text) > HOLDER_LENGTH:
        text = re.split(r"[.;:] |, (?=[a-z])", text, maxsplit=1)[0][:HOLDER_LENGTH].rstrip()
    return _COMPANY.sub(r"\1.", text) if any(map(str.isalpha, text)) and len(text) > 1 else ""


def _is_name(holder: str) -> bool:
    return holder[0].isupper() and not holder.isupper()


def _span_of(spans: list[re.Match[str]]) -> str:
    text = " ".join(span[0] for span in spans)
    years = sorted(re.findall(_YEAR, text))
    if not years:
        return ""
    last = "present" if re.search(r"present|now|today", text, re.I) else years[-1]
    return years[0] if last == years[0] else f"{years[0]}-{last}"
