"""The embedded servers: any path, any user, data that lasts, nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scheduler_bridge import embedded
from scheduler_bridge.daemon.reviver import Reviver
from scheduler_bridge.embedded import Services, announced, postgres, services, valkey
from scheduler_bridge.errors import BridgeError
from scheduler_bridge.launch import Identity
from scheduler_bridge.servers import LOOPBACK, ServerError
from tests.integration.fleet import until

FAST = {"fsync": "off"}
RUN_SERVICES = """
import signal, sys
from pathlib import Path
from scheduler_bridge.embedded import services
with services(Path(sys.argv[1]), {}) as running:
    print(running.database_url, running.redis_url, *(s.process.pid for s in running.servers), flush=True)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name would break an unquoted command line or configuration file."""
    return tmp_path / 'a "folder" with \\ spaces'


@pytest.fixture
def nobodys_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    home = Path("/var/tmp") / f"scheduler-bridge-test-{os.getpid()}"
    monkeypatch.setattr(embedded, "NOBODYS_HOME", home)
    yield home
    shutil.rmtree(home)


def test_both_servers_answer_and_keep_their_data_and_urls(folder: Path) -> None:
    with services(folder, {}) as first:
        with psycopg.connect(first.database_url) as connection:
            connection.execute("create table kept as select 'äöü'::text as word")
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("kept", "yes")
    with services(folder, {}) as again:
        assert again.environment == first.environment
        with psycopg.connect(again.database_url) as connection:
            assert connection.execute("select word from kept").fetchone() == ("äöü",)
        with redis.Redis.from_url(again.redis_url) as client:
            assert client.get("kept") == b"yes"


def test_settings_reach_the_server_and_fsync_is_on_unless_turned_off(tmp_path: Path) -> None:
    with postgres(tmp_path, {"work_mem": "7MB"}) as server, psycopg.connect(server.url) as connection:
        shown = [
            connection.execute(f"show {name}").fetchone() for name in ("fsync", "max_connections", "work_mem")
        ]
        connection.execute("create extension pg_stat_statements")
    assert shown == [("on",), ("200",), ("7MB",)]


def test_a_url_of_the_environment_starts_no_server(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://db.example/fossology", "REDIS_URL": "redis://broker.example/1"}
    with services(tmp_path, given) as running:
        assert running == Services(given["DATABASE_URL"], given["REDIS_URL"], database_is_ours=False)
    assert list(tmp_path.iterdir()) == []


def test_servers_listen_on_loopback_only_and_want_the_password(tmp_path: Path) -> None:
    with valkey(tmp_path / "valkey") as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        with (
            redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        listening = psutil.Process(server.process.pid).net_connections()
        assert {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN} == {LOOPBACK}
    assert (tmp_path / "valkey" / "server.conf").stat().st_mode & 0o077 == 0


def test_the_state_folder_and_all_in_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://db.example/fossology"}
    with services(tmp_path / "the" / "state", given):
        made = [tmp_path / "the" / name for name in ("", "state", "state/valkey", "state/valkey/log")]
        assert [path.stat().st_mode & 0o077 for path in made] == [0, 0, 0, 0]


def test_a_killed_launcher_leaves_no_server_and_no_damage(folder: Path) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", RUN_SERVICES, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    with launcher.stdout:
        database_url, _, *pids = launcher.stdout.readline().split()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table kept ()")
    family = [p for pid in pids for p in (psutil.Process(int(pid)), *psutil.Process(int(pid)).children())]
    launcher.kill()
    launcher.wait()
    with services(folder, {}) as again, psycopg.connect(again.database_url) as connection:
        assert again.database_url == database_url
        assert connection.execute("select to_regclass('kept')::text").fetchone() == ("kept",)
    assert psutil.wait_procs(family, timeout=10)[1] == []


def test_a_killed_server_starts_again_over_its_stale_lock_file(tmp_path: Path) -> None:
    with postgres(tmp_path, FAST) as server:
        server.process.kill()
        server.process.wait()
        assert server.ended
    stale = tmp_path / "data" / "postmaster.pid"
    lines = stale.read_text().splitlines()
    stale.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")  # by now the pid of someone else
    with postgres(tmp_path, FAST) as server:
        assert not server.ended


def test_an_interrupted_first_start_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")
    with postgres(tmp_path, FAST) as server:
        psycopg.connect(server.url).close()


def test_another_port_is_taken_when_the_remembered_one_is_in_use(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        (tmp_path / "port").write_text(str(other.getsockname()[1]))
        with valkey(tmp_path) as server:
            assert f":{other.getsockname()[1]}/" not in server.url


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler_bridge.servers.LOCK_WAIT_SECONDS", 0.1)
    with (
        valkey(tmp_path),
        pytest.raises(ServerError, match=r"is in use by another run: end that one .* SCHEDULER_BRIDGE_STATE"),
        valkey(tmp_path),
    ):
        pass


def test_without_the_wheels_the_servers_on_path_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    with valkey(tmp_path / "wheel") as server:
        (programs / "redis-server").symlink_to(Path(f"/proc/{server.process.pid}/exe").readlink())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(programs))
    with valkey(tmp_path / "path") as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_without_any_server_the_variable_to_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ServerError, match="no valkey-server on this machine: set REDIS_URL"),
        valkey(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ServerError, match="file cannot be used: File exists"), valkey(tmp_path / "file"):
        pass


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no_such_setting"), postgres(tmp_path, {"no_such_setting": "1"}):
        pass


def test_a_server_that_stops_unasked_is_named(tmp_path: Path) -> None:
    with services(tmp_path, {"DATABASE_URL": "postgresql://db.example/fossology"}) as running:
        assert running.ended() is None
        running.servers[0].process.send_signal(signal.SIGKILL)
        running.servers[0].process.wait()
        assert running.ended() == "valkey"


def kept_until_it_answers(reviver: Reviver, url: str) -> bool:
    """Whether the server answers, after what its reviver has to do for it."""
    reviver.look()
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.get("kept") == b"yes")
        except redis.ConnectionError:
            return False


def test_a_server_that_was_killed_comes_back_with_its_data_and_address(tmp_path: Path) -> None:
    told: list[str] = []
    with valkey(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        reviver = Reviver(server, told.append)
        assert reviver.look() is None
        first = reviver.pid
        server.process.kill()
        server.process.wait()
        assert 0 < (reviver.look() or 0) <= 1
        until(lambda: kept_until_it_answers(reviver, server.url), "the server")
        assert reviver.pid != first
        assert told == [f"{server.name} has ended, starts again in 1 s"]
        last = server.process
    assert last.poll() is not None


def test_a_server_that_cannot_be_started_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_bridge.procfile.FIRST_DELAY_SECONDS", 0.01)
    told: list[str] = []
    with valkey(tmp_path) as server:
        reviver = Reviver(server, told.append)
        (tmp_path / "server.conf").write_text("no-such-setting yes\n")
        server.process.kill()
        with pytest.raises(BridgeError, match="has ended 5 times in a row"):
            until(lambda: reviver.look() == -1, "the end of its patience")
    assert len(told) == 4


def test_addresses_are_read_as_they_are_written_even_with_blanks_and_quotes(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "dbname=fossology password='it''s \"$HOME\"'"}
    with services(tmp_path, given) as running:
        assert announced(tmp_path) == running.environment
    assert announced(tmp_path) == {}


@pytest.mark.parametrize(
    "identity", [Identity.NAMESPACE, Identity.NOBODY] if os.geteuid() == 0 else [Identity.SAME]
)
def test_postgres_runs_as_whoever_this_machine_allows(
    identity: Identity, tmp_path: Path, nobodys_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobodys_home.mkdir(mode=0o755)
    monkeypatch.setattr(embedded, "identity_for_postgres", lambda: identity)
    mode = tmp_path.stat().st_mode
    for _ in range(2):
        with postgres(tmp_path / "postgres", FAST) as server, psycopg.connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert tmp_path.stat().st_mode == mode
