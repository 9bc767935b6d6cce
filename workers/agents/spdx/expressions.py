"""SPDX licence expressions: tags in files, what packages declare about themselves, and what is in an
expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_TAG = re.compile(rb"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+()\- \t]{2,200})")
_TOKEN = re.compile(r"[()]|[A-Za-z0-9.+-]+")
_OPERATORS = frozenset({"AND", "OR", "WITH", "(", ")"})
_GNU = re.compile(r"\b((?:A|L)?GPL-\d\.\d)(\+)?(?![\w.+-])")
_LONGEST = 24  # tokens of one expression


def tags(data: bytes) -> Iterator[tuple[int, str]]:
    """Position and expression of each SPDX-License-Identifier that can be one, unlike a template's `%s`."""
    for tag in _TAG.finditer(data):
        if expression := leading_expression(tag[1].decode("ascii")):
            yield tag.start(), expression


@lru_cache(maxsize=4096)
def leading_expression(text: str) -> str | None:
    """The longest valid expression at the start of `text`; one unknown identifier becomes a LicenseRef."""
    tokens = _TOKEN.findall(text)[:_LONGEST]
    for length in range(len(tokens), 0, -1):
        if expression := canonical(" ".join(tokens[:length])):
            return expression
    first = text.split(None, 1)[0] if text.strip() else ""
    # A version or a hyphen sets an identifier that is too new for our list apart from a word of prose.
    return (
        f"LicenseRef-{first}"
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9.-]*[A-Za-z0-9]", first)
        else None
    )


@lru_cache(maxsize=4096)
def canonical(text: str) -> str | None:
    """`text` as an SPDX expression as usually spelled, GPL-2.0(+) written out; None if it is none."""
    try:
        expression = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None
    return _GNU.sub(lambda name: name[1] + ("-or-later" if name[2] else "-only"), expression)


@lru_cache(maxsize=4096)
def identifiers(expression: str) -> frozenset[str]:
    """Licences named in an expression, exceptions left out."""
    tokens = _TOKEN.findall(expression)
    return frozenset(
        token
        for before, token in zip(["", *tokens], tokens, strict=False)
        if token not in _OPERATORS and before != "WITH"
    )


def family(license_id: str) -> str:
    """What the -only and -or-later forms of one licence have in common."""
    return license_id.partition(" WITH ")[0].removesuffix("-only").removesuffix("-or-later")
