"""What a bridge serves beside its rows: the configuration it publishes, and the port where it takes commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from scheduler_bridge.command_port.control import BridgeControl
from scheduler_bridge.command_port.holder import PortHolder
from scheduler_bridge.command_port.orders import PostgresOrders
from scheduler_bridge.commands.access import Access, read_token
from scheduler_bridge.commands.execution import Execution
from scheduler_bridge.commands.server import CommandPort, Limits
from scheduler_bridge.configuration.folder import Configuration
from scheduler_bridge.configuration.rereading import read_again
from scheduler_bridge.proposals import Proposals
from scheduler_bridge.settings import Settings
from scheduler_bridge.store.postgres import PostgresStore

log = logging.getLogger(__name__)


class CommandService:
    """Commands for one bridge: `begin`, then `tend` again and again, then `close`; all in the bridge's own thread."""

    def __init__(
        self,
        store: PostgresStore,
        proposals: Proposals,
        settings: Settings,
        configuration: Configuration,
        *,
        owner: str,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._orders = PostgresOrders(store, proposals)
        self._control = BridgeControl(os.environ, wake=wake, reload=self.ask_for_reload)
        self._wake = wake
        self._looks_now = False
        port = CommandPort(
            Execution(self._orders, self._control).answer,
            [(address, settings.port) for address in settings.bind],
            access=Access(read_token(settings.token_file), settings.trusted),
            limits=Limits(threads=configuration.timers.interface_threads),
        )
        self._holder = PortHolder(
            port,
            settings.port,
            self._orders,
            owner=owner,
            host=settings.host,
            required=settings.origins["port"] != "default",
        )
        self._holder.reloaded = self._reload
        self._holder.bound = self._describe

    def begin(self) -> None:
        """Publish the configuration and take the port. Raises SettingsError when a stranger has it."""
        self._publish()
        self._holder.take()

    def tend(self) -> None:
        """Whatever is due; costs nothing most of the time."""
        if self._looks_now:
            self._looks_now = False
            self._holder.report()
        self._holder.tend()

    def ask_for_reload(self) -> None:
        """Let every bridge and every worker read its configuration again, this one at once."""
        self._orders.reload()
        self._looks_now = True
        self._wake()

    def close(self) -> None:
        """Close the port; commands under way are answered first."""
        self._holder.close()

    def _publish(self) -> None:
        found = self._configuration
        self._orders.configured = found.hosts
        self._store.publish_configuration(
            found.agent_types.values(), found.hosts.values(), found.broken_agent_types
        )

    def _reload(self) -> None:
        found = read_again(self._configuration.folder)
        if found is None:
            return
        self._configuration = found
        self._publish()
        self._control.describe(port=self._control.scheduler_line().port, revision=found.commit_hash)

    def _describe(self, port: int) -> None:
        self._control.describe(port=port, revision=self._configuration.commit_hash)
        log.info("commands are taken on port %d", port, extra={"action": "port_open"})
