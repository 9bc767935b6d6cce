"""The first agent of a scan: lists every file below the given paths, archives unpacked, with size and digest.

    python -m workers.agents.unpack PATH... [--json]

Its data is a path, or a JSON list of paths. Anything that is left out or cannot be read is noted; only an
input that yields nothing at all fails the job.
"""

# Names are many here and need not be text: os.path takes what the system gives.
# ruff: noqa: PTH100, PTH103, PTH110, PTH112, PTH117, PTH120, PTH208

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count

from workers.agents.budget import Limits
from workers.agents.helper import AgentError, Task, main, plain
from workers.agents.results import Totals, add_notes, finished, replacing, storable
from workers.agents.unpacking import Entry, Unpacker

AGENT = "unpack"
RELEASE = "1.0"
STATE = ".scheduler-bridge"
OURS = "scheduler-bridge"  # folder of the repository, which may be FOSSology's; `prune` knows it too

_COPY = """
copy scheduler_bridge.scan_file (stream, file, path, location, kind, size, modified_ns, sha256) from stdin"""


class Attempt:
    """The folder of one attempt at a stream, beside those of earlier ones until `keep`."""

    def __init__(self, parent: str) -> None:
        """`parent` is made if it is missing; it must be an absolute path when something is to be unpacked."""
        self._parent = parent
        self._folder: str | None = None

    @property
    def folder(self) -> str:
        """Raises AgentError when it cannot be made."""
        if not os.path.isabs(self._parent):  # an agent works in its own folder, not in the user's
            raise AgentError("nowhere to unpack to: set SCHEDULER_BRIDGE_REPOSITORY to an absolute path")
        if self._folder is None:
            try:
                for folder in (
                    os.path.dirname(self._parent),
                    self._parent,
                ):  # a mode is for the last folder only
                    os.makedirs(folder, 0o700, exist_ok=True)
                self._folder = tempfile.mkdtemp(dir=self._parent)
            except OSError as error:
                raise AgentError(f"nowhere to unpack to: {self._parent}: {error.strerror}") from None
        return self._folder

    def keep(self) -> None:
        """Remove the other attempts' folders; nobody but us may be at work in the stream."""
        if not (os.path.isabs(self._parent) and os.path.isdir(self._parent)):
            return
        for name in os.listdir(self._parent):
            if (other := os.path.join(self._parent, name)) != self._folder:
                shutil.rmtree(other, ignore_errors=True)

    def drop(self) -> None:
        """Remove this one's."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def work(task: Task) -> None:
    """Replace the stream's list of files."""
    paths = _paths(task.data)
    limits = _limits(task.arguments)
    attempt = Attempt(os.path.join(_files(), str(task.stream)))
    unpacker = Unpacker(attempt, limits, alive=task.heart, skip=_own_folders())
    try:
        with replacing(task.connection, task.stream, AGENT, alive=task.heart, files=True):
            _write_inputs(task, paths)
            files = _write(task, (entry for path in paths for entry in unpacker.entries(path)))
            add_notes(task.connection, task.stream, AGENT, unpacker.notes)
            finished(task.connection, task.stream, AGENT, RELEASE, Totals(files))
            attempt.keep()
    except BaseException:
        attempt.drop()
        raise
    for path, text in unpacker.notes:
        task.say("WARNING", f"{path}: {text}")
    task.heart(files)


def _write_inputs(task: Task, paths: Sequence[str]) -> None:
    task.connection.execute(
        "insert into scheduler_bridge.scan_input select distinct %s::int, path from unnest(%s::text[]) path",
        [task.stream, [storable(path) for path in paths]],
    )


def _write(task: Task, entries: Iterator[Entry]) -> int:
    """Copy the entries into the table while they are found; their number."""
    number = 0
    with task.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for number, entry in zip(count(1), entries):
            path = storable(entry.path)
            location = None if entry.place == path else os.fsencode(entry.place)
            copy.write_row(
                (task.stream, number, path, location, entry.kind, entry.size, entry.modified_ns, entry.sha256)
            )
            task.heart(number)
    return number


def _paths(data: str) -> list[str]:
    paths = _listed(data.strip("\n"))
    if not paths or not all(paths):
        raise AgentError("the data is neither a path nor a JSON list of paths")
    for path in paths:
        if not os.path.isabs(path):
            raise AgentError(f"{path}: not an absolute path")
        if not os.path.exists(path):
            raise AgentError(f"{path}: no such file or folder")
    return paths


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [path if isinstance(path, str) else "" for path in json.loads(text)]
        except ValueError:
            pass  # a path may begin like a list
    return [text]


def _limits(arguments: Sequence[str]) -> Limits:
    """The usual ones with what the job's own arguments change, such as --max-bytes=1000000."""
    defaults = Limits()
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for name in ("bytes", "entries", "ratio", "depth"):
        parser.add_argument(f"--max-{name}", type=int, default=getattr(defaults, _FIELDS.get(name, name)))
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise AgentError(str(error)) from None
    if unknown:
        raise AgentError(f"unknown arguments: {' '.join(unknown)}")
    return Limits(options.max_bytes, options.max_entries, options.max_ratio, depth=options.max_depth)


_FIELDS = {"bytes": "total_bytes"}


def _files() -> str:
    """Where unpacked files are kept, one folder for each stream."""
    state = os.environ.get("SCHEDULER_BRIDGE_STATE") or STATE
    repository = os.environ.get("SCHEDULER_BRIDGE_REPOSITORY") or os.path.join(state, "files")
    return os.path.join(repository, OURS)


def _own_folders() -> frozenset[str]:
    """What a scan of the project's own folder must not run into: servers' data, what was unpacked before."""
    state = os.environ.get("SCHEDULER_BRIDGE_STATE") or STATE
    return frozenset(map(os.path.realpath, (state, _files())))


def by_hand(arguments: list[str]) -> int:
    """Print the list; what is unpacked for it is removed again."""
    parser = argparse.ArgumentParser(prog="python -m workers.agents.unpack")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--json", action="store_true", help="one object a line")
    options, rest = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        unpacker = Unpacker(Attempt(folder), _limits(rest), alive=lambda: None, skip=_own_folders())
        for path in options.paths:
            for entry in unpacker.entries(os.path.abspath(path)):
                _print(entry, as_json=options.json)
    for path, text in unpacker.notes:
        print(plain(f"{storable(path)}: {text}"), file=sys.stderr)
    return 0


def _print(entry: Entry, *, as_json: bool) -> None:
    digest = entry.sha256.hex() if entry.sha256 else ""
    if as_json:
        row = {"path": storable(entry.path), "kind": entry.kind, "size": entry.size, "sha256": digest}
        print(json.dumps(row, ensure_ascii=False))
    else:
        print(plain(f"{entry.kind:8}{entry.size:>12}  {digest[:16]:16}  {storable(entry.path)}"))


if __name__ == "__main__":
    main(AGENT, RELEASE, work, alone=by_hand)
