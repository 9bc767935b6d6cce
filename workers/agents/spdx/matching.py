"""Licence texts, notices and references found by their own phrases; tables in `texts.toml` and
`notices.toml`.

A text is found when three quarters of its phrases are there in their order; its score is that share in
percent. Among texts that overlap, the better score wins, then the longer one: BSD-3-Clause holds every phrase
of BSD-2-Clause. What a text says about other licences (MPL-2.0 names the GPL, every GNU text explains how to
apply it) lies inside its span and counts for nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import resources
from typing import Any

from workers.agents.spdx.words import Words

ENOUGH = 0.75  # share of a text's phrases; lower, JSON and MIT would be told apart by chance
MANY = 64  # occurrences of one phrase that are looked at in one file
LEAD = 120  # bytes before a text that belong to it: its title


class Kind(IntEnum):
    """How a licence was found; the lower, the stronger."""

    TAG = 0  # SPDX-License-Identifier
    TEXT = 1  # the licence itself
    NOTICE = 2  # a sentence that puts something under it
    REFERENCE = 3  # its name


@dataclass(frozen=True, slots=True)
class Match:
    """A licence at a place in the words of a file."""

    license: str
    kind: Kind
    start: int
    end: int
    score: int = 100  # percent of the text's phrases
    tail: int = 0  # bytes behind `end` that still belong to a text: how to apply it

    def explains(self, position: int) -> bool:
        """True where what is said there is said by this text, its title and its last section included."""
        return self.start - LEAD <= position < self.end + self.tail


@dataclass(frozen=True, slots=True)
class Phrase:
    """Consecutive words; `needle` has a blank at both ends."""

    needle: bytes
    words: frozenset[bytes]

    @classmethod
    def of(cls, text: str) -> Phrase:
        return cls(f" {text} ".encode(), frozenset(text.encode().split()))


@dataclass(frozen=True, slots=True)
class TextRule:
    """One table of texts.toml."""

    license: str
    phrases: tuple[Phrase, ...]
    unless: tuple[Phrase, ...]
    gap: int
    tail: int  # bytes behind the last phrase that still belong to the text


@dataclass(frozen=True, slots=True)
class Rules:
    """Both tables, ready for `bytes.find`."""

    texts: tuple[TextRule, ...]
    named: tuple[tuple[Phrase, str, Kind], ...]
    exceptions: tuple[tuple[Phrase, str], ...]


@cache
def rules() -> Rules:
    """The tables of this package, read once."""
    here = resources.files(__package__)
    texts = tomllib.loads(here.joinpath("texts.toml").read_text())
    notices = tomllib.loads(here.joinpath("notices.toml").read_text())
    named = [(phrase, name, Kind.NOTICE) for phrase, name in _pairs(notices["notice"])]
    named += [(phrase, name, Kind.REFERENCE) for phrase, name in _pairs(notices["reference"])]
    return Rules(tuple(map(_text_rule, texts["text"])), tuple(named), tuple(_pairs(notices["exception"])))


def _pairs(tables: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Phrase, str]]:
    return ((Phrase.of(phrase), table["license"]) for table in tables for phrase in table["phrases"])


def _text_rule(table: Mapping[str, Any]) -> TextRule:
    return TextRule(
        license=table["license"],
        phrases=tuple(map(Phrase.of, table["phrases"])),
        unless=tuple(map(Phrase.of, table.get("unless", ()))),
        gap=table.get("gap", 2500),
        tail=table.get("tail", 0),
    )


def texts(words: Words) -> list[Match]:
    """Licence texts, none inside another."""
    found = [match for rule in rules().texts for match in _text_matches(rule, words)]
    found.sort(key=lambda match: (-match.score, match.start - match.end))
    kept: list[Match] = []
    for match in found:
        if all(match.end <= other.start or match.start >= other.end for other in kept):
            kept.append(match)
    return kept


def _text_matches(rule: TextRule, words: Words) -> Iterator[Match]:
    covered = -1
    for skipped in (0, 1):  # the title may be missing
        for start in _places(rule.phrases[skipped], words):
            if start > covered and (match := _text_at(rule, words.text, start, skipped)):
                covered = match.end
                yield match


def _text_at(rule: TextRule, text: bytes, start: int, skipped: int) -> Match | None:
    hits, end = 0, start
    for phrase in rule.phrases[skipped:]:
        position = text.find(phrase.needle, max(end - 1, start), end + rule.gap + len(phrase.needle))
        if position >= 0:
            hits, end = hits + 1, position + len(phrase.needle)
    if hits < ENOUGH * len(rule.phrases) or any(
        text.find(other.needle, start, end) >= 0 for other in rule.unless
    ):
        return None
    return Match(rule.license, Kind.TEXT, start, end, 100 * hits // len(rule.phrases), rule.tail)


def _places(phrase: Phrase, words: Words) -> Iterator[int]:
    if not phrase.words <= words.vocabulary:  # ten times faster than to search, and nearly always the answer
        return
    position = words.text.find(phrase.needle)
    for _ in range(MANY):
        if position < 0:
            return
        yield position
        position = words.text.find(phrase.needle, position + len(phrase.needle) - 1)


def named(words: Words) -> Iterator[Match]:
    """Notices and references, whatever they are part of."""
    for phrase, license_id, kind in rules().named:
        for position in _places(phrase, words):
            yield Match(license_id, kind, position, position + len(phrase.needle))


def exceptions(words: Words) -> list[str]:
    """SPDX exceptions whose wording is in the file."""
    return [name for phrase, name in rules().exceptions if next(_places(phrase, words), None) is not None]
