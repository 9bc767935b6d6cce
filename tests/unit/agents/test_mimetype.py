"""MIME types from content first and from the name then."""

from __future__ import annotations

import pytest

from workers.agents.mimetype import mimetype


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"", "__init__.py", "application/x-empty"),
        (b"import os\n", "a.py", "text/x-python"),
        (b"#!/usr/bin/env python3\nprint()\n", "tool", "text/x-python"),
        (b"#!/bin/sh\nexit\n", "run", "text/x-shellscript"),
        (b"\x7fELF\2\1\1\0", "lib.py", "application/x-elf"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.txt", "image/png"),
        (b"PK\x03\x04\0\0", "a.whl", "application/vnd.python.wheel"),
        (b"PK\x03\x04\0\0", "a", "application/zip"),
        (b"\x1f\x8b\x08\0", "a.tar.gz", "application/gzip"),
        (b"%PDF-1.7\n", "paper", "application/pdf"),
        (b"MZ is how this text begins\n", "notes.txt", "text/plain"),
        (b'{"a": 1}\n', "a.json", "application/json"),
        (b"all:\n\ttrue\n", "Makefile", "text/x-makefile"),
        (b"fn main() {}\n", "main.rs", "text/x-rust"),
        (b"just words\n", "README", "text/plain"),
        (b"\0\1\2\3", "blob", "application/octet-stream"),
        ("\ufeffhello".encode("utf-16"), "a.txt", "text/plain"),
    ],
)
def test_content_and_name_give_a_type(data: bytes, name: str, kind: str) -> None:
    assert mimetype(data, name) == kind
