"""Settings: who wins, where each value came from, and that every problem is reported at once."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from pathlib import Path

import pytest

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.errors import SettingsError
from scheduler_bridge.settings import TABLE, Settings, config_folder

MAIN = """\
[FOSSOLOGY]
port = 12354
path = /srv/repository
[HOSTS]
localhost = localhost /etc/fossology 6
scan-1 = scan-1 /etc/fossology 3
off = off /etc/fossology 0
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """A folder with a database, hosts, a port and a repository."""
    (tmp_path / "fossology.conf").write_text(MAIN)
    (tmp_path / "Db.conf").write_text("dbname=fossology;\npassword=hunter2;\n")
    (tmp_path / "mods-enabled").mkdir()
    return Configuration.read(tmp_path)


def read(
    options: dict[str, object] | None = None,
    configuration: Configuration | None = None,
    **environment: str,
) -> Settings:
    return Settings.read(options or {}, environment, configuration, hostname="this-host")


def refused(options: dict[str, object] | None = None, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(options, None, **environment)
    return str(caught.value).split("\n")


def test_with_nothing_given_servers_are_embedded_and_the_rest_has_defaults() -> None:
    settings = read()
    assert (settings.database_url, settings.redis_url) == (None, None)
    assert (settings.redis_verify, settings.redis_ca_file) == ("required", None)
    assert (settings.config_folder, settings.state_folder) == (None, Path(".scheduler-bridge"))
    assert (settings.host, settings.slots, settings.events, settings.window) == ("this-host", 10, True, 0)
    assert (settings.sweep_seconds, settings.lease_seconds, settings.stop_grace_seconds) == (5, 30, 20)
    assert (settings.repository_folder, settings.port, settings.web_port) == (None, 24693, 5555)
    assert settings.startup_tests
    assert settings.origins["database_url"] == "embedded"
    assert settings.origins["slots"] == "default"
    assert settings.origins["host"] == "hostname"
    assert settings.warnings == ()


def test_every_field_has_an_origin() -> None:
    settings = read()
    fields = {field.name for field in dataclasses.fields(settings)} - {"origins", "warnings"}
    assert fields == set(settings.origins) == {setting.name for setting in TABLE}


def test_the_environment_is_read_and_remembered() -> None:
    settings = read(
        DATABASE_URL="postgres://u:p@h/d",
        REDIS_URL="rediss://:p@h:6380",
        REDIS_TLS_VERIFY="none",
        REDIS_CA_FILE="/etc/ca.pem",
        PORT="8080",
        SCHEDULER_BRIDGE_CONFIG="/etc/fossology",
        SCHEDULER_BRIDGE_STATE="/var/lib/bridge",
        SCHEDULER_BRIDGE_HOST="scan-1",
        SCHEDULER_BRIDGE_SLOTS="4",
        SCHEDULER_BRIDGE_EVENTS="0",
        SCHEDULER_BRIDGE_STARTUP_TESTS="off",
        SCHEDULER_BRIDGE_SWEEP_SECONDS="2.5",
        SCHEDULER_BRIDGE_LEASE_SECONDS="60",
        SCHEDULER_BRIDGE_WINDOW="300",
        SCHEDULER_BRIDGE_STOP_GRACE_SECONDS="0",
        SCHEDULER_BRIDGE_REPOSITORY="/srv/files",
        SCHEDULER_BRIDGE_BIND="127.0.0.1, ::1",
        SCHEDULER_BRIDGE_TOKEN_FILE="/run/token",
        SCHEDULER_BRIDGE_TRUSTED="10.1.0.0/16",
        SCHEDULER_BRIDGE_PORT="0",
    )
    assert (settings.database_url, settings.redis_url) == ("postgres://u:p@h/d", "rediss://:p@h:6380")
    assert (settings.redis_verify, settings.redis_ca_file) == ("none", Path("/etc/ca.pem"))
    assert (settings.config_folder, settings.state_folder) == (
        Path("/etc/fossology"),
        Path("/var/lib/bridge"),
    )
    assert (settings.host, settings.slots, settings.events, settings.window) == ("scan-1", 4, False, 300)
    assert (settings.sweep_seconds, settings.lease_seconds, settings.stop_grace_seconds) == (2.5, 60, 0)
    assert (settings.repository_folder, settings.port, settings.web_port) == (Path("/srv/files"), 0, 8080)
    assert settings.origins["web_port"] == "environment PORT"
    assert (settings.bind, settings.token_file) == (("127.0.0.1", "::1"), Path("/run/token"))
    assert settings.trusted == (ip_network("10.1.0.0/16"),)
    assert not settings.startup_tests
    assert all(origin.startswith("environment ") for origin in settings.origins.values())


def test_an_option_wins_over_the_environment_and_that_over_the_folder(configuration: Configuration) -> None:
    environment = {"SCHEDULER_BRIDGE_PORT": "2"}
    for_all = read({"port": 1}, configuration, **environment)
    assert (for_all.port, for_all.origins["port"]) == (1, "option")
    without_option = read({"port": None}, configuration, **environment)
    assert (without_option.port, without_option.origins["port"]) == (2, "environment SCHEDULER_BRIDGE_PORT")
    folder_alone = read({}, configuration)
    assert folder_alone.port == 12354
    assert folder_alone.origins["port"] == f"{configuration.folder}/fossology.conf:2"


def test_the_folder_gives_database_and_repository_with_file_and_line(configuration: Configuration) -> None:
    settings = read({}, configuration)
    assert settings.database_url == "dbname=fossology password=hunter2"
    assert settings.origins["database_url"] == f"{configuration.folder}/Db.conf:1"
    assert settings.repository_folder == Path("/srv/repository")
    assert settings.origins["repository_folder"] == f"{configuration.folder}/fossology.conf:3"
    assert (settings.config_folder, settings.origins["config_folder"]) == (
        configuration.folder,
        "configuration folder",
    )


def test_the_database_url_of_a_hosting_service_wins_over_the_folder(configuration: Configuration) -> None:
    url = "postgres://abc:def@ec2-1.compute-1.amazonaws.com:5432/d0"
    assert read({}, configuration, DATABASE_URL=url).database_url == url


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_not_set(text: str) -> None:
    settings = read({"slots": text}, DATABASE_URL=text, PORT=text)
    assert (settings.database_url, settings.web_port, settings.slots) == (None, 5555, 10)


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    assert read(DATABASE_URL=" postgresql://h/d\n").database_url == "postgresql://h/d"


def test_the_pairs_of_libpq_are_a_database_too() -> None:
    assert read(DATABASE_URL="dbname=x host='/a b'").database_url == "dbname=x host='/a b'"


def test_the_slots_are_those_of_the_host_of_that_name(configuration: Configuration) -> None:
    settings = read({"host": "scan-1"}, configuration)
    assert (settings.slots, settings.origins["slots"]) == (3, f"{configuration.folder}/fossology.conf:6")
    assert settings.warnings == ()


def test_a_host_without_slots_has_none(configuration: Configuration) -> None:
    assert read({"host": "off"}, configuration).slots == 0


def test_a_host_that_the_folder_does_not_name_has_ten_slots_and_a_warning(
    configuration: Configuration,
) -> None:
    settings = read({}, configuration)
    assert (settings.slots, settings.origins["slots"]) == (10, "default")
    assert [problem.message for problem in settings.warnings] == [
        "[HOSTS] does not name this host, 'this-host', so it has 10 slots: set SCHEDULER_BRIDGE_HOST"
        " to one of localhost, off, scan-1, or SCHEDULER_BRIDGE_SLOTS"
    ]


def test_slots_of_ones_own_need_no_host_in_the_folder(configuration: Configuration) -> None:
    settings = read({}, configuration, SCHEDULER_BRIDGE_SLOTS="2")
    assert (settings.slots, settings.warnings) == (2, ())


def test_verification_asked_for_in_the_url_counts_unless_there_is_a_setting() -> None:
    url = "rediss://:p@h:6380?ssl_cert_reqs=CERT_NONE"
    settings = read(REDIS_URL=url)
    assert (settings.redis_verify, settings.origins["redis_verify"]) == (
        "none",
        "ssl_cert_reqs of the Redis URL",
    )
    assert read(REDIS_URL=url, REDIS_TLS_VERIFY="required").redis_verify == "required"


def test_an_option_may_be_the_value_itself() -> None:
    settings = read({"events": False, "slots": 3, "sweep_seconds": 1.5, "state_folder": Path("/s")})
    assert (settings.events, settings.slots, settings.sweep_seconds) == (False, 3, 1.5)
    assert settings.state_folder == Path("/s")


def test_all_problems_are_reported_at_once_each_with_its_source() -> None:
    assert refused(
        {"slots": "many", "slot": 1},
        DATABASE_URL="mysql://u:hunter2@h/d",
        PORT="99999",
        SCHEDULER_BRIDGE_SLOT="4",
        SCHEDULER_BRIDGE_EVENTS="perhaps",
    ) == [
        "environment: there is no setting SCHEDULER_BRIDGE_SLOT; did you mean 'SCHEDULER_BRIDGE_SLOTS'?",
        "environment DATABASE_URL: must start with postgresql:// or postgres://",
        "environment PORT: must be a whole number from 0 to 65535, not '99999'",
        "environment SCHEDULER_BRIDGE_EVENTS: must be 1 or 0, not 'perhaps'",
        "option: there is no setting 'slot'; did you mean 'slots'?",
        "option slots: must be a whole number from 0 to 10000, not 'many'",
    ]


def test_a_hostname_that_cannot_be_a_host_asks_for_a_name() -> None:
    with pytest.raises(SettingsError, match="hostname of this machine: must be letters"):
        Settings.read({}, {}, None, hostname="this host")


def test_errors_of_the_folder_are_reported_with_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "fossology.conf").write_text("[FOSSOLOGY]\nport = x\nnonsense\n")
    with pytest.raises(SettingsError) as caught:
        read({}, Configuration.read(tmp_path), PORT="x")
    assert len(str(caught.value).split("\n")) == 3


def test_a_broken_agent_type_is_a_warning_and_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "mods-enabled" / "nomos").mkdir(parents=True)
    (tmp_path / "mods-enabled" / "nomos" / "nomos.conf").write_text("nonsense\n")
    settings = read({}, Configuration.read(tmp_path))
    assert any("nonsense" in problem.message for problem in settings.warnings)


def test_names_of_others_in_the_environment_are_none_of_our_business() -> None:
    assert read(SCHEDULER="x", BRIDGE="y", scheduler_bridge_slots="z").slots == 10


def test_what_a_worker_hands_to_its_agents_is_no_unknown_setting() -> None:
    assert read(SCHEDULER_BRIDGE_PYTHON="/usr/bin/python3").slots == 10


def test_the_description_has_each_setting_and_no_password(configuration: Configuration) -> None:
    settings = read({}, configuration, REDIS_URL="redis://:hunter2@h:6379/0")
    described = settings.describe()
    assert [name for name, _, _ in described] == [setting.name for setting in TABLE]
    assert described[0] == (
        "database_url",
        "dbname=fossology password=***",
        f"{configuration.folder}/Db.conf:1",
    )
    assert described[1] == ("redis_url", "redis://:***@h:6379/0", "environment REDIS_URL")
    assert "hunter2" not in str(described)
    assert "hunter2" not in repr(settings)


def test_the_description_of_defaults_can_be_read_by_people() -> None:
    described = {name: (text, origin) for name, text, origin in read().describe()}
    assert described["database_url"] == ("embedded", "embedded")
    assert described["redis_ca_file"] == ("(not set)", "default")
    assert described["events"] == ("on", "default")
    assert described["sweep_seconds"] == ("5", "default")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().slots = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({"config_folder": "/a"}, {"SCHEDULER_BRIDGE_CONFIG": "/b"}, Path("/a")),
        ({}, {"SCHEDULER_BRIDGE_CONFIG": "/b", "FO_SYSCONFDIR": "/c"}, Path("/b")),
        ({"config_folder": None}, {"FO_SYSCONFDIR": "/c"}, Path("/c")),
        ({}, {"SCHEDULER_BRIDGE_CONFIG": ""}, None),
    ],
)
def test_the_folder_to_read_is_found_by_the_same_precedence(
    options: dict[str, object], environment: dict[str, str], expected: Path | None
) -> None:
    assert config_folder(options, environment) == expected


def test_the_folder_says_where_commands_are_taken_and_from_whom(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    (folder / "mods-enabled").mkdir(parents=True)
    lines = [
        "[FOSSOLOGY]",
        "port = 2",
        "address = host",
        "[SCHEDULER]",
        "bind = *",
        "trusted = 10.0.0.0/8 fd00::/8",
    ]
    (folder / "fossology.conf").write_text("\n".join([*lines, "token_file = /etc/token", ""]))
    settings = read({}, Configuration.read(folder))
    assert settings.bind == ("",)
    assert settings.trusted == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.token_file == Path("/etc/token")
    assert settings.origins["bind"] == f"{folder}/fossology.conf:5"
    shown = {name: value for name, value, _ in settings.describe()}
    assert (shown["bind"], shown["trusted"]) == ("*", "10.0.0.0/8, fd00::/8")


@pytest.mark.parametrize(
    ("name", "text"), [("BIND", "a b;c"), ("TRUSTED", "10.0.0.1/8"), ("TRUSTED", "everybody")]
)
def test_addresses_that_are_none_are_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"SCHEDULER_BRIDGE_{name}"):
        read({}, None, **{f"SCHEDULER_BRIDGE_{name}": text})
