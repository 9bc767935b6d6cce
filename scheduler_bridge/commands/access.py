"""Who may send commands: everybody on this machine, and whoever knows the token or is trusted for its address.

The port of FOSSology's scheduler asks nobody for anything, and its clients know no token. One that is on another
machine therefore sends the line `token SECRET` first, or comes from a network that an operator has named.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from scheduler_bridge.errors import SettingsError

LONGEST_TOKEN = 4096  # bytes of its file
_TOKEN_LINE = re.compile(rb"token[ \t]+([^\r\n]*[^\s])[ \t]*(?:\r?\n|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Access:
    """Who needs a token, and which."""

    token: str | None = field(default=None, repr=False)  # None or empty: no token opens the port
    trusted: tuple[IPv4Network | IPv6Network, ...] = ()  # clients that need none, as those on this machine

    def trusts(self, peer: str) -> bool:
        """Whether the address may send commands without a token."""
        address = _plain(peer)
        return address.is_loopback or any(address in network for network in self.trusted)

    def opens(self, secret: bytes | None) -> bool:
        """Whether this is the token; takes as long for a near miss as for a wild guess."""
        if not self.token or secret is None:
            return False
        return hmac.compare_digest(secret, self.token.encode())


def split_token(data: bytes) -> tuple[bytes | None, bytes]:
    """The secret of a token line that `data` begins with, and what comes after that line."""
    found = _TOKEN_LINE.match(data)
    return (found[1], data[found.end() :]) if found else (None, data)


def _plain(peer: str) -> IPv4Address | IPv6Address:
    address = ip_address(peer.partition("%")[0])  # a link-local address names its interface
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def read_token(path: Path | None) -> str | None:
    """The secret in a file; None: no file is named. Raises SettingsError."""
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            token = file.read(LONGEST_TOKEN).strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"token_file {path} cannot be read: {error}") from error
    if not token:
        raise SettingsError(f"token_file {path} holds no token")
    return token
