"""Holds the command port while it can: of several bridges on a host one has it, another takes it when it is free."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable

from scheduler_bridge.command_port.orders import PostgresOrders
from scheduler_bridge.commands.server import CommandPort
from scheduler_bridge.errors import SettingsError

log = logging.getLogger(__name__)

TEND_SECONDS = 5.0  # between two reports, and two attempts to get the port
REGISTERS_WITHIN_SECONDS = 3.0  # a bridge that has just taken the port says so within this time
LOOK_SECONDS = 0.2


class PortHolder:
    """The port of one bridge; `tend` is called again and again by the bridge's own thread."""

    def __init__(
        self, port: CommandPort, number: int, orders: PostgresOrders, *, owner: str, host: str, required: bool
    ) -> None:
        """`required`: the number was asked for, so that a stranger who has it must not be ignored."""
        self._port = port
        self._number = number
        self._orders = orders
        self._owner = owner
        self._host = host
        self._required = required
        self._tended_at = float("-inf")
        self._reloads: int | None = None
        self._told = False
        self.reloaded: Callable[[], None] = lambda: None  # called when the configuration is to be read again
        self.bound: Callable[[int], None] = lambda number: None  # told the port's number

    def take(self) -> None:
        """Take the port, or find another bridge to have it.

        Raises SettingsError when a stranger has it: a scheduler that works on the same rows would run jobs twice.
        """
        deadline = time.monotonic() + REGISTERS_WITHIN_SECONDS
        while not self._try():
            holder = self._orders.port_holder(self._owner, self._host, self._number)
            if holder is not None:
                log.info("port %d is %s's: taken over when it is free", self._number, holder)
                break
            if time.monotonic() >= deadline:
                self._complain()
                break
            time.sleep(LOOK_SECONDS)
        self.tend()

    def tend(self) -> None:
        """Every few seconds: report, try to get the port, learn of `reload`."""
        now = time.monotonic()
        if now - self._tended_at < TEND_SECONDS:
            return
        self._tended_at = now
        if not self._port.bound and self._try():
            log.info("port %d was free and is taken over", self._number, extra={"action": "port_taken_over"})
        self.report()

    def report(self) -> None:
        """Say that this bridge runs, and learn of `reload` now."""
        number = self._port.bound[0][1] if self._port.bound else None
        reloads = self._orders.register_bridge(self._owner, self._host, number)
        if self._reloads is not None and reloads != self._reloads:
            self.reloaded()
        self._reloads = reloads

    def close(self) -> None:
        """Close the port; commands under way are answered."""
        self._port.stop()

    def _try(self) -> bool:
        try:
            self._port.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"the command port cannot be opened: {error.strerror}") from error
            return False
        self.bound(self._port.bound[0][1])
        return True

    def _complain(self) -> None:
        who = f"port {self._number} is held by something that is not a bridge on this database"
        if self._required:
            raise SettingsError(
                f"{who}: if that is fo_scheduler, stop it first, or it runs the same jobs; otherwise set another port"
            )
        log.warning("%s: no commands are taken there", who, extra={"action": "no_port"})
