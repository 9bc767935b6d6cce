"""Bytes as a row of plain words, in which the phrases of licences are looked up.

A licence looks different in every file: wrapped, behind `#` or ` * `, in capitals, with curly quotes, inside
a string literal. All that is left of it here is its words: lower-case ASCII letters and digits (and `+`,
which matters in `GPLv2+`), separated by single blanks, with a blank at both ends, so that ` phrase ` is found
as whole words and by the fastest thing Python has, `bytes.find`.
"""

from __future__ import annotations

import re
from itertools import islice

_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789+"
_TABLE = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).lower().encode() in _KEPT else 32
    for code in range(256)
)
_MARKUP = re.compile(rb"&(?:quot|apos|nbsp|#\w{2,4});|</?[A-Za-z][^<>\n]{0,80}>")
_WORD = re.compile(rb"[^ ]+")
_BINARY_PROBE_BYTES = 4096


def is_binary(data: bytes) -> bool:
    """True for content that people do not read as text: a NUL early in it."""
    return b"\0" in data[:_BINARY_PROBE_BYTES]


class Words:
    """Content and the same content as words."""

    def __init__(self, data: bytes) -> None:
        # Whatever is blanked keeps its length, and with it the positions of all words.
        plain = data.replace(b"\\n", b"  ")  # a line end inside a string literal
        if b"</" in plain or b"&" in plain:
            plain = _MARKUP.sub(lambda markup: b" " * len(markup[0]), plain)
        self._plain = plain.translate(_TABLE).replace(b"licence", b"license")
        self._data = data
        words = self._plain.split()
        self.text = b" " + b" ".join(words) + b" "
        self.vocabulary = frozenset(words)

    def line(self, position: int) -> int:
        """Line, from 1, of the word that begins at or after `position` of `text`."""
        number = self.text.count(b" ", 0, position + 1) - 1
        word = next(islice(_WORD.finditer(self._plain), max(number, 0), None), None)
        return 1 + self._data.count(b"\n", 0, word.start() if word else len(self._data))
