"""The last agent of a scan: joins what the others found in a stream into a report, as Markdown and as JSON.

    python -m workers.agents.report --show STREAM [--json]

reads a stored report back. Which packages there are and what they declare is read from their metadata here.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, LiteralString

from workers.agents.documents import document
from workers.agents.helper import AgentError, Start, Task, main
from workers.agents.markdown import markdown
from workers.agents.packages import Packages, is_metadata
from workers.agents.results import Connection, Totals, finished, replacing
from workers.agents.summary import CopyrightRow, Facts, LicenseRow, summarise
from workers.agents.tree import Unreadable, content

AGENT = "report"
RELEASE = "1.0"
METADATA_BYTES = 16 << 20  # of a RECORD are read

_FILES = """
select count(*), coalesce(sum(size), 0)::bigint from scheduler_bridge.scan_file
where stream = %s and sha256 is not null"""
_INPUTS = "select path from scheduler_bridge.scan_input where stream = %s order by path"
_RUNS = """
select agent, version, cached from scheduler_bridge.scan_run
where stream = %s and agent <> 'report' order by agent"""
# Looked up file by file, as in results.py, and for the same reason.
_PATH = """
cross join lateral (
    select path from scheduler_bridge.scan_file
    where stream = found.stream and file = found.file offset 0) f
where found.stream = %s order by found.file, found.line"""
_LICENSES = f"""
select f.path, found.license, found.kind, found.line from scheduler_bridge.scan_license found {_PATH}"""
_COPYRIGHTS = f"""
select f.path, found.holder, found.years from scheduler_bridge.scan_copyright found {_PATH}"""
_MIMETYPES = """
select mimetype, count(*) from scheduler_bridge.scan_mimetype
where stream = %s group by 1 order by 2 desc, 1"""
_NOTES = """
select agent, path, note from scheduler_bridge.scan_note where stream = %s order by agent, path, note"""
_METADATA = """
select path, location, modified_ns from scheduler_bridge.scan_file
where stream = %s and sha256 is not null
    and path ~ '/(METADATA|PKG-INFO|RECORD|installed-files[.]txt|top_level[.]txt|package[.]json)$'"""
_STORE = """
insert into scheduler_bridge.scan_report (stream, format, text) values (%(stream)s, %(format)s, %(text)s)
on conflict (stream, format) do update set text = excluded.text, created_at = now()"""


def work(task: Task) -> None:
    """Replace the stream's report."""
    connection, stream = task.connection, task.stream
    with replacing(connection, stream, AGENT, alive=task.heart):
        summary = summarise(_facts(connection, stream), _packages(connection, stream))
        task.heart(summary.facts.files)
        texts = {
            "markdown": markdown(summary),
            "json": json.dumps(document(summary), ensure_ascii=False, indent=1),
        }
        for format_name, text in texts.items():
            connection.execute(_STORE, {"stream": stream, "format": format_name, "text": text})
        finished(connection, stream, AGENT, RELEASE, Totals(summary.facts.files))


def _facts(connection: Connection, stream: int) -> Facts:
    """Raises AgentError when unpack has not run."""

    def rows(statement: LiteralString) -> list[tuple[Any, ...]]:
        return connection.execute(statement, [stream]).fetchall()

    runs = rows(_RUNS)
    agents = {agent: version for agent, version, _ in runs}
    if "unpack" not in agents:
        raise AgentError(f"stream {stream} has no list of files: unpack has not run in it")
    files, size = rows(_FILES)[0]
    return Facts(
        stream=stream,
        files=files,
        bytes=size,
        inputs=tuple(path for (path,) in rows(_INPUTS)),
        agents=agents,
        cached=sum(cached for _, _, cached in runs),
        licenses=[LicenseRow(*row) for row in rows(_LICENSES)],
        copyrights=[CopyrightRow(*row) for row in rows(_COPYRIGHTS)],
        mimetypes=[(kind, count) for kind, count in rows(_MIMETYPES)],
        notes=[(agent, path, note) for agent, path, note in rows(_NOTES)],
    )


def _packages(connection: Connection, stream: int) -> Packages:
    places = {path: (location or path, ns) for path, location, ns in connection.execute(_METADATA, [stream])}

    def read(path: str) -> bytes | None:
        if path not in places:
            return None
        place, modified_ns = places[path]
        try:
            return content(place, METADATA_BYTES, modified_ns)
        except Unreadable:
            return None  # license has noted it: it reads every file

    return Packages.among(filter(is_metadata, places), read)


def by_hand(arguments: list[str]) -> int:
    """Print a stored report."""
    parser = argparse.ArgumentParser(prog="python -m workers.agents.report")
    parser.add_argument("--show", type=int, required=True, metavar="STREAM")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    task = Task(Start.read([]), "", None)
    try:
        print(stored(task.connection, options.show, "json" if options.json else "markdown"), end="")
    finally:
        task.close()
    return 0


def stored(connection: Connection, stream: int, format_name: str) -> str:
    """The report of a stream. Raises AgentError when there is none."""
    row = connection.execute(
        "select text from scheduler_bridge.scan_report where stream = %s and format = %s",
        [stream, format_name],
    ).fetchone()
    if row is None:
        raise AgentError(f"stream {stream} has no report")
    return str(row[0])


if __name__ == "__main__":
    main(AGENT, RELEASE, work, alone=by_hand)
