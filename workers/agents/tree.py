"""A folder's files, and the bytes of one: nothing is followed out of it, nothing is waited for."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass

# Folders that hold no source of their own: history, and what Python makes of files that are there anyway.
SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})


class Unreadable(Exception):
    """A file's bytes cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """One name in a folder that is no folder itself."""

    path: str
    status: os.stat_result  # of the name itself, not of what it links to


class Tree:
    """Everything below a folder in the order of names; links are reported, not followed."""

    def __init__(self, folder: str, skip: Container[str] = ()) -> None:
        """`skip`: real paths of folders that are left out besides the usual ones."""
        self.notes: list[tuple[str, str]] = []  # what cannot be read, as pairs of path and reason
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._skip = skip
        self._skipped: Counter[str] = Counter()  # files, by the name of the folder

    def __iter__(self) -> Iterator[Found]:
        pending = [self._folder]
        while pending:
            folders = []
            for entry in self._entries(pending.pop()):
                if not entry.is_dir(follow_symlinks=False):
                    yield from self._found(entry)
                elif entry.name in SKIPPED_FOLDERS or self._is_skipped(entry.path):
                    self._skipped[entry.name] += sum(len(files) for _, _, files in os.walk(entry.path))
                else:
                    folders.append(entry.path)
            pending.extend(reversed(folders))

    def all_notes(self) -> list[tuple[str, str]]:
        """`notes`, and one for each name of folders that were skipped."""
        skipped = [
            (self._folder, f"skipped: {files} files below folders named {name}")
            for name, files in sorted(self._skipped.items())
        ]
        return self.notes + skipped

    def _is_skipped(self, path: str) -> bool:
        return self._real + path[len(self._folder) :] in self._skip

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as listing:
                return sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.notes.append((folder, f"folder cannot be read: {error.strerror}"))
            return []

    def _found(self, entry: os.DirEntry[str]) -> Iterator[Found]:
        try:
            yield Found(entry.path, entry.stat(follow_symlinks=False))
        except OSError as error:
            self.notes.append((entry.path, f"cannot be read: {error.strerror}"))


def open_file(path: str | bytes) -> tuple[int, os.stat_result]:
    """A descriptor of a regular file and its status; Unreadable for anything else, at once."""
    try:
        # A file may have been replaced by a link or a pipe since it was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Unreadable("no regular file any more")
    return descriptor, status


def content(path: str | bytes, limit: int, modified_ns: int | None = None) -> bytes:
    """The first `limit` bytes; Unreadable, also when the file is not of `modified_ns` any more."""
    descriptor, status = open_file(path)
    try:
        if modified_ns is not None and status.st_mtime_ns != modified_ns:
            raise Unreadable("changed since it was unpacked")
        data = os.read(descriptor, min(limit, status.st_size))
        while len(data) < min(limit, status.st_size) and (more := os.read(descriptor, limit - len(data))):
            data += more
        return data
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
