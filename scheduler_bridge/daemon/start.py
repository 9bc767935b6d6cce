"""The first half of a start: who it runs as, where its state is, and a process that can be told from all others.

All that needs root happens here. The process then becomes itself anew (exec), with its mark in its environment:
only what was there at the exec can be read by those who look for it later, and after a change of user only an
exec lets them look at all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.configuration.problem import listing
from scheduler_bridge.daemon.choices import Choices
from scheduler_bridge.daemon.detach import detach
from scheduler_bridge.daemon.identity import Identity, become, environment_of, find_identity, require
from scheduler_bridge.daemon.mark import VARIABLE
from scheduler_bridge.daemon.others import own_mark
from scheduler_bridge.daemon.places import make_state_folder, state_folder
from scheduler_bridge.errors import BridgeError, SettingsError


def start(choices: Choices) -> None:
    """Become the scheduler's process; returns only by raising BridgeError or OSError.

    As a daemon the caller's process waits and exits with the daemon's verdict.
    """
    configuration = Configuration.read(choices.config)
    if configuration.errors:
        raise SettingsError(listing(configuration.errors))
    identity = find_identity(configuration.user, configuration.group)
    if identity is not None:
        require(identity)
    _prepare_state(choices, identity)
    if choices.daemon:
        detach()
    if identity is not None:
        become(identity)
        os.environ |= environment_of(identity)
    os.environ[VARIABLE] = str(own_mark(choices.config))
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError as error:
        user = identity.user if identity else "this user"
        raise BridgeError(
            f"{user} cannot run {sys.executable}: {error.strerror}; install it where that user may read it"
        ) from error


def _prepare_state(choices: Choices, identity: Identity | None) -> None:
    root = os.geteuid() == 0
    home = identity.home if identity else str(Path.home())
    folder = state_folder(choices.config, os.environ, home, root=root)
    uid, gid = (identity.uid, identity.gid) if identity else (os.geteuid(), os.getegid())
    if not choices.test:  # which changes nothing
        make_state_folder(folder, uid, gid)
    os.environ["SCHEDULER_BRIDGE_STATE"] = str(folder)
