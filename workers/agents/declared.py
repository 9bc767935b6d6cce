"""What a package declares about its own licence, from its metadata, as SPDX identifiers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from functools import cache
from importlib import resources
from typing import Any

from workers.agents.spdx.detection import detect
from workers.agents.spdx.expressions import canonical, identifiers

NAME_LENGTH = 120  # a longer License field is the licence's text


@dataclass(frozen=True, slots=True)
class Declaration:
    """One package's word about itself."""

    name: str
    version: str
    text: str  # for people: an expression, or what stands there; empty: nothing is declared
    licenses: frozenset[str]  # SPDX identifiers; empty: nothing we can read


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(resources.files(__package__).joinpath("declared.toml").read_text("utf-8"))


def from_python(metadata: bytes) -> Declaration:
    """Of METADATA or PKG-INFO: License-Expression, else License and the classifiers together."""
    fields = BytesHeaderParser().parsebytes(metadata)
    name, version = str(fields.get("Name", "")), str(fields.get("Version", ""))
    if expression := str(fields.get("License-Expression", "")).strip():
        return _declaration(name, version, [expression])
    field = str(fields.get("License", "")).strip()
    classifiers = [
        text.removeprefix("License :: ")
        for text in map(str, fields.get_all("Classifier", []))
        if text.startswith("License :: ")
    ]
    known = [_tables()["classifiers"][text] for text in classifiers if text in _tables()["classifiers"]]
    return _declaration(name, version, _without_vague(_named(field), known) or [field] * bool(field))


def from_node(document: bytes) -> Declaration | None:
    """Of package.json; None when it is not one of a package."""
    try:
        package = json.loads(document)
    except (ValueError, RecursionError):
        return None
    if not isinstance(package, dict) or not isinstance(package.get("name"), str) or "version" not in package:
        return None
    entries = package.get("license", package.get("licenses", ()))
    texts = [_node_license(entry) for entry in (entries if isinstance(entries, list) else [entries])]
    return _declaration(package["name"], str(package["version"]), [text for text in texts if text])


def _node_license(entry: Any) -> str:
    text = entry.get("type", "") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else ""


def _named(field: str) -> list[str]:
    if expression := canonical(field):
        return [expression]
    if "\n" in field or len(field) > NAME_LENGTH:
        return [finding.license for finding in detect(field.encode()) if finding.score > 0]
    name = field.lower().rstrip(" .").removesuffix("license").removesuffix("licence").rstrip(" ,.")
    known = _tables()["names"]
    return [known[text] for text in (name, field.lower()) if text in known][:1]


def _without_vague(field: list[str], classifiers: list[str]) -> list[str]:
    """Both sources, less "a BSD licence" where one of them says which."""
    texts = list(dict.fromkeys(field + classifiers))
    exact = any(name.startswith("BSD-") for text in texts for name in identifiers(text))
    return [text for text in texts if not (exact and text == "LicenseRef-BSD")]


def _declaration(name: str, version: str, texts: Iterable[str]) -> Declaration:
    texts = [canonical(text) or text for text in texts]
    known = (canonical(text) for text in texts)
    licenses = frozenset(name for text in known if text for name in identifiers(text))
    return Declaration(name, version, ", ".join(texts), licenses)
