"""Hosts from the group [HOSTS] of `fossology.conf`: `name = address agent_dir max`."""

from __future__ import annotations

from scheduler_bridge.configuration.grammar import Entry
from scheduler_bridge.configuration.reader import Reader
from scheduler_bridge.model.agents import Host

GROUP = "HOSTS"
MOST_SLOTS = 10_000  # each slot is a thread and a process of its host


def read_hosts(reader: Reader) -> dict[str, Host]:
    """The hosts by name, in the order of their names; a wrong one is left out, with a problem.

    A missing max is that of the host before, in the order of names. The address and the agents' folder were
    for ssh; a host is now wherever a worker says that it is this host, and its address is only shown.
    """
    hosts: dict[str, Host] = {}
    group = reader.document.groups.get(GROUP)
    slots: int | None = None
    for name, entry in sorted(group.keys.items()) if group else ():
        slots = _slots(reader, name, entry, slots)
        if slots is not None and isinstance(entry.value, str):
            hosts[name] = Host(name, slots, entry.value.split()[0])
    return hosts


def _slots(reader: Reader, name: str, entry: Entry, inherited: int | None) -> int | None:
    if isinstance(entry.value, tuple):
        reader.refuse(entry.line, f"the host {name} is one value, not a list: write {name} = ...")
        return None
    words = entry.value.split()
    if len(words) < 2:
        reader.refuse(entry.line, f"the host {name} must be written '{name} = address agent_dir max'")
        return None
    if len(words) == 2:
        if inherited is None:
            reader.refuse(entry.line, f"the host {name} has no max and none stands before it to inherit from")
        return inherited
    if len(words) > 3:
        reader.warn(entry.line, f"the host {name}: what follows the max is ignored")
    number = reader.integer(f"the max of the host {name}", words[2], entry.line)
    if number is not None and not 0 <= number <= MOST_SLOTS:
        reader.refuse(entry.line, f"the max of the host {name} must be from 0 to {MOST_SLOTS}")
        return None
    return number
