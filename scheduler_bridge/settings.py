"""Settings: one frozen value read once, at the door; nothing else reads the environment.

Precedence: option > environment > configuration folder > embedded or default. Each value remembers where it
came from. All problems are reported together, and an unknown name is refused with a suggestion, because a
setting that is misspelt and silently ignored costs more than a start that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scheduler_bridge.configuration import values
from scheduler_bridge.configuration.folder import DEFAULT_PORT, Configuration
from scheduler_bridge.configuration.masking import masked
from scheduler_bridge.configuration.problem import Problem, listing
from scheduler_bridge.configuration.suggestion import did_you_mean
from scheduler_bridge.errors import SettingsError

PREFIX = "SCHEDULER_BRIDGE_"
FOR_AGENTS = frozenset({PREFIX + "PYTHON"})  # set by a worker for its agents, which may start us again
EMBEDDED = "embedded"
HOSTNAME = "hostname"  # origin of a host's name that nothing else gives
DEFAULT_SLOTS = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table of settings."""

    name: str  # of the field, and of the option
    parse: Callable[[str], object]
    environment: tuple[str, ...] = ()  # names, the first that is set counts
    default: object = None
    unset: str = "(not set)"  # how None is shown
    show: Callable[[str], str] = str  # must hide passwords


TABLE = (
    Setting(
        "database_url", values.database_url, ("DATABASE_URL",), None, EMBEDDED, values.masked_database_url
    ),
    Setting("redis_url", values.redis_url, ("REDIS_URL",), None, EMBEDDED, masked),
    Setting("redis_verify", values.verification, ("REDIS_TLS_VERIFY",), "required"),
    Setting("redis_ca_file", values.path, ("REDIS_CA_FILE",)),
    Setting("config_folder", values.path, (PREFIX + "CONFIG", "FO_SYSCONFDIR")),
    Setting("state_folder", values.path, (PREFIX + "STATE",), Path(".scheduler-bridge")),
    Setting("host", values.host_name, (PREFIX + "HOST",)),
    Setting("slots", values.whole(0, 10_000), (PREFIX + "SLOTS",), DEFAULT_SLOTS),
    Setting("events", values.switch, (PREFIX + "EVENTS",), True),
    Setting("startup_tests", values.switch, (PREFIX + "STARTUP_TESTS",), True),
    Setting("sweep_seconds", values.seconds(0.1, 60), (PREFIX + "SWEEP_SECONDS",), 5.0),
    Setting("lease_seconds", values.seconds(1, 3600), (PREFIX + "LEASE_SECONDS",), 30.0),
    Setting("window", values.whole(0, 100_000), (PREFIX + "WINDOW",), 0),
    Setting("stop_grace_seconds", values.seconds(0, 86_400), (PREFIX + "STOP_GRACE_SECONDS",), 20.0),
    Setting("repository_folder", values.path, (PREFIX + "REPOSITORY",)),
    Setting("port", values.whole(0, 65_535), (PREFIX + "PORT",), DEFAULT_PORT),
    Setting("bind", values.addresses, (PREFIX + "BIND",), ("127.0.0.1",)),
    Setting("token_file", values.path, (PREFIX + "TOKEN_FILE",)),
    Setting("trusted", values.networks, (PREFIX + "TRUSTED",), (), "(nobody)"),
    Setting("web_port", values.whole(0, 65_535), ("PORT",), 5555),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the processes of this host run with."""

    database_url: str | None = field(repr=False)  # URL or libpq's pairs, with password; None: embedded server
    redis_url: str | None = field(repr=False)  # with password; None: embedded server
    redis_verify: str  # certificate of rediss://: "required", "optional" or "none"
    redis_ca_file: Path | None  # certificates to verify it with; None: the system's
    config_folder: Path | None  # FOSSology's SYSCONFDIR
    state_folder: Path  # of the embedded servers
    host: str  # this host's name in [HOSTS] and jq_host
    slots: int  # agents at once on this host; 0: none
    events: bool  # whether workers send Celery events
    startup_tests: bool  # whether a worker runs an agent type only once it has been tested there
    sweep_seconds: float  # between two sweeps
    lease_seconds: float  # a lease not renewed for so long is lost
    window: int  # hints outstanding per stream; 0: derived from the fleet's slots
    stop_grace_seconds: float  # from the first signal to SIGKILL
    repository_folder: Path | None  # where agents keep files
    port: int  # TCP port of the commands; 0: any free one
    bind: tuple[str, ...]  # addresses of that port; "": every one
    token_file: Path | None  # holds what clients on other machines must say first; None: they are refused
    trusted: tuple[IPv4Network | IPv6Network, ...]  # networks whose clients need no token
    web_port: int  # HTTP port of the monitor; 0: any free one
    origins: Mapping[str, str]  # by name of the fields above
    warnings: tuple[Problem, ...]

    @classmethod
    def read(
        cls,
        options: Mapping[str, object],
        environment: Mapping[str, str],
        configuration: Configuration | None = None,
        *,
        hostname: str,
    ) -> Settings:
        """The settings of one process; `hostname` is the machine's own, used where nothing names the host.

        `options` has the names of the fields above; None and "" mean not given, in the environment too.
        Raises SettingsError, which lists every problem, those of the configuration folder too.
        """
        reading = _Reading(options, environment, configuration)
        reading.refuse_unknown_names()
        found = {setting.name: reading.value(setting, hostname) for setting in TABLE}
        if reading.problems:
            raise SettingsError(listing(reading.problems))
        origins = MappingProxyType(reading.origins)
        return cls(**found, origins=origins, warnings=tuple(reading.warnings))

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, value without passwords and origin of each setting, in the order of the documentation."""
        return [
            (setting.name, _shown(setting, getattr(self, setting.name)), self.origins[setting.name])
            for setting in TABLE
        ]


def config_folder(options: Mapping[str, object], environment: Mapping[str, str]) -> Path | None:
    """The configuration folder to read before Settings; None where nothing names one."""
    setting = next(setting for setting in TABLE if setting.name == "config_folder")
    text = next((text for text, _ in _given(setting, options, environment)), None)
    return Path(text) if text else None


def _shown(setting: Setting, value: object) -> str:
    if value is None:
        return setting.unset
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(str(one) or "*" for one in value) or setting.unset
    return f"{value:g}" if isinstance(value, float) else setting.show(str(value))


def _given(
    setting: Setting, options: Mapping[str, object], environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The texts given for a setting with their origins, the strongest first."""
    option = options.get(setting.name)
    if option is not None and str(option).strip():
        yield str(option).strip(), "option"
    for name in setting.environment:
        text = environment.get(name, "").strip()
        if text:
            yield text, f"environment {name}"


class _Reading:
    """One pass over the table, collecting values, origins and problems."""

    def __init__(
        self,
        options: Mapping[str, object],
        environment: Mapping[str, str],
        configuration: Configuration | None,
    ) -> None:
        self.options = options
        self.environment = environment
        self.configuration = configuration
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[Problem] = list(configuration.errors) if configuration else []
        self.warnings: list[Problem] = []
        if configuration:
            self.warnings += [*configuration.agent_errors, *configuration.warnings]

    def refuse_unknown_names(self) -> None:
        names = {setting.name for setting in TABLE}
        known = {name for setting in TABLE for name in setting.environment}
        for name in sorted(set(self.options) - names):
            near = did_you_mean(name, names)
            self.problems.append(Problem("option", 0, f"there is no setting {name!r}{near}"))
        for name in sorted(self.environment):
            if name.startswith(PREFIX) and name not in known | FOR_AGENTS:
                near = did_you_mean(name, known)
                self.problems.append(Problem("environment", 0, f"there is no setting {name}{near}"))

    def value(self, setting: Setting, hostname: str) -> Any:
        """The value of one setting; later settings may rest on it."""
        text, origin = next(_given(setting, self.options, self.environment), (None, ""))
        if text is not None:
            value = self._parsed(setting, text, origin)
        else:
            value, origin = self._configured(setting, hostname)
        self.values[setting.name] = value
        self.origins[setting.name] = origin
        return value

    def _parsed(self, setting: Setting, text: str, origin: str) -> object:
        try:
            return setting.parse(text)
        except ValueError as error:
            source = f"option {setting.name}" if origin == "option" else origin
            self.problems.append(Problem(source, 0, str(error)))
            return setting.default

    def _configured(self, setting: Setting, hostname: str) -> tuple[object, str]:
        """From the configuration folder, from another setting, or the default."""
        match setting.name:
            case "host":
                return self._parsed(setting, hostname, "hostname of this machine"), HOSTNAME
            case "slots":
                return self._slots(str(self.values["host"]))
            case "redis_verify":
                return self._verification(setting)
            case "bind" | "trusted" if self.configuration and setting.name in self.configuration.places:
                text = getattr(self.configuration.command_access, setting.name)
                place = self.configuration.places[setting.name]
                return self._parsed(setting, text or "", place), place
        value, place = self._in_folder(setting.name)
        if value is not None:
            return value, place
        return setting.default, EMBEDDED if setting.unset == EMBEDDED else "default"

    def _in_folder(self, name: str) -> tuple[object, str]:
        configuration = self.configuration
        if configuration is None:
            return None, ""
        places = configuration.places
        match name:
            case "database_url" if configuration.conninfo:
                return configuration.conninfo.text, places["database"]
            case "config_folder":
                return configuration.folder, "configuration folder"
            case "repository_folder" if configuration.repository_path:
                return configuration.repository_path, places["repository_path"]
            case "port" if "port" in places:
                return configuration.port, places["port"]
            case "token_file" if configuration.command_access.token_file:
                return configuration.command_access.token_file, places["token_file"]
        return None, ""

    def _slots(self, host: str) -> tuple[object, str]:
        configuration = self.configuration
        if configuration and host in configuration.hosts:
            return configuration.hosts[host].slots, configuration.places[f"hosts.{host}"]
        if configuration and configuration.hosts:
            message = (
                f"[HOSTS] does not name this host, {host!r}, so it has {DEFAULT_SLOTS} slots:"
                f" set {PREFIX}HOST to one of {', '.join(list(configuration.hosts)[:10])}, or {PREFIX}SLOTS"
            )
            self.warnings.append(Problem(str(configuration.folder), 0, message, warning=True))
        return DEFAULT_SLOTS, "default"

    def _verification(self, setting: Setting) -> tuple[object, str]:
        """Heroku's habit is `?ssl_cert_reqs=none` in the URL; a setting of its own is stronger."""
        url = self.values["redis_url"]
        asked = parse_qs(urlsplit(url).query).get("ssl_cert_reqs") if url else None
        if not asked:
            return setting.default, "default"
        origin = "ssl_cert_reqs of the Redis URL"
        return self._parsed(setting, asked[0], origin), origin
