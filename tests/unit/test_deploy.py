"""What deploy/ holds for those who run it."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler_bridge.procfile import read_procfile

ROOT = Path(__file__).parents[2]
SECRETS = ("PASSWORD", "BASIC_AUTH")


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    return loaded


def test_no_container_has_a_password_on_its_command_line(compose: dict[str, Any]) -> None:
    words = [
        (name, word)
        for name, service in compose["services"].items()
        for word in (*service.get("command", ()), *service.get("healthcheck", {}).get("test", ()))
    ]
    assert [(name, word) for name, word in words if any(secret in word for secret in SECRETS)] == []


def test_the_broker_reads_its_password_and_keeps_every_message(compose: dict[str, Any]) -> None:
    broker = compose["services"]["broker"]
    (mounted,) = broker["configs"]
    assert broker["command"] == ["valkey-server", mounted["target"]]
    lines = compose["configs"][mounted["source"]]["content"].splitlines()
    assert [line.split()[0] for line in lines] == ["requirepass", "appendonly", "save", "maxmemory-policy"]


def test_every_part_of_the_procfile_is_a_container_with_its_command(compose: dict[str, Any]) -> None:
    for part in read_procfile(ROOT / "Procfile"):
        command = compose["services"][part.name]["command"]
        assert command == [word for word in part.command if word != "exec"]


def unit(name: str) -> dict[str, str]:
    """The section [Service] of one of our units; of a key that is repeated the last value."""
    parser = RawConfigParser(strict=False)
    parser.read(ROOT / "deploy" / "systemd" / f"scheduler-bridge-{name}.service")
    return dict(parser["Service"])


def test_whatever_runs_before_the_processes_waits_for_the_database(compose: dict[str, Any]) -> None:
    words = unit("migrate")["execstart"].split()
    assert words[-2:] == ["migrate", "--wait"]
    assert "--wait" in compose["services"]["migrate"]["command"]


def test_systemd_starts_every_process_again_but_a_worker_that_was_drained() -> None:
    restarts = {part.name: unit(part.name)["restart"] for part in read_procfile(ROOT / "Procfile")}
    assert restarts.pop("worker") == "on-failure"
    assert set(restarts.values()) == {"always"}


def test_systemd_runs_the_commands_of_the_procfile() -> None:
    for part in read_procfile(ROOT / "Procfile"):
        words = unit(part.name)["execstart"].replace("%%", "%").split()
        assert [Path(words[0]).name, *words[1:]] == [word for word in part.command if word != "exec"]
