"""Whether this process is who the configuration folder says the scheduler is; nobody changes who he is here."""

from __future__ import annotations

import grp
import os
import pwd

from scheduler_bridge.configuration.folder import MAIN_FILE, Configuration
from scheduler_bridge.configuration.problem import Problem


def identity_problems(configuration: Configuration) -> list[Problem]:
    """A warning where PROJECTUSER is another user, or PROJECTGROUP a group that we do not belong to.

    Files that our agents write would then be closed to the other programs of the installation.
    """
    source = str(configuration.folder / MAIN_FILE)
    messages = []
    if configuration.user and _user(configuration.user) != os.geteuid():
        messages.append(f"PROJECTUSER is {configuration.user}: start the processes as that user")
    if configuration.group and _group(configuration.group) not in {os.getegid(), *os.getgroups()}:
        messages.append(f"PROJECTGROUP is {configuration.group}: start the processes in that group")
    return [Problem(source, 0, message, warning=True) for message in messages]


def _user(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _group(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
