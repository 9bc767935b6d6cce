"""From root to PROJECTUSER and PROJECTGROUP, for good; whoever else starts the scheduler must be that user."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from scheduler_bridge.daemon.errors import RefusedError


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom the scheduler runs."""

    user: str
    uid: int
    gid: int
    home: str


def find_identity(user: str | None, group: str | None) -> Identity | None:
    """Who the configuration says it is; None where it names no user. Raises RefusedError for an unknown name."""
    gid = _group(group) if group else None
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise RefusedError(f"could not find user {user!r}: correct PROJECTUSER or add the user") from None
    return Identity(user, entry.pw_uid, entry.pw_gid if gid is None else gid, entry.pw_dir)


def require(identity: Identity) -> None:
    """Raise RefusedError unless we are it, or root, who can become it."""
    if os.geteuid() == 0:
        return
    if os.geteuid() != identity.uid or identity.gid not in {os.getegid(), *os.getgroups()}:
        name = grp.getgrgid(identity.gid).gr_name if _known(identity.gid) else str(identity.gid)
        raise RefusedError(f"must be run as root, or as {identity.user} in the group {name}")


def become(identity: Identity) -> None:
    """Give up root: groups first, then the user, which ends the right to change either. Raises RefusedError."""
    if os.geteuid() == 0:
        os.initgroups(identity.user, identity.gid)
        os.setgid(identity.gid)
        os.setuid(identity.uid)
        verify(identity)


def verify(identity: Identity) -> None:
    """Raise RefusedError unless no id of another user is left and none can be had back."""
    if os.getresuid() != (identity.uid,) * 3 or os.getresgid() != (identity.gid,) * 3:
        raise RefusedError(f"could not become {identity.user}: an id of the former user is left")
    if identity.uid == 0:
        return
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise RefusedError(f"could not give up root for {identity.user}")


def environment_of(identity: Identity) -> dict[str, str]:
    """What libraries look a user up by: with root's, libpq would ask for files below root's home."""
    return {"HOME": identity.home, "USER": identity.user, "LOGNAME": identity.user}


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise RefusedError(f"could not find group {name!r}: correct PROJECTGROUP or add the group") from None


def _known(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True
