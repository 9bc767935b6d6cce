"""Addresses of servers: what is wrong with one, and how it is shown without its password.

A password that was put into a URL without percent-encoding (`/`, `?`, `#`, `@`) moves the border between host
and path, so that a part of it would be shown as path or query. Such a URL is refused, and in the query only
keys that are known to be harmless keep their values.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

MASK = "***"
HARMLESS = frozenset(
    {
        *(
            "application_name",
            "channel_binding",
            "client_encoding",
            "connect_timeout",
            "db",
            "dbname",
            "host",
        ),
        *("hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "options"),
        *(
            "passfile",
            "port",
            "service",
            "ssl_ca_certs",
            "ssl_cert_reqs",
            "sslcert",
            "sslcrl",
            "sslkey",
            "sslmode",
        ),
        *("sslrootcert", "target_session_attrs", "tcp_user_timeout", "user"),
    }
)
DATABASE_SCHEMES = ("postgresql", "postgres")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket")
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
REDIS_PATH = re.compile(r"/?[0-9]*")


def is_url(text: str) -> bool:
    """Whether it starts as a URL does; a connection string of libpq does not."""
    return URL.match(text) is not None


def masked(url: str) -> str:
    """The URL with every password replaced by ***; wholly masked where it is not a URL of ours."""
    parts = _split(url)
    if parts is None or _ambiguous(parts):
        return MASK
    userinfo, at, place = parts.netloc.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if at and not colon and parts.scheme in REDIS_SCHEMES:
        user = MASK  # redis://WORD@host: most who write it mean a password
    query = "&".join(_masked_pair(pair) for pair in parts.query.split("&") if pair)
    shown = f"{parts.scheme}://{user}{colon}{MASK if colon else ''}{at}{place}{parts.path}"
    return f"{shown}?{query}" if query else shown


def fault_of_database_url(url: str) -> str | None:
    """What is wrong with a URL of PostgreSQL, without showing it; None: nothing."""
    return _fault(url, DATABASE_SCHEMES)


def fault_of_redis_url(url: str) -> str | None:
    """What is wrong with a URL of Redis, without showing it; None: nothing."""
    fault = _fault(url, REDIS_SCHEMES)
    if fault:
        return fault
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return None if parts.path.strip("/") else "the path of the socket is missing"
    try:
        port = parts.port
    except ValueError:
        return "the port must be a number up to 65535"
    if port == 0:
        return "the port must not be 0"
    if not REDIS_PATH.fullmatch(parts.path):
        return "the path must be the number of a database, as in redis://localhost:6379/0"
    return None


def _fault(url: str, schemes: tuple[str, ...]) -> str | None:
    parts = _split(url)
    if parts is None or not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        return f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if any(character.isspace() or not character.isprintable() for character in url):
        return "holds a blank or a control character: percent-encode it"
    if _ambiguous(parts):
        return "an @, / or ? or # of the user or the password must be percent-encoded (%40, %2F, %3F, %23)"
    return None


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url) if is_url(url) else None
    except ValueError:
        return None


def _ambiguous(parts: SplitResult) -> bool:
    """Whether what looks like path or query may be the rest of a password."""
    odd_query = any(pair and "=" not in pair for pair in parts.query.split("&"))
    return "@" in parts.path or bool(parts.fragment) or odd_query or parts.netloc.count("@") > 1


def _masked_pair(pair: str) -> str:
    key, _, value = pair.partition("=")
    return f"{key}={value if key in HARMLESS else MASK}"
