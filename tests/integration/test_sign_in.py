"""Signing in at an identity domain over HTTP: every grant, every way in which the application proves who it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session, mint
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn

WAYS: dict[str, dict[str, Any]] = {
    "jwt_assertion, client assertion": {},
    "jwt_assertion, secret by Basic": {"client_authentication": "basic"},
    "jwt_assertion, secret in the body": {"client_authentication": "body"},
    "jwt_assertion, federated user": {"user": "oac.federated@example.com"},
    "password, secret by Basic": {"grant": "password"},
    "password, secret in the body": {"grant": "password", "client_authentication": "body"},
    "password, client assertion": {"grant": "password", "client_authentication": "assertion"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_token_works_at_oac_and_nothing_secret_is_logged(
    way: str, drive: Drive, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = sign_in.settings(**WAYS[way])

    async def flow(io: IO) -> list[Any]:
        session = Session(settings, MemoryStore())
        return [await Api(io, sign_in.url(), session).perform(snapshots.list_all()), await session.token(io)]

    with caplog.at_level(logging.DEBUG):
        listed, token = drive(flow)
    assert listed == []
    assert clean.control.counters()["issued"] == {"password" if way.startswith("password") else "jwt-bearer": 1}
    assert "Signed in at" in caplog.text
    shown = caplog.text + repr(caplog.records) + repr(token) + repr(settings)
    key_body = (settings.private_key or "").splitlines()[1:2]
    assert not [secret for secret in (token.access_token, *settings.secrets, *key_body, "eyJ") if secret in shown]


def test_a_certificate_is_named_by_its_thumbprint_without_an_alias(drive: Drive, sign_in: SignIn) -> None:
    certificate = Path(sign_in.ready["certificate_file"]).read_text()
    assert drive(lambda io: mint(io, sign_in.settings(certificate=certificate, certificate_alias=None))).access_token
