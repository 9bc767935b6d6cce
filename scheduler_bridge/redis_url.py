"""What Celery, redis-py and Flower each need to know about one REDIS_URL.

Hosted Redis often comes as `rediss://` with a self-signed certificate, and the three read the URL's
`ssl_cert_reqs` differently: the result backend refuses a URL without it, redis-py knows other values than
Celery, and Flower's queue lengths ignore it. Said once in settings of their own, with no query left in the
URL, it holds for all three.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from scheduler_bridge.errors import SettingsError

VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
PARAMETERS = ("ssl_cert_reqs", "ssl_ca_certs")


def redis_settings(url: str, verify: str | None = None, ca_file: str | None = None) -> dict[str, Any]:
    """Celery settings for a broker and result backend at `url`.

    `verify` is none, optional or required (with or without `CERT_`), `ca_file` the certificates to trust;
    each wins over the URL's own `ssl_cert_reqs` and `ssl_ca_certs`. Without any of them the certificate is
    required to be valid. Raises SettingsError.
    """
    parts = urlsplit(url)
    if parts.scheme in ("redis", "redis+socket"):
        return {"broker_url": url, "result_backend": url}
    if parts.scheme != "rediss":
        raise SettingsError(
            f"REDIS_URL has the scheme '{parts.scheme}': redis, rediss or redis+socket is possible"
        )
    query = dict(parse_qsl(parts.query))
    tls = _tls(verify or query.get("ssl_cert_reqs"), ca_file or query.get("ssl_ca_certs"))
    rest = {name: value for name, value in query.items() if name not in PARAMETERS}
    bare = urlunsplit(parts._replace(query=urlencode(rest)))
    return {"broker_url": bare, "result_backend": bare, "broker_use_ssl": tls, "redis_backend_use_ssl": tls}


def _tls(verify: str | None, ca_file: str | None) -> dict[str, Any]:
    word = (verify or "required").lower().removeprefix("cert_")
    if word not in VERIFY:
        raise SettingsError(f"ssl_cert_reqs is {verify}: none, optional or required is possible")
    return {"ssl_cert_reqs": VERIFY[word], **({"ssl_ca_certs": ca_file} if ca_file else {})}
