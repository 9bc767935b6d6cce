"""Where a job's log is in FOSSology's repository, and how it is made there.

With a depth of 3 the log of job 28 is `REPOSITORY/logs/00/00/28/000028`, that of job 1234567
`REPOSITORY/logs/12/34/56/1234567`. The repository itself must exist: where it is a mount that is missing,
nobody is helped by an empty copy of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOGS = "logs"
SHORTEST_NAME = 6  # digits; smaller numbers have leading zeros
FILE_MODE = 0o660  # the web server reads it as a member of the group, whatever our umask
FOLDER_MODE = 0o770


def log_path(job: int, depth: int) -> Path:
    """The log of a job, relative to the repository: below `depth` folders, or as many as its number has pairs."""
    name = f"{job:0{SHORTEST_NAME}d}"
    pairs = min(depth, len(name) // 2)
    return Path(LOGS, *(name[2 * n : 2 * n + 2] for n in range(pairs)), name)


def create(repository: Path, path: Path) -> int:
    """An empty file at `path` below the repository, open for writing; missing folders are made. OSError if impossible.

    What was there is replaced and not cut short: an attempt that has lost its job, and does not know it yet, goes on
    writing to the old file. Symbolic links inside the repository are followed as long as they stay inside.
    """
    root = os.path.realpath(repository)
    folder = os.path.realpath(os.path.join(root, path.parent))
    if os.path.commonpath((root, folder)) != root:
        raise OSError(
            errno.ELOOP, "a symbolic link leads out of the repository", str(repository / path.parent)
        )
    within = Path(folder).relative_to(root)
    folder_fd = _open_folders(root, within.parts)
    try:
        with suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=folder_fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND
        fd = os.open(path.name, flags, FILE_MODE, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    return _with_mode(fd, FILE_MODE)


def _open_folders(root: str, names: Sequence[str]) -> int:
    """The last of these folders, each below the one before; none of them may have become a link by now."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        try:
            below = _open_folder(name, fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_folder(name: str, parent: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(name, FOLDER_MODE, dir_fd=parent)
    except FileExistsError:  # another worker was faster, and it sets the mode
        return os.open(name, flags, dir_fd=parent)
    return _with_mode(os.open(name, flags, dir_fd=parent), FOLDER_MODE)


def _with_mode(fd: int, mode: int) -> int:
    """Set the mode against the umask; a set-group bit stays, by which a repository hands its group down."""
    try:
        os.fchmod(fd, mode | os.fstat(fd).st_mode & stat.S_ISGID)
    except OSError:
        os.close(fd)
        raise
    return fd
