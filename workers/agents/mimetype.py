"""What kind of content files have, as MIME types: by their first bytes, else by their name, else text or not.

python -m workers.agents.mimetype FILE_OR_FOLDER... [--json]
"""

from __future__ import annotations

import io
import mimetypes
import sys
from pathlib import Path

from identify import identify

from workers.agents.results import Columns, Finding, Source
from workers.agents.scanner import Scanner, fingerprint, run

RELEASE = "1.0"
HEAD_BYTES = 4096

# Offset and bytes; what can be a part of something else comes behind it.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"\0\0\1\0", "image/vnd.microsoft.icon"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm"),
    (0, b"!<arch>\ndebian", "application/vnd.debian.binary-package"),
    (0, b"!<arch>\n", "application/x-archive"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO", "font/otf"),
    (0, b"\0\1\0\0\0", "font/ttf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"\0asm", "application/wasm"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xde\x12\x04\x95", "application/x-gettext-translation"),
    (0, b"TZif", "application/tzif"),
    (0, b"-----BEGIN ", "application/x-pem-file"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
)
_IN_TEXT = frozenset({b"%PDF-", b"%!PS", b"-----BEGIN "})
_ZIPPED = {
    "jar": "application/java-archive",
    "whl": "application/vnd.python.wheel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "epub": "application/epub+zip",
    "apk": "application/vnd.android.package-archive",
}
# What `identify` calls a language, in the order in which its tags are tried.
_BY_TAG = {
    "json": "application/json",
    "yaml": "application/yaml",
    "toml": "application/toml",
    "xml": "application/xml",
    "svg": "image/svg+xml",
    "html": "text/html",
    "css": "text/css",
    "markdown": "text/markdown",
    "rst": "text/x-rst",
    "javascript": "text/javascript",
    "csv": "text/csv",
    "sql": "application/sql",
    "shell": "text/x-shellscript",
    "sh": "text/x-shellscript",
    "bash": "text/x-shellscript",
    "c": "text/x-c",
    "c++": "text/x-c++",
    "makefile": "text/x-makefile",
    "plain-text": "text/plain",
}
_NOT_A_LANGUAGE = frozenset(
    {"text", "binary", "file", "executable", "non-executable", "pyi", "header", "manifest"}
)
_NAMES = mimetypes.MimeTypes(filenames=())  # not the tables of this machine: every host must say the same


def mimetype(data: bytes, name: str) -> str:
    """The MIME type of content whose beginning is `data`."""
    if not data:
        return "application/x-empty"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _ZIPPED.get(name.rpartition(".")[2].lower(), "application/zip")
    text = identify.is_text(io.BytesIO(data))
    for offset, magic, kind in _MAGIC:
        if data.startswith(magic, offset) and (not text or magic in _IN_TEXT):
            return kind
    if not text and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _by_name(name, binary=True) or "application/octet-stream"
    return _by_name(name, binary=False) or _by_interpreter(data) or "text/plain"


def _by_name(name: str, *, binary: bool) -> str | None:
    tags = identify.tags_from_filename(name)
    for tag, kind in _BY_TAG.items():
        if tag in tags and not binary:
            return kind
    guess, encoding = _NAMES.guess_type(name)
    if guess and not encoding and guess.startswith("text/") is not binary:
        return guess
    languages = sorted(tags - _NOT_A_LANGUAGE)
    return f"text/x-{languages[0]}" if languages and not binary and "binary" not in tags else None


def _by_interpreter(data: bytes) -> str | None:
    words = identify.parse_shebang(io.BytesIO(data))
    if not words:
        return None
    language = words[0].rpartition("/")[2].rstrip("0123456789.")
    return _BY_TAG.get(language, f"text/x-{language}") if language.isalnum() else None


def find(data: bytes, name: str) -> list[Finding]:
    """The one finding of every file."""
    return [(mimetype(data, name),)]


SCANNER = Scanner(
    source=Source(
        agent="mimetype",
        version=fingerprint(f"{RELEASE}.{sys.version_info[1]}", Path(__file__), Path(identify.__file__)),
        columns=Columns(table="scan_mimetype", names=("mimetype",), types=("text",)),
        by_name=True,
        kinds=("file", "archive"),
    ),
    release=RELEASE,
    find=find,
    show=lambda finding: str(finding[0]),
    limit=HEAD_BYTES,
)

if __name__ == "__main__":
    run(SCANNER)
