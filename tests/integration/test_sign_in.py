"""Signing in at an identity domain over HTTP: every grant, every way in which the application proves who it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session, mint
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import snapshots, system
from airflow_provider_oac.exceptions import OACApiError
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn

WAYS: dict[str, dict[str, Any]] = {
    "jwt_assertion, client assertion": {},
    "jwt_assertion, secret by Basic": {"client_authentication": "basic"},
    "jwt_assertion, secret in the body": {"client_authentication": "body"},
    "password, secret by Basic": {"grant": "password"},
    "password, secret in the body": {"grant": "password", "client_authentication": "body"},
    "password, client assertion": {"grant": "password", "client_authentication": "assertion"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_token_works_at_oac(way: str, drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
    assert drive(sign_in.performing(snapshots.list_all(), **WAYS[way])) == [[]]
    grant = "password" if way.startswith("password") else "jwt-bearer"
    assert clean.control.counters()["issued"] == {grant: 1}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_secret_is_logged(way: str, drive: Drive, sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    settings = sign_in.settings(**WAYS[way])
    with caplog.at_level(logging.DEBUG):
        token = drive(lambda io: Session(settings, MemoryStore()).token(io))
    assert "Signed in at" in caplog.text
    shown = caplog.text + repr(caplog.records) + repr(token) + repr(settings)
    key_body = (settings.private_key or "").splitlines()[1:2]
    assert not [secret for secret in (token.access_token, *settings.secrets, *key_body, "eyJ") if secret in shown]


@pytest.mark.parametrize("changes", [{"user": "oac.federated@example.com"}, {"user": "OAC.Admin@example.com"}])
def test_a_user_needs_no_password_for_the_default_grant(changes: dict[str, str], drive: Drive, sign_in: SignIn) -> None:
    assert drive(sign_in.performing(snapshots.list_all(), **changes)) == [[]]


@pytest.mark.parametrize("alias", [None, "airflow"])
def test_a_certificate_is_named_by_its_thumbprint_with_or_without_an_alias(
    alias: str | None, drive: Drive, sign_in: SignIn
) -> None:
    certificate = Path(sign_in.ready["certificate_file"]).read_text()
    settings = sign_in.settings(certificate=certificate, certificate_alias=alias)
    assert drive(lambda io: mint(io, settings)).access_token


class TestUnauthorized:
    """OAC answers 401 although the token looks alive: it was revoked, or a clock is off."""

    def test_replays_a_request_that_starts_work_too(self, drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
        place = "POST /system/actions/restoreSnapshot"
        clean.control.fault(place, "status", status=401)
        with pytest.raises(OACApiError) as caught:
            drive(sign_in.performing(system.restore_snapshot("no-such-snapshot", "A-Secret-Password-1")))
        assert caught.value.status != 401
        assert clean.control.calls("dev", place) == 2

    def test_of_many_side_by_side_renews_once(self, drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
        session = sign_in.session()

        async def flow(io: IO) -> list[Any]:
            api = Api(io, sign_in.url(), session)
            await api.perform(system.get())
            clean.control.end_tokens()
            return await io.gather([api.perform(system.get()) for _ in range(24)], 8)

        assert len(drive(flow)) == 24
        assert clean.control.calls("identity", "token") == 2
