"""Agent types from `mods-enabled/NAME/NAME.conf`; a broken file leaves out its own type and no other."""

from __future__ import annotations

import re
from pathlib import Path

from scheduler_bridge.configuration.grammar import KEY_NAME
from scheduler_bridge.configuration.problem import Problem, shown
from scheduler_bridge.configuration.reader import Reader, load
from scheduler_bridge.configuration.suggestion import did_you_mean, nearest
from scheduler_bridge.model.agents import AgentType, Retry, Special
from scheduler_bridge.model.jobs import Ending

MODS_ENABLED = "mods-enabled"
GROUP = "default"
MANDATORY = ("command", "max", "special")
RETRIED = {"failed": Ending.FAILED, "lost": Ending.LOST}  # items of retry[]
MOST_ATTEMPTS = 1000
MOST_BACKOFF_SECONDS = 3600
WORD = re.compile(r'"([^"]*)("?)|([^ ]+)')


def load_agent_types(folder: Path) -> tuple[dict[str, AgentType], list[Problem]]:
    """All agent types below the configuration folder by name, and everything wrong with their files.

    A module without a `.conf` is no agent and is passed over silently.
    """
    agent_types: dict[str, AgentType] = {}
    problems: list[Problem] = []
    modules = folder / MODS_ENABLED
    try:
        names = sorted(entry.name for entry in modules.iterdir())
    except FileNotFoundError:
        return {}, [Problem(str(modules), 0, "missing, so no agent type is known", warning=True)]
    except OSError as error:
        return {}, [Problem(str(modules), 0, f"cannot be read: {error.strerror or error}")]
    for name in names:
        agent_type, found = load_agent_type(modules / name)
        problems += found
        if agent_type:
            agent_types[name] = agent_type
    return agent_types, problems


def load_agent_type(module: Path) -> tuple[AgentType | None, list[Problem]]:
    """The agent type of one folder in `mods-enabled`, None where it has no or no usable `.conf`."""
    document = load(module / f"{module.name}.conf")
    if document is None:
        return None, []
    reader = Reader(document)
    if not KEY_NAME.fullmatch(module.name):
        reader.refuse(0, "the name of an agent type has letters, digits and _ . - only: rename its folder")
    if document.groups or not reader.failed():
        _require_keys(reader)
    if reader.failed():
        return None, reader.problems
    command = _command(reader)
    maximum = _maximum(reader)
    special = _special(reader)
    retry = _retry(reader)
    if reader.failed():
        return None, reader.problems
    return AgentType(module.name, command, module / "agent", maximum, special, retry), reader.problems


def words(command: str) -> tuple[str, ...]:
    """Split a command line as the scheduler does: at spaces; a word starting with `"` runs to the next one.

    Quotes inside a word and backslashes mean nothing; other blanks belong to the word.
    """
    return tuple(word[3] if word[1] is None else word[1] for word in WORD.finditer(command))


def _require_keys(reader: Reader) -> None:
    document = reader.document
    group = document.groups.get(GROUP)
    if group is None:
        near = nearest(GROUP, document.groups)
        hint = f": [{near}] in line {document.groups[near].line} may be meant" if near else ""
        reader.refuse(0, f"the group [{GROUP}] is missing{hint}")
        return
    for key in MANDATORY:
        if key not in group.keys:
            written = "special[] =" if key == "special" else f"{key} ="
            reader.refuse(group.line, f"[{GROUP}] lacks the key {key}: add the line '{written}'")


def _command(reader: Reader) -> tuple[str, ...]:
    text = reader.required(GROUP, "command")
    if text is None:
        return ()
    line = reader.document.line(GROUP, "command")
    parts = words(text)
    if not parts[0]:
        reader.refuse(line, "command names no program")
    elif any(word[2] == "" for word in WORD.finditer(text)):
        reader.warn(line, f"a quote is not closed, the last word runs to the end: {shown(text)}")
    return parts


def _maximum(reader: Reader) -> int | None:
    """Today -1 becomes 255 and 300 becomes 44 (one byte); here they mean what they say."""
    text = reader.required(GROUP, "max")
    if text is None:
        return None
    number = reader.integer("max", text, reader.document.line(GROUP, "max"))
    return None if number is None or number < 0 else number


def _special(reader: Reader) -> frozenset[Special]:
    entry = reader.document.entry(GROUP, "special")
    if entry is None or isinstance(entry.value, str):
        reader.refuse(reader.document.line(GROUP, "special"), "special is a list: write special[] = ...")
        return frozenset()
    flags = set()
    for item, line in zip(entry.value, entry.lines, strict=True):
        flag = next((special for special in Special if item.startswith(special.value)), None)
        if flag:
            flags.add(flag)
        elif item.strip():
            near = did_you_mean(item.strip(), (special.value for special in Special))
            reader.warn(line, f"unknown flag {shown(item)} is ignored{near}")
    return frozenset(flags)


def _retry(reader: Reader) -> Retry:
    """Keys that FOSSology's scheduler does not have and ignores; missing ones mean what it does."""
    shipped = Retry()
    return Retry(
        attempts=reader.number(GROUP, "attempts", default=shipped.attempts, least=1, most=MOST_ATTEMPTS),
        endings=_retry_after(reader),
        backoff_seconds=reader.number(GROUP, "backoff", default=0, least=0, most=MOST_BACKOFF_SECONDS),
    )


def _retry_after(reader: Reader) -> frozenset[Ending]:
    entry = reader.document.entry(GROUP, "retry")
    if entry is None:
        return Retry().endings
    if isinstance(entry.value, str):
        reader.refuse(entry.line, "retry is a list: write retry[] = ...")
        return frozenset()
    found = set()
    for item, line in zip(entry.value, entry.lines, strict=True):
        if item.strip() in RETRIED:
            found.add(RETRIED[item.strip()])
        elif item.strip():
            reader.refuse(line, f"retry knows {' and '.join(RETRIED)}, not {shown(item)}")
    return frozenset(found)
