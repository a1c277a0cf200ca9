"""Signing in at an identity domain over HTTP: every grant, every way in which the application proves who it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from airflow_provider_oac.auth.session import MemoryStore, Session, mint
from airflow_provider_oac.auth.token import Freshness
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import snapshots, system
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
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


def test_the_token_lives_as_long_as_the_service_says(drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
    clean.control.settings(access_token_ttl=77)
    token = drive(lambda io: mint(io, sign_in.settings()))
    assert token.lifetime == 77
    assert token.freshness(token.obtained_at) is Freshness.FRESH


def test_the_secret_has_characters_that_must_be_encoded(sign_in: SignIn) -> None:
    """Otherwise the tests of Basic and of the body would prove less than they seem to."""
    assert set("+/=%&") <= set(str(sign_in.ready["client_secret"]))
    assert set("+&=%") <= set(str(sign_in.ready["users"]["oac.admin@example.com"]))


@pytest.mark.parametrize("changes", [{"user": "oac.federated@example.com"}, {"user": "OAC.Admin@example.com"}])
def test_a_user_needs_no_password_for_the_default_grant(changes: dict[str, str], drive: Drive, sign_in: SignIn) -> None:
    assert drive(sign_in.performing(snapshots.list_all(), **changes)) == [[]]


@pytest.mark.parametrize("own", [False, True])
def test_the_audience_may_be_the_domains_own_url_or_several(
    own: bool, drive: Drive, sign_in: SignIn, clean: Simulator
) -> None:
    url = sign_in.ready["identity_url"]
    clean.control.settings(accepted_audiences=[url])
    audience = (url,) if own else ("https://identity.oraclecloud.com/", url)
    assert drive(lambda io: mint(io, sign_in.settings(audience=audience))).access_token


@pytest.mark.parametrize("alias", [None, "airflow"])
def test_a_certificate_is_named_by_its_thumbprint_with_or_without_an_alias(
    alias: str | None, drive: Drive, sign_in: SignIn
) -> None:
    certificate = Path(sign_in.ready["certificate_file"]).read_text()
    settings = sign_in.settings(certificate=certificate, certificate_alias=alias)
    assert drive(lambda io: mint(io, settings)).access_token


def test_a_key_may_be_given_as_a_path_or_encrypted_on_one_line(drive: Drive, sign_in: SignIn) -> None:
    file = sign_in.ready["private_key_file"]
    encrypted = (
        load_pem_private_key(Path(file).read_bytes(), None)
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase"))
        .decode()
    )
    for key, passphrase in ((file, None), (encrypted.replace("\n", "\\n"), "a passphrase")):
        settings = sign_in.settings(private_key=key, private_key_passphrase=passphrase)
        assert drive(lambda io, settings=settings: mint(io, settings)).access_token


def test_the_scope_is_passed_on_as_it_stands(drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
    scope = sign_in.ready["instances"]["dev"]["scope"] + " offline_access"
    assert drive(lambda io: mint(io, sign_in.settings(scope=scope))).access_token


def test_a_token_for_another_instance_is_named_as_such(drive: Drive, sign_in: SignIn) -> None:
    session = sign_in.session("prod")
    with pytest.raises(OACApiError, match="issued for another OAC instance") as caught:
        drive(lambda io: Api(io, sign_in.url("dev"), session).perform(system.get()))
    assert caught.value.status == 401


def test_a_missing_role_is_told_from_a_bad_token(drive: Drive, sign_in: SignIn) -> None:
    with pytest.raises(OACApiError, match="lacks the application role") as caught:
        drive(sign_in.performing(snapshots.list_all(), user="oac.author@example.com"))
    assert (caught.value.status, caught.value.missing_role) == (401, True)


def test_client_credentials_are_refused_before_anything_is_sent(sign_in: SignIn, clean: Simulator) -> None:
    settings = sign_in.settings(grant="client_credentials", client_authentication="basic")
    with pytest.raises(OACConfigurationError, match="carry a user only"):
        Session(settings, MemoryStore())
    assert clean.control.counters()["calls"].get("identity", {}) == {}


class TestUnauthorized:
    """OAC answers 401 although the token looks alive: it was revoked, or a clock is off."""

    @pytest.mark.parametrize("grant", ["jwt_assertion", "password"])
    def test_once_renews_once_and_replays_once(
        self, grant: str, drive: Drive, sign_in: SignIn, clean: Simulator
    ) -> None:
        clean.control.fault("GET /system", "status", status=401, body={"error": "invalid_token"})
        (details,) = drive(sign_in.performing(system.get(), grant=grant))
        assert details.service_instance_key
        assert clean.control.calls("dev", "GET /system") == 2
        assert clean.control.calls("identity", "token") == 2

    def test_twice_is_an_error_after_one_replay(self, drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
        clean.control.fault("GET /system", "status", status=401, body={"error": "invalid_token"}, times=None)
        with pytest.raises(OACApiError, match="even a new one") as caught:
            drive(sign_in.performing(system.get()))
        assert caught.value.status == 401
        assert clean.control.calls("dev", "GET /system") == 2
        assert clean.control.calls("identity", "token") == 2

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
