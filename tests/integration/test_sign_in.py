"""Signing in at an identity domain over HTTP: every grant, every way in which the application proves who it is, every
refusal."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.session import MemoryStore, Session, mint
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import Record, StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError, OACConfigurationError
from airflow_provider_oac.transport.io import IO
from airflow_provider_oac.transport.retry import RetryPolicy
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.tasks import ADMIN
from tests.unit.auth import keys_forms as forms

FEDERATED = "oac.federated@example.com"
PERSON = {"grant": "device_code", "user": None, "name": "oac_person"}
PUBLIC = {**PERSON, "client_secret": None, "private_key": None, "certificate_alias": None}
WAYS: dict[str, dict[str, Any]] = {
    "jwt_assertion, client assertion": {},
    "jwt_assertion, secret by Basic": {"client_authentication": "basic"},
    "jwt_assertion, secret in the body": {"client_authentication": "body"},
    "jwt_assertion, federated user": {"user": FEDERATED},
    "password, secret by Basic": {"grant": "password"},
    "password, secret in the body": {"grant": "password", "client_authentication": "body"},
    "password, client assertion": {"grant": "password", "client_authentication": "assertion"},
    "device_code, client assertion": {**PERSON, "client_authentication": "assertion"},
    "device_code, secret by Basic": {**PERSON, "client_authentication": "basic"},
    "device_code, secret in the body": {**PERSON, "client_authentication": "body"},
    "device_code, public application": {**PUBLIC, "client_authentication": "none"},
    "device_code, public application, by default": {**PUBLIC, "client_authentication": None},
}
ISSUED = {"jwt_assertion": {"jwt-bearer": 3}, "password": {"password": 3}}
ISSUED["device_code"] = {"device_code": 1, "refresh_token": 2}


async def approved(io: IO, settings: AuthSettings, entry: StoreEntry, domain: Simulator) -> DeviceCode:
    """Let a person sign in who approves before the first poll, and return the code."""
    codes: list[DeviceCode] = []

    def approve(_left: float) -> None:
        domain.control.approve_device(codes[0].user_code, user=ADMIN)

    await keep_sign_in(io, entry, settings, await device_sign_in(io, settings, codes.append, approve), None)
    return codes[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_sign_in_is_kept_renewed_and_used_and_nothing_secret_is_logged(
    way: str, drive: Drive, sign_in: SignIn, quick: Simulator, place: Callable[[AuthSettings], StoreEntry],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    public = {"client_id": sign_in.ready["public_client_id"]} if "public" in way else {}
    settings = sign_in.settings(**WAYS[way], **public)
    entry = place(settings)
    shown: list[Any] = [settings]
    records: list[Record] = []

    async def flow(io: IO) -> None:
        if settings.grant == "device_code":
            shown.append(await approved(io, settings, entry, quick))
        for renewals in range(3):
            session = Session(settings, MemoryStore(), entry)
            # A first task needs no renewal.
            if renewals:
                await session.renew(io)
            assert (await Api(io, sign_in.url(), session).perform(system.get())).service_instance_key == "dev"
            found = entry.read()
            assert found
            records.append(found.record)

    with caplog.at_level(logging.DEBUG):
        drive(flow)
    assert quick.control.counters()["issued"] == ISSUED[settings.grant]
    assert len({record.access_token for record in records}) == 3
    if settings.grant == "device_code":
        assert len({record.refresh_token for record in records}) == 3
        assert {record.owner for record in records} == {ADMIN}
    assert "Signed in at" in caplog.text
    seen = caplog.text + repr(caplog.records) + repr(shown) + repr(records)
    key_body = (settings.private_key or "").splitlines()[1:2]
    tokens = (str(token) for record in records for token in (record.access_token, record.refresh_token) if token)
    codes = (code.device_code for code in shown[1:])
    assert not [secret for secret in (*settings.secrets, *key_body, *tokens, *codes, "eyJ") if secret in seen]


def test_somebody_else_is_refused_and_nothing_kept(
    drive: Drive, sign_in: SignIn, quick: Simulator, place: Callable[[AuthSettings], StoreEntry]
) -> None:
    settings = sign_in.settings(**{**PERSON, "user": FEDERATED})
    entry = place(settings)
    with pytest.raises(OACConfigurationError, match=f"belongs to {ADMIN}, but the Connection's user is {FEDERATED}"):
        drive(lambda io: approved(io, settings, entry, quick))
    assert entry.read() is None


def test_a_certificate_is_named_by_its_thumbprint_without_an_alias(drive: Drive, sign_in: SignIn) -> None:
    certificate = Path(sign_in.ready["certificate_file"]).read_text()
    assert drive(lambda io: mint(io, sign_in.settings(certificate=certificate, certificate_alias=None))).access_token


# ------------------------------------------------------------------------------------------- what the domain refuses

# As many attempts as in earnest, without their pauses.
AT_ONCE = RetryPolicy(attempts=4, base=0.01, cap=0.01)
OTHER_KEY = {"private_key": forms.pem("PKCS#8")}
OTHER_CERTIFICATE = {**OTHER_KEY, "certificate": forms.certificate_pem(), "certificate_alias": None}
ONLY_CREDENTIALS = {"app": {"grants": ["client_credentials"]}}
ONLY_ASSERTION = {"app": {"grants": ["jwt-bearer"]}}
OTHER_HOST = "https://vanity.example.comurn:opc:resource:consumer::all"


# What is wrong in the settings of the Connection and of the domain; the error, and its likely cause.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "key": (OTHER_KEY, {}, "invalid_request", "does not match the imported certificate"),
    "alias": ({"certificate_alias": "Airflow"}, {}, "server_error", "certificate alias"),
    "thumbprint": (OTHER_CERTIFICATE, {}, "server_error", "certificate alias"),
    "client id": ({"client_id": "0123456789abcdef"}, {}, "invalid_client", "client id or client secret is wrong"),
    "secret": ({"grant": "password", "client_secret": "not-the-secret"}, {}, "invalid_client", "client secret"),
    "no certificate": ({}, {"app": {"certificates": {}}}, "invalid_client", "certificate is not registered"),
    "scope": ({"scope": OTHER_HOST}, {}, "invalid_scope", "the scope has the wrong host"),
    "no scope": ({}, {"app": {"allowed_scopes": []}}, "invalid_scope", "not among the application's resources"),
    "unknown user": ({"user": "nobody@example.com"}, {}, "invalid_grant", "named differently"),
    "inactive user": ({"user": "oac.inactive@example.com"}, {}, "invalid_grant", "the user is deactivated"),
    "password": ({"grant": "password", "user_password": "not-it"}, {}, "invalid_grant", "user name or password"),
    "federated user": ({"grant": "password", "user": FEDERATED}, {}, "invalid_grant", "another identity provider"),
    "inactive application": ({}, {"app": {"active": False}}, "invalid_client", "application is not activated"),
    "no JWT Assertion": ({}, ONLY_CREDENTIALS, "unauthorized_client", "grant is not ticked"),
    "no Client Credentials": ({}, ONLY_ASSERTION, "server_error", "Client Credentials is not ticked"),
    "audience": ({"audience": ("https://another.example.com/",)}, {}, "invalid_grant", "does not accept the audience"),
    "clock": ({}, {"clock_offset": 3600}, "invalid_request", "s behind the identity domain's; otherwise: "),
}


@pytest.mark.parametrize("name", CASES)
def test_is_explained_and_not_tried_again(
    name: str, drive: Drive, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    changes, domain, error, cause = CASES[name]
    clean.control.settings(**domain)
    settings = sign_in.settings(**changes)
    with caplog.at_level(logging.DEBUG), pytest.raises(OACAuthError) as caught:
        drive(lambda io: mint(io, settings, AT_ONCE))
    refused = caught.value
    assert (refused.error, refused.retryable) == (error, False)
    assert cause in (refused.cause or "")
    assert ("this machine's clock is" in str(refused)) is (name == "clock")
    assert clean.control.calls("identity", "token") == 1
    # Nothing secret, not even encoded: neither in the exception, its traceback and its pickle, nor in the log.
    shown = "\n".join([*traceback.format_exception(refused), repr(refused), str(vars(refused)), caplog.text])
    shown += pickle.dumps(refused).decode("latin-1")
    secrets = {form for secret in settings.secrets for form in (secret, quote_plus(secret))}
    secrets |= {line for line in (settings.private_key or "").splitlines()[1:-1] if len(line) > 20}
    assert not [secret for secret in secrets if secret in shown]
    assert not re.findall(r"eyJ[\w-]{10,}|Basic ", shown)
