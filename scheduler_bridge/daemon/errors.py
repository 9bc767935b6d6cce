"""Why `fo_scheduler` ends before it has begun, each with the exit status that FOSSology gives it."""

from __future__ import annotations

from scheduler_bridge.errors import BridgeError

FATAL = 254
WRONG_QUEUE = 230
REFUSED = 255  # options, user or group


class RefusedError(BridgeError):
    """It was asked for what cannot be done: an option, a user or a group; exit status 255."""


class QueueError(BridgeError):
    """The queue's tables lack columns; exit status 230."""


def exit_status(error: Exception) -> int:
    """What to exit with after this error."""
    if isinstance(error, RefusedError):
        return REFUSED
    return WRONG_QUEUE if isinstance(error, QueueError) else FATAL
