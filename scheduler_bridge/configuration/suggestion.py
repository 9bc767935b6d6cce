"""Guess which known name an unknown one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, None where none is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.7)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence, `; did you mean 'license'?`, or nothing where no name is near."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""
