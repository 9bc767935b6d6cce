"""What `run` scans, and how the paths get to the agent."""

from __future__ import annotations

from pathlib import Path

from scheduler_bridge.demo import installed_packages, scan_of


def test_without_paths_the_installed_packages_are_scanned() -> None:
    assert any((Path(folder) / "psycopg").is_dir() for folder in installed_packages())


def test_a_path_of_any_bytes_reaches_the_agent_as_ascii() -> None:
    stream = scan_of(["/srv/caf\udce9", "/srv/ä b"])
    assert stream.jobs[0].args == '["/srv/caf\\udce9", "/srv/\\u00e4 b"]'
    assert stream.name == "scan of /srv/caf\\udce9 /srv/ä b"
    assert stream.siblings() == {0: (0, 1, 2, 3, 4)}
