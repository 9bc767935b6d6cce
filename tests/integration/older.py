"""A worker of another version: `celery -A tests.integration.older worker` knows messages of other versions only."""

from __future__ import annotations

from scheduler_bridge.dispatch import routes

routes.MESSAGE_VERSION = 0

from tasks.app import app  # noqa: E402  # tasks take the version when they are imported

__all__ = ["app"]
