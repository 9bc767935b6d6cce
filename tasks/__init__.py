"""Celery's view of scheduler-bridge: `celery -A tasks` finds the application here."""

from tasks.app import app

__all__ = ["app"]
