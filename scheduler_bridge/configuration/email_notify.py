"""The group [EMAILNOTIFY] of `fossology.conf`, with the texts of the two files that it names.

A mistake here costs nothing but the looks of a mail, so everything wrong is a warning.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from scheduler_bridge.configuration.problem import Problem, shown
from scheduler_bridge.configuration.reader import Reader, read_file

GROUP = "EMAILNOTIFY"
MOST_BYTES = 64 * 1024  # of a header or footer


@dataclass(frozen=True, slots=True)
class EmailNotify:
    """How a mail looks and which program sends it; the defaults are the scheduler's own."""

    header: str = 'FOSSology scan complete\nmessage:"'
    footer: str = '"'
    subject: str = "FOSSology scan complete"
    client: tuple[str, ...] = ()  # the mail client and its first arguments; empty: none is set


def read_email(main: Reader, folder: Path) -> EmailNotify:
    """The group as it stands; header and footer are files in the configuration folder."""
    shipped = EmailNotify()
    return EmailNotify(
        header=_part(main, folder, "header", shipped.header),
        footer=_part(main, folder, "footer", shipped.footer),
        subject=_text(main, "subject") or shipped.subject,
        client=_client(main),
    )


def _text(main: Reader, key: str) -> str | None:
    entry = main.document.entry(GROUP, key)
    if entry is None:
        return None
    if isinstance(entry.value, tuple):
        main.warn(entry.line, f"{key} is one value, not a list: it is ignored")
        return None
    return entry.value.strip()


def _client(main: Reader) -> tuple[str, ...]:
    """A shell read the command line until now, so its quotes are a shell's."""
    try:
        return tuple(shlex.split(_text(main, "client") or ""))
    except ValueError:
        main.warn(main.document.line(GROUP, "client"), "a quote is not closed: the mail client is ignored")
        return ()


def _part(main: Reader, folder: Path, key: str, fallback: str) -> str:
    name = _text(main, key)
    if not name:
        return fallback
    content = _content(folder, name)
    if isinstance(content, bytes):
        return content.decode("utf-8-sig", "replace")
    main.warn(main.document.line(GROUP, key), f"{key} {shown(name)} {content}: a built-in text is used")
    return fallback


def _content(folder: Path, name: str) -> bytes | str:
    """The file's bytes, or what is wrong with it; a link must not lead out of the folder either."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return "lies outside the configuration folder"
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            return f"has more than {MOST_BYTES} bytes"
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, until Python 3.12
        return f"cannot be read ({error})"
    content = read_file(path)
    if content is None:
        return "is missing"
    return content.message if isinstance(content, Problem) else content
