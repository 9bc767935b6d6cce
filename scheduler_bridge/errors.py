"""Errors that tell whose fault it is; every message says what to do."""

from __future__ import annotations


class BridgeError(Exception):
    """Base of all errors that are shown to the operator as one line."""


class SettingsError(BridgeError):
    """The configuration cannot be used; the message lists every problem found."""


class SchemaError(BridgeError):
    """The database is not at this version's schema; names the command to run."""


class StreamError(BridgeError):
    """A stream file cannot be used; the message names the line."""


class PublishError(BridgeError):
    """The broker did not take a message; the row is proposed again by the sweep."""
