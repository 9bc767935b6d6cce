"""Readers of single settings: a text in; a value out, or ValueError that says what is wrong.

No message shows a URL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from scheduler_bridge.configuration.conninfo import Conninfo, parse_pairs
from scheduler_bridge.configuration.grammar import KEY_NAME
from scheduler_bridge.configuration.masking import (
    MASK,
    fault_of_database_url,
    fault_of_redis_url,
    is_url,
    masked,
)
from scheduler_bridge.configuration.problem import shown

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
ADDRESS = re.compile(r"\*|[A-Za-z0-9_.:%-]{1,255}")
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})


def database_url(text: str) -> str:
    """A postgres:// or postgresql:// URL as it is, or the `key=value` pairs of libpq."""
    if is_url(text) or "=" not in text:
        fault = fault_of_database_url(text)
        if fault:
            raise ValueError(fault)
    elif not parse_pairs(text):
        raise ValueError("must be a postgresql:// URL or key=value pairs (a value with blanks in 'quotes')")
    return text


def masked_database_url(text: str) -> str:
    """A value `database_url` accepted, without its password."""
    if is_url(text):
        return masked(text)
    pairs = parse_pairs(text)
    return str(Conninfo(tuple(pairs.items()))) if pairs else MASK


def redis_url(text: str) -> str:
    """A redis:// or rediss:// URL as it is."""
    fault = fault_of_redis_url(text)
    if fault:
        raise ValueError(fault)
    return text


def verification(text: str) -> str:
    """How far the certificate of rediss:// is verified: required, optional or none."""
    word = text.lower().removeprefix("cert_")
    if word in YES | {"required"}:
        return "required"
    if word in NO | {"none"}:
        return "none"
    if word == "optional":
        return "optional"
    raise ValueError(f"must be required, optional or none, not {shown(text)}")


def switch(text: str) -> bool:
    """On or off."""
    word = text.lower()
    if word in YES | NO:
        return word in YES
    raise ValueError(f"must be 1 or 0, not {shown(text)}")


def host_name(text: str) -> str:
    """A name that a key of [HOSTS] and a queue can have."""
    if not KEY_NAME.fullmatch(text) or len(text) > 255:
        raise ValueError(f"must be letters, digits and _ . - only, at most 255, not {shown(text)}")
    return text


def addresses(text: str) -> tuple[str, ...]:
    """Names or numeric addresses, parted by commas or blanks; `*` is every address of this machine."""
    found = tuple(text.replace(",", " ").split())
    for one in found:
        if not ADDRESS.fullmatch(one):
            raise ValueError(f"must be addresses parted by commas, not {shown(text)}")
    return tuple("" if one == "*" else one for one in found)


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks such as 10.1.0.0/16, parted by commas or blanks."""
    try:
        return tuple(ip_network(one) for one in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.1.0.0/16 parted by commas: {error}") from error


def path(text: str) -> Path:
    """A file or folder; it need not exist yet."""
    if "\0" in text:
        raise ValueError("holds a NUL")
    return Path(text)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reader of a whole number within both bounds."""

    def read(text: str) -> int:
        if not WHOLE_NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {shown(text)}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Reader of a number of seconds within both bounds, fractions allowed."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:  # nan is within nothing
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}, not {shown(text)}")
        return number

    return read
