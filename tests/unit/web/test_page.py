"""What the page "Oracle Analytics" decides without a server."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from airflow_provider_oac.auth.device import DeviceCode
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.settings import TransportSettings

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow 2.11 has no such pages")


@pytest.mark.parametrize(
    ("address", "complete", "link"),
    [
        ("https://idcs.example.com/d", "https://idcs.example.com/d?c=1", "https://idcs.example.com/d?c=1"),
        ("http://127.0.0.1:9/d", None, "http://127.0.0.1:9/d"),
        ("https://idcs.example.com/d", "javascript:alert(1)", "https://idcs.example.com/d"),
        ("https://idcs.example.com/d", "http://idcs.example.com/d?c=1", "https://idcs.example.com/d"),
        ("http://idcs.example.com/d", None, None),
        ("javascript:alert(1)", None, None),
    ],
)
def test_only_safe_addresses_are_offered(address: str, complete: str | None, link: str | None) -> None:
    from airflow_provider_oac.web.sign_in import shown

    code = DeviceCode("secret", "ABCD", address, complete, expires_at=0.0, interval=5.0)
    if link:
        assert shown(code)["link"] == link
    else:
        with pytest.raises(OACConfigurationError, match="The address where the code is to be entered"):
            shown(code)


def test_a_sign_in_waits_no_longer_for_a_server_than_a_check() -> None:
    from airflow_provider_oac.web.sign_in import quick

    assert quick(TransportSettings(connect_timeout=60.0, read_timeout=900.0, ca_file="ca.pem")) == TransportSettings(
        connect_timeout=15.0, read_timeout=15.0, response_timeout=15.0, ca_file="ca.pem"
    )
    assert quick(TransportSettings(connect_timeout=1.0)).connect_timeout == 1.0


def test_an_airflow_without_what_the_page_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_oac import web
    from airflow_provider_oac.web import plugin

    for name in ("access", "app", "audit", "connections", "sign_in", "work", "work_state"):
        monkeypatch.delitem(sys.modules, f"{web.__name__}.{name}", raising=False)
        monkeypatch.delattr(web, name, raising=False)
    # None: cannot be imported.
    monkeypatch.setitem(sys.modules, "airflow.models.xcom", None)
    app, sent = plugin.LazyApp(), []

    async def send(message: Any) -> None:
        sent.append(message)

    for _ in range(2):
        asyncio.run(app({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert [message["status"] for message in sent[::2]] == [501, 501]
    assert b"Operators, sensors and commands are not affected" in sent[1]["body"]
