"""A configuration folder as one value."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from scheduler_bridge.configuration.folder import Configuration, Timers
from scheduler_bridge.model.agents import Host

MAIN = """\
[FOSSOLOGY]
port = 12354
depth = 2
path = /srv/repository
[HOSTS]
localhost = localhost /etc/fossology 10
far = far.example /etc/fossology 4
[DIRECTORIES]
PROJECT = fossology
PROJECTUSER = fossy
PROJECTGROUP = fossygroup
LOGDIR = /var/log/$PROJECT
[SCHEDULER]
agent_death_timer = 10
agent_update_interval = 15
agent_update_number = 1
"""
NOMOS = "[default]\ncommand = nomos\nmax = -1\nspecial[] =\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as an installation leaves it."""
    (tmp_path / "fossology.conf").write_text(MAIN)
    (tmp_path / "Db.conf").write_text("# made\ndbname=fossology;\nuser=fossy;\npassword=hunter2;\n")
    (tmp_path / "VERSION").write_text("[BUILD]\nVERSION=4.7.1\nCOMMIT_HASH=abc123\n")
    (tmp_path / "mods-enabled" / "nomos").mkdir(parents=True)
    (tmp_path / "mods-enabled" / "nomos" / "nomos.conf").write_text(NOMOS)
    return tmp_path


def test_everything_in_the_folder_is_read(folder: Path) -> None:
    found = Configuration.read(folder)
    assert found.problems == ()
    assert list(found.agent_types) == ["nomos"]
    assert dict(found.hosts) == {
        "far": Host("far", 4, "far.example"),
        "localhost": Host("localhost", 10, "localhost"),
    }
    assert (found.port, found.repository_depth) == (12354, 2)
    assert (found.log_folder, found.repository_path) == (Path("/var/log/fossology"), Path("/srv/repository"))
    assert (found.user, found.group, found.commit_hash) == ("fossy", "fossygroup", "abc123")
    assert found.conninfo is not None
    assert found.conninfo.text == "dbname=fossology user=fossy password=hunter2"


def test_timers_that_are_given_replace_the_shipped_ones(folder: Path) -> None:
    assert Configuration.read(folder).timers == Timers(5, 10, 15, 1, 10)


def test_without_the_group_the_timers_are_the_shipped_ones(folder: Path) -> None:
    (folder / "fossology.conf").write_text("[FOSSOLOGY]\nport = 1\n")
    assert Configuration.read(folder).timers == Timers(5, 180, 120, 5, 10)


def test_values_know_where_they_were_written(folder: Path) -> None:
    places = Configuration.read(folder).places
    assert places["port"] == f"{folder}/fossology.conf:2"
    assert places["repository_path"] == f"{folder}/fossology.conf:4"
    assert places["hosts.far"] == f"{folder}/fossology.conf:7"
    assert places["database"] == f"{folder}/Db.conf:2"


def test_it_cannot_be_changed(folder: Path) -> None:
    found = Configuration.read(folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.hosts["x"] = Host("x", 1)  # type: ignore[index]


def test_the_password_is_not_in_its_representation(folder: Path) -> None:
    assert "hunter2" not in repr(Configuration.read(folder))


def test_reading_again_sees_what_has_changed(folder: Path) -> None:
    before = Configuration.read(folder)
    (folder / "mods-enabled" / "ojo").mkdir()
    (folder / "mods-enabled" / "ojo" / "ojo.conf").write_text(NOMOS)
    assert list(Configuration.read(folder).agent_types) == ["nomos", "ojo"]
    assert list(before.agent_types) == ["nomos"]


def test_errors_of_an_agent_type_do_not_count_as_errors_of_the_whole(folder: Path) -> None:
    (folder / "mods-enabled" / "nomos" / "nomos.conf").write_text("nonsense")
    found = Configuration.read(folder)
    assert found.errors == ()
    assert found.agent_types == {}
    assert [problem.line for problem in found.agent_errors] == [1]


def test_a_broken_agent_type_is_named_with_its_first_error(folder: Path) -> None:
    for name, text in {"ojo": "[default]\n", "bare": "", "two words": NOMOS, "warned": NOMOS + "x\n"}.items():
        (folder / "mods-enabled" / name).mkdir()
        (folder / "mods-enabled" / name / f"{name}.conf").write_text(text)
    (folder / "mods-enabled" / "no agent").mkdir()
    modules = folder / "mods-enabled"
    assert Configuration.read(folder).broken_agent_types == {
        "ojo": f"{modules}/ojo/ojo.conf:1: [default] lacks the key command: add the line 'command ='",
        "bare": f"{modules}/bare/bare.conf: the group [default] is missing",
        "two words": f"{modules}/two words/two words.conf: the name of an agent type has letters, digits and"
        " _ . - only: rename its folder",
        "warned": f"{modules}/warned/warned.conf:5: neither a comment, nor [group], nor key = value: 'x'",
    }


def test_a_warning_breaks_no_agent_type(folder: Path) -> None:
    (folder / "mods-enabled" / "nomos" / "nomos.conf").write_text(NOMOS + "special[] = ODD\n")
    found = Configuration.read(folder)
    assert (list(found.agent_types), found.broken_agent_types) == (["nomos"], {})
    assert len(found.warnings) == 1


def test_errors_warnings_and_errors_of_agent_types_are_apart_and_together(folder: Path) -> None:
    (folder / "fossology.conf").write_text(MAIN + "nonsense\ninterface_nthreads = 4 threads\n")
    (folder / "mods-enabled" / "nomos" / "nomos.conf").write_text("nonsense")
    found = Configuration.read(folder)
    assert [problem.line for problem in found.errors] == [17]
    assert [problem.line for problem in found.warnings] == [18]
    assert found.problems == found.errors + found.agent_errors + found.warnings
    assert found.timers.interface_threads == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("port = 12354", "port = 99999", ":2: port is 99999, it must be from 1 to 65535"),
        ("port = 12354", "port = any", ":2: port must be a whole number, not 'any'"),
        ("port = 12354", "port[] = 1", ":2: port is one value, not a list: write port = ..."),
        ("depth = 2", "depth = -1", ":3: depth is -1, it must be from 0 to 16"),
        ("death_timer = 10", "death_timer = 0", ":14: agent_death_timer is 0, it must be from 1 to 2592000"),
        ("[HOSTS]", "[HOSTS", ":5: not the name of a group: '[HOSTS'"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_line(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "fossology.conf").write_text(MAIN.replace(old, new))
    errors = [str(problem) for problem in Configuration.read(folder).errors]
    assert errors == [f"{folder}/fossology.conf{message}"]


def test_a_folder_of_agent_types_alone_is_enough(folder: Path) -> None:
    for name in ("fossology.conf", "Db.conf", "VERSION"):
        (folder / name).unlink()
    found = Configuration.read(folder)
    assert found.problems == ()
    assert (found.port, found.hosts, found.conninfo, found.repository_path) == (24693, {}, None, None)
    assert found.places == {}


def test_an_installation_without_the_database_file_is_a_warning(folder: Path) -> None:
    (folder / "Db.conf").unlink()
    found = Configuration.read(folder)
    assert found.errors == ()
    assert [problem.message for problem in found.warnings] == [
        "Db.conf is missing: agents will not find the database"
    ]


@pytest.mark.parametrize("content", ["", "# nothing\n", "password=hunter2 hunter3;\n"])
def test_a_database_file_that_cannot_be_used_is_an_error_and_not_an_embedded_server(
    folder: Path, content: str
) -> None:
    (folder / "Db.conf").write_text(content)
    found = Configuration.read(folder)
    assert found.conninfo is None
    assert len(found.errors) == 1
    assert "hunter2" not in str(found.errors[0])


def test_a_database_file_that_cannot_be_opened_is_an_error(folder: Path) -> None:
    (folder / "Db.conf").unlink()
    (folder / "Db.conf").symlink_to(folder / "Db.conf")  # a loop, refused for root too
    errors = [str(problem) for problem in Configuration.read(folder).errors]
    assert len(errors) == 1
    assert errors[0].startswith(f"{folder}/Db.conf: cannot be read: ")


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(folder: Path) -> None:
    (folder / "fossology.conf").unlink()
    os.mkfifo(folder / "fossology.conf")
    assert [problem.message for problem in Configuration.read(folder).errors] == ["is not a file"]


def test_what_is_wrong_with_the_version_is_only_a_warning(folder: Path) -> None:
    (folder / "VERSION").write_text("nonsense")
    found = Configuration.read(folder)
    assert found.errors == ()
    assert [problem.message for problem in found.warnings] == [
        "neither a comment, nor [group], nor key = value: 'nonsense'"
    ]


def test_a_wrong_path_is_an_error(tmp_path: Path) -> None:
    assert [str(problem) for problem in Configuration.read(tmp_path / "none").errors] == [
        f"{tmp_path}/none: is not a folder: name the one that holds fossology.conf"
    ]
    assert [problem.message for problem in Configuration.read(tmp_path).errors] == [
        "is no configuration folder: it has neither fossology.conf nor mods-enabled"
    ]


def test_a_file_in_the_place_of_the_agent_types_is_an_error_of_the_whole(folder: Path) -> None:
    (folder / "mods-enabled" / "nomos" / "nomos.conf").unlink()
    (folder / "mods-enabled" / "nomos").rmdir()
    (folder / "mods-enabled").rmdir()
    (folder / "mods-enabled").write_text("")
    errors = [str(problem) for problem in Configuration.read(folder).errors]
    assert errors == [f"{folder}/mods-enabled: cannot be read: Not a directory"]


def test_a_repository_that_is_well_formed_passes(tmp_path: Path) -> None:
    (tmp_path / "mods-enabled").mkdir()
    (tmp_path / "fossology.conf").write_text("[REPOSITORY]\nlocalhost[] = * 00 ff\nstore[] = gold 00 7F\n")
    assert Configuration.read(tmp_path).errors == ()


@pytest.mark.parametrize(
    "line", ["h[] = * ff 00", "h[] = silver 00 ff", "h[] = * 00", "h[] = * 00 gg", "h = * 00 ff"]
)
def test_a_broken_repository_keeps_the_scheduler_from_starting(tmp_path: Path, line: str) -> None:
    (tmp_path / "mods-enabled").mkdir()
    (tmp_path / "fossology.conf").write_text(f"[REPOSITORY]\n{line}\n")
    (problem,) = Configuration.read(tmp_path).errors
    assert problem.line == 2 and "the repository of h" in problem.message
