"""`fo_scheduler` and the user it runs as: from root to PROJECTUSER, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.fleet import QUICK, configuration
from tests.integration.schedulers import Scheduler, call, gone
from tests.process_nodes import PROJECT

ROOT = os.geteuid() == 0
NOBODY = 65534
BECOME = """
import json, os, sys
from scheduler_bridge.daemon.errors import RefusedError
from scheduler_bridge.daemon.identity import become, find_identity, require
try:
    identity = find_identity("nobody", "nogroup")
    require(identity)
    become(identity)
except RefusedError as error:
    sys.exit(str(error))
def possible(deed, *arguments):
    try:
        deed(*arguments)
    except PermissionError:
        return False
    return True
tries = (os.setuid, 0), (os.seteuid, 0), (os.setgid, 0), (os.setgroups, [0])
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), [possible(*one) for one in tries]]))
"""


def blocked_by(path: Path) -> Path | None:
    """The outermost folder on the way to a path that other users may not enter."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH), None)


def for_everybody() -> list[str]:
    """What to put before a command whose process shall be able to start Python as any user.

    Nothing where that is possible anyway, as with the system's Python. Else a mount namespace in which the folders
    above Python, often root's home, are replaced by open ones that hold nothing else.
    """
    needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), PROJECT]
    closed = {folder: path for path in needed if (folder := blocked_by(path))}
    lines = ["set -e", "kept=$(mktemp -d)", "mount -t tmpfs -o mode=755 tmpfs $kept"]
    for number, (folder, path) in enumerate(closed.items()):
        lines += [f"mkdir $kept/{number}", f"mount --rbind '{path}' $kept/{number}"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs '{folder}'", f"mkdir -p '{path}'"]
        lines += [f"mount --rbind $kept/{number} '{path}'"]
    script = "\n".join([*lines, "umount -l $kept", "rmdir $kept", 'exec "$@"'])
    return ["unshare", "--mount", "sh", "-c", script, "sh"] if closed else []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def named(folder: Path, user: str, group: str) -> Path:
    """A configuration folder that names user and group."""
    configuration(folder, {"quick": QUICK})
    (folder / "fossology.conf").write_text(
        f"[DIRECTORIES]\nPROJECTUSER = {user}\nPROJECTGROUP = {group}\n[HOSTS]\nlocalhost = localhost x 2\n"
    )
    return folder


@pytest.mark.parametrize(("user", "group"), [("no-such-user", "nogroup"), ("nobody", "no-such-group")])
def test_an_unknown_user_or_group_is_refused(
    environment: dict[str, str], tmp_path: Path, user: str, group: str
) -> None:
    done = call(environment, "-c", str(named(tmp_path / "conf", user, group)))
    assert done.returncode == 255
    assert "could not find" in done.stderr
    assert "no-such" in done.stderr


def test_root_becomes_the_user_for_good_and_nobody_else_can() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOME], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if ROOT:
        users, groups, others, possible = json.loads(done.stdout)
        assert users == groups == [NOBODY] * 3
        assert others == [NOBODY]
        assert possible == [False] * 4
    else:
        assert "must be run as root, or as nobody in the group nogroup" in done.stderr


def test_everything_runs_as_the_user_and_root_can_end_it(
    environment: dict[str, str], open_folder: Path
) -> None:
    config = named(open_folder / "conf", "nobody", "nogroup")
    logs = open_folder / "logs"
    logs.mkdir()
    environment = {**environment, "SCHEDULER_BRIDGE_STATE": str(open_folder / "deep" / "state")}
    if not ROOT:
        done = call(environment, "-c", str(config))
        assert (done.returncode, "must be run as root" in done.stderr) == (255, True)
        return
    os.chown(logs, NOBODY, NOBODY)
    scheduler = Scheduler(environment, config, logs / "fossology.log", prefix=for_everybody())
    try:
        scheduler.wait_until_up()
        family = scheduler.family()
        assert {process.uids() for process in family} == {(NOBODY,) * 3}
        assert {process.gids() for process in family} == {(NOBODY,) * 3}
        assert scheduler.log.stat().st_uid == NOBODY
        state = (open_folder / "deep" / "state").stat()
        assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (NOBODY, 0o700)
        assert call(environment, "--kill", "--config", str(config)).returncode == 0
        assert scheduler.process.wait(40) == 0
        assert gone(family)
    finally:
        scheduler.close()


def test_a_user_who_cannot_run_this_python_is_told_so(environment: dict[str, str], open_folder: Path) -> None:
    config = named(open_folder / "conf", "nobody", "nogroup")
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").symlink_to(sys.executable)
    done = subprocess.run(
        [
            str(closed / "python"),
            "-c",
            f"import sys; sys.path[:0] = {sys.path!r}; from scheduler_bridge.cli import main; main()",
            *("fossology", "-c", str(config)),
        ],
        env={**environment, "SCHEDULER_BRIDGE_STATE": str(open_folder / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (254 if ROOT else 255)
    assert ("nobody cannot run" if ROOT else "must be run as root") in done.stderr
