"""A FOSSology configuration folder as one frozen value.

That is `fossology.conf`, `Db.conf`, `VERSION` and the agent types below `mods-enabled`.
Nothing here raises. What is wrong is sorted by what it costs: `errors` keep the bridge from starting,
`agent_errors` leave out one agent type each, `warnings` cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from scheduler_bridge.configuration.agents import MODS_ENABLED, load_agent_types
from scheduler_bridge.configuration.command_access import CommandAccess, read_command_access
from scheduler_bridge.configuration.conninfo import Conninfo, parse_conninfo
from scheduler_bridge.configuration.email_notify import EmailNotify, read_email
from scheduler_bridge.configuration.grammar import Document
from scheduler_bridge.configuration.hosts import read_hosts
from scheduler_bridge.configuration.problem import Problem
from scheduler_bridge.configuration.reader import Reader, load, read_file
from scheduler_bridge.configuration.repository import check_repository
from scheduler_bridge.model.agents import AgentType, Host

MAIN_FILE = "fossology.conf"
DATABASE_FILE = "Db.conf"
VERSION_FILE = "VERSION"
DEFAULT_PORT = 24693
DEFAULT_DEPTH = 3
MOST_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Timers:
    """The group [SCHEDULER]."""

    fork_backoff_seconds: int = 5  # fork_backoff_time: longest wait after a fork that failed
    agent_death_seconds: int = 180  # agent_death_timer: silence after which an agent is killed
    agent_update_seconds: int = 120  # agent_update_interval: between two looks at the agents
    agent_update_number: int = 5  # looks without progress before an agent counts as stuck
    interface_threads: int = 10  # interface_nthreads: TCP clients at once


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a configuration folder says; values that are missing have FOSSology's defaults."""

    folder: Path
    agent_types: Mapping[str, AgentType]  # by name; without `broken_agent_types`
    hosts: Mapping[str, Host]  # by name, in the order of names
    port: int = DEFAULT_PORT  # TCP port of the commands
    log_folder: Path | None = None  # [DIRECTORIES] LOGDIR
    repository_path: Path | None = None  # [FOSSOLOGY] path
    repository_depth: int = DEFAULT_DEPTH  # folders between REPOSITORY/logs and a job's log
    timers: Timers = Timers()
    user: str | None = None  # [DIRECTORIES] PROJECTUSER
    group: str | None = None  # [DIRECTORIES] PROJECTGROUP
    command_access: CommandAccess = field(default_factory=CommandAccess)
    email: EmailNotify = field(default_factory=EmailNotify)  # [EMAILNOTIFY]
    conninfo: Conninfo | None = None  # Db.conf; None: missing or unusable
    commit_hash: str | None = None  # VERSION [BUILD] COMMIT_HASH
    errors: tuple[Problem, ...] = ()  # the bridge must not start with these
    agent_errors: tuple[Problem, ...] = ()  # each leaves out one agent type
    warnings: tuple[Problem, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)  # "file:line" of port, hosts.NAME ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, the worst first."""
        return self.errors + self.agent_errors + self.warnings

    @property
    def broken_agent_types(self) -> Mapping[str, str]:
        """The agent types that are left out: by name the first error, as `FILE:LINE: message`."""
        return {Path(found.source).parent.name: str(found) for found in reversed(self.agent_errors)}

    @classmethod
    def read(cls, folder: Path) -> Configuration:
        """Read the folder as it is now."""
        agent_types, agent_problems = load_agent_types(folder)
        main = _reader(folder / MAIN_FILE)
        check_repository(main)
        version = _reader(folder / VERSION_FILE)
        conninfo, database_place, database_problems = _read_database(folder)
        values = cls(
            folder=folder,
            agent_types=MappingProxyType(agent_types),
            hosts=MappingProxyType(read_hosts(main)),
            port=main.number("FOSSOLOGY", "port", default=DEFAULT_PORT, least=1, most=65535),
            log_folder=_path(main, "DIRECTORIES", "LOGDIR"),
            repository_path=_path(main, "FOSSOLOGY", "path"),
            repository_depth=main.number("FOSSOLOGY", "depth", default=DEFAULT_DEPTH, least=0, most=16),
            timers=_timers(main),
            user=main.text("DIRECTORIES", "PROJECTUSER"),
            group=main.text("DIRECTORIES", "PROJECTGROUP"),
            command_access=read_command_access(main),
            email=read_email(main, folder),
            conninfo=conninfo,
            commit_hash=version.text("BUILD", "COMMIT_HASH"),
        )
        harmless = [replace(problem, warning=True) for problem in version.problems]
        general = [*_missing(folder), *main.problems, *database_problems, *harmless]
        return replace(
            values._with_problems(general, agent_problems),
            places=MappingProxyType(_places(main) | database_place),
        )

    def _with_problems(self, general: Iterable[Problem], of_agents: Iterable[Problem]) -> Configuration:
        general, of_agents = list(general), list(of_agents)
        whole = str(self.folder / MODS_ENABLED)  # no agent type at all is more than one left out
        fatal = [*general, *(problem for problem in of_agents if problem.source == whole)]
        return replace(
            self,
            errors=tuple(problem for problem in fatal if not problem.warning),
            agent_errors=tuple(
                problem for problem in of_agents if problem.source != whole and not problem.warning
            ),
            warnings=tuple(problem for problem in [*general, *of_agents] if problem.warning),
        )


def _reader(path: Path) -> Reader:
    return Reader(load(path) or Document(str(path), {}, ()))


def _path(reader: Reader, group: str, key: str) -> Path | None:
    text = reader.text(group, key)
    return Path(text) if text else None


def _timers(main: Reader) -> Timers:
    shipped = Timers()

    def number(key: str, default: int, *, least: int = 1, most: int = MOST_SECONDS) -> int:
        return main.number("SCHEDULER", key, default=default, least=least, most=most)

    return Timers(
        fork_backoff_seconds=number("fork_backoff_time", shipped.fork_backoff_seconds, least=0),
        agent_death_seconds=number("agent_death_timer", shipped.agent_death_seconds),
        agent_update_seconds=number("agent_update_interval", shipped.agent_update_seconds),
        agent_update_number=number("agent_update_number", shipped.agent_update_number, most=1_000_000),
        interface_threads=number("interface_nthreads", shipped.interface_threads, most=10_000),
    )


def _read_database(folder: Path) -> tuple[Conninfo | None, dict[str, str], list[Problem]]:
    path = folder / DATABASE_FILE
    content = read_file(path)
    if content is None:
        return None, {}, []
    if isinstance(content, Problem):
        return None, {}, [content]
    conninfo, line, problems = parse_conninfo(content.decode("utf-8", "surrogateescape"), str(path))
    if conninfo is None and not problems:
        problems = [Problem(str(path), 0, "names no database: lines such as dbname=fossology; are missing")]
    return conninfo, {"database": f"{path}:{line}"}, problems


def _missing(folder: Path) -> list[Problem]:
    """What should be in the folder: agent types alone are enough for whoever has no FOSSology.

    A wrong path must not pass as such a folder.
    """

    def problem(message: str, *, warning: bool = False) -> list[Problem]:
        return [Problem(str(folder), 0, message, warning)]

    try:
        if not folder.is_dir():
            return problem(f"is not a folder: name the one that holds {MAIN_FILE}")
        has_main = (folder / MAIN_FILE).exists()
        if not has_main and not (folder / MODS_ENABLED).exists():
            return problem(f"is no configuration folder: it has neither {MAIN_FILE} nor {MODS_ENABLED}")
        if has_main and not (folder / DATABASE_FILE).exists():
            return problem(f"{DATABASE_FILE} is missing: agents will not find the database", warning=True)
    except OSError as error:
        return problem(f"cannot be read: {error.strerror or error}")
    return []


def _places(main: Reader) -> dict[str, str]:
    """Where the values that Settings takes over were written."""
    keys = {"port": ("FOSSOLOGY", "port"), "repository_path": ("FOSSOLOGY", "path")}
    keys |= {key: ("SCHEDULER", key) for key in ("bind", "token_file", "trusted")}
    hosts = main.document.groups.get("HOSTS")
    keys |= {f"hosts.{name}": ("HOSTS", name) for name in hosts.keys} if hosts else {}
    return {
        name: f"{main.document.source}:{main.document.line(group, key)}"
        for name, (group, key) in keys.items()
        if main.document.entry(group, key)
    }
