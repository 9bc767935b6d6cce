"""Where the state is, and what the host is called."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scheduler_bridge.daemon import places
from scheduler_bridge.daemon.mark import installation_of
from scheduler_bridge.daemon.places import host_name, make_state_folder, require_state_folder, state_folder
from scheduler_bridge.errors import BridgeError


@pytest.mark.parametrize(
    ("configured", "name"),
    [
        (["scan-1"], "scan-1"),
        (["localhost", "scan-2", "this"], "this"),
        (["scan-1", "scan-2"], "localhost"),
        ([], "localhost"),
    ],
)
def test_the_host_is_the_only_one_or_this_machine_or_localhost(configured: list[str], name: str) -> None:
    assert host_name(configured, "this") == name


def test_the_state_is_where_the_environment_says_then_common_then_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "COMMON", tmp_path / "scheduler-bridge")
    name = installation_of(tmp_path)
    offered = {"STATE_DIRECTORY": "/srv/offered:/srv/second"}
    given = {**offered, "SCHEDULER_BRIDGE_STATE": "relative"}
    assert state_folder(tmp_path, given, "/home/x", root=False) == Path.cwd() / "relative"
    assert state_folder(tmp_path, offered, "/home/x", root=True) == Path("/srv/offered")
    assert state_folder(tmp_path, {}, "/home/x", root=True) == tmp_path / "scheduler-bridge" / name
    at_home = Path("/home/x/.local/state/scheduler-bridge") / name
    assert state_folder(tmp_path, {}, "/home/x", root=False) == at_home
    (tmp_path / "scheduler-bridge" / name).mkdir(parents=True)
    assert state_folder(tmp_path, {}, "/home/x", root=False) == tmp_path / "scheduler-bridge" / name


def test_what_is_made_belongs_to_the_user_alone_below_a_common_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = tmp_path / "scheduler-bridge"
    monkeypatch.setattr(places, "COMMON", common)
    make_state_folder(common / "0123", os.getuid(), os.getgid())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (common, common / "0123")]
    assert modes == [0o755, 0o700]
    require_state_folder(common / "0123")


def test_a_folder_that_is_there_is_not_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    make_state_folder(tmp_path, 12345, 12345)
    assert (tmp_path.stat().st_uid, stat.S_IMODE(tmp_path.stat().st_mode)) == (os.getuid(), 0o750)


def test_a_folder_that_cannot_be_made_or_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BridgeError, match="set SCHEDULER_BRIDGE_STATE"):
        make_state_folder(tmp_path / "file" / "state", os.getuid(), os.getgid())
    tmp_path.chmod(0o777)
    with pytest.raises(BridgeError, match="everybody may write"):
        require_state_folder(tmp_path)
