"""How connections that stay open notice that their server has gone without a word."""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# A server that is silent but there is not noticed so.
NOTICE_LOSS: dict[str, Any] = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 10,  # seconds; three probes more, five apart
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}


def noticing_loss(url: str) -> str:
    """The address with these parameters, where it says nothing else itself."""
    return make_conninfo("", **{**NOTICE_LOSS, **conninfo_to_dict(url)})
