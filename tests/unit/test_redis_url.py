"""REDIS_URL as settings that Celery, redis-py and Flower read alike."""

from __future__ import annotations

import ssl

import pytest

from scheduler_bridge.errors import SettingsError
from scheduler_bridge.redis_url import redis_settings


@pytest.mark.parametrize(
    "url", ["redis://:secret@broker.example:6379/2?health_check_interval=5", "redis+socket:///run/r"]
)
def test_a_url_without_tls_is_used_as_it_is(url: str) -> None:
    assert redis_settings(url) == {"broker_url": url, "result_backend": url}


def test_tls_requires_a_valid_certificate_unless_told_otherwise() -> None:
    url = "rediss://:p%40ss@broker.example:6380/0"
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert redis_settings(url) == {
        "broker_url": url,
        "result_backend": url,
        "broker_use_ssl": tls,
        "redis_backend_use_ssl": tls,
    }


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("none", ssl.CERT_NONE),
        ("CERT_NONE", ssl.CERT_NONE),
        ("optional", ssl.CERT_OPTIONAL),
        ("CERT_REQUIRED", ssl.CERT_REQUIRED),
    ],
)
def test_every_spelling_of_verification_is_understood(word: str, meaning: ssl.VerifyMode) -> None:
    in_url = redis_settings(f"rediss://broker.example?ssl_cert_reqs={word}")
    assert in_url == redis_settings("rediss://broker.example", word)
    assert in_url["broker_use_ssl"] == {"ssl_cert_reqs": meaning}


def test_what_is_said_outside_the_url_wins_over_what_is_in_it() -> None:
    url = "rediss://broker.example?ssl_cert_reqs=none&ssl_ca_certs=/a.pem"
    assert redis_settings(url, "required", "/b.pem")["broker_use_ssl"] == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_ca_certs": "/b.pem",
    }


def test_other_parameters_stay_in_the_url() -> None:
    url = "rediss://broker.example/0?ssl_cert_reqs=none&health_check_interval=5"
    assert redis_settings(url)["broker_url"] == "rediss://broker.example/0?health_check_interval=5"


@pytest.mark.parametrize("url", ["http://broker.example", "broker.example:6379", ""])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="redis, rediss or redis\\+socket is possible"):
        redis_settings(url)


def test_an_unknown_word_for_verification_is_refused() -> None:
    with pytest.raises(SettingsError, match="ssl_cert_reqs is maybe: none, optional or required"):
        redis_settings("rediss://broker.example", "maybe")
