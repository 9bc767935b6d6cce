"""rediss:// with a self-signed certificate: Celery's broker, its result backend and Flower agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from flower.utils.broker import Broker
from kombu.exceptions import OperationalError

from scheduler_bridge.redis_url import redis_settings
from tests.integration.tls_proxy import CERTIFICATE, tls_in_front_of


@pytest.fixture
def tls_url(redis_url: str) -> Iterator[str]:
    """The session's Valkey behind TLS."""
    parts = urlsplit(redis_url)
    assert parts.port is not None
    with tls_in_front_of(parts.port) as port:
        yield f"rediss://:{parts.password}@127.0.0.1:{port}/0"


def app_with(settings: dict[str, Any]) -> Celery:
    app = Celery("tls", set_as_current=False)
    app.conf.update(settings, broker_connection_timeout=1, task_publish_retry=False)
    return app


def queue_length_seen_by_flower(app: Celery) -> int:
    broker = Broker(app.conf.broker_url, broker_use_ssl=app.conf.broker_use_ssl, broker_options={})
    queues = asyncio.run(broker.queues(["jobs"]))
    return int(queues[0]["messages"])


@pytest.mark.parametrize(
    ("query", "verify", "ca_file"),
    [
        ("?ssl_cert_reqs=none", None, None),
        ("?ssl_cert_reqs=CERT_NONE", None, None),
        ("", "none", None),
        ("", None, str(CERTIFICATE)),
        (f"?ssl_ca_certs={CERTIFICATE}", "required", None),
    ],
)
def test_every_client_reaches_a_server_with_a_self_signed_certificate(
    tls_url: str, query: str, verify: str | None, ca_file: str | None
) -> None:
    with app_with(redis_settings(tls_url + query, verify, ca_file)) as app:
        app.send_task("noop", queue="jobs", ignore_result=True)
        assert app.backend.client.ping()  # type: ignore[attr-defined]  # the stubs know the base class only
        assert queue_length_seen_by_flower(app) == 1


def test_an_untrusted_certificate_is_refused_unless_told_otherwise(tls_url: str) -> None:
    with app_with(redis_settings(tls_url)) as app, pytest.raises(OperationalError, match="certificate"):
        app.send_task("noop", queue="jobs", ignore_result=True)
