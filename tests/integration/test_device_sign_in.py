"""Signing in with a device code over HTTP, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import EncryptedStore, Record, StoreEntry
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.auth.token import Issued
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACAuthError, OACConfigurationError
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn

ADMIN, FEDERATED = "oac.admin@example.com", "oac.federated@example.com"
WAYS: dict[str, dict[str, Any]] = {
    "client assertion": {"client_authentication": "assertion"},
    "secret by Basic": {"client_authentication": "basic"},
    "secret in the body": {"client_authentication": "body"},
    "public application": {"client_authentication": "none", "client_secret": None},
    "public application, by default": {"client_authentication": None, "client_secret": None},
}


@pytest.fixture
def quick(clean: Simulator) -> Simulator:
    """A domain that asks to be polled every second, and does not need five of them."""
    clean.control.settings(device_interval=1, device_send_interval=True)
    return clean


def settings(sign_in: SignIn, way: str = "secret by Basic", **changes: Any) -> AuthSettings:
    changes = {**WAYS[way], **changes}
    if way.startswith("public"):
        changes |= {"client_id": sign_in.ready["public_client_id"], "private_key": None, "certificate_alias": None}
    return sign_in.settings(**{"grant": "device_code", "user": None, "name": "oac_person", **changes})


class Person:
    """Who decides about a sign-in as soon as the code is shown, or when the command has waited a few times.

    :param after: how many polls pass first.
    """

    def __init__(self, simulator: Simulator, *, user: str = ADMIN, approve: bool = True, after: int = 0) -> None:
        self._decide = lambda code: simulator.control.approve_device(code, user=user, approve=approve)
        self._after = after
        self.code: DeviceCode
        self.polls = 0

    def show(self, code: DeviceCode) -> None:
        self.code = code

    def waiting(self, left: float) -> None:
        if self.polls == self._after:
            self._decide(self.code.user_code)
        self.polls += 1

    def flow(self, settings: AuthSettings) -> Callable[[IO], Awaitable[Issued]]:
        return lambda io: device_sign_in(io, settings, self.show, self.waiting)


def place(settings: AuthSettings, folder: Path) -> StoreEntry:
    return EncryptedStore(FileStore(str(folder)), [Fernet.generate_key().decode()]).store_entry(settings)


@pytest.mark.parametrize("way", WAYS)
def test_a_sign_in_is_kept_renewed_and_used(
    way: str, drive: Drive, sign_in: SignIn, quick: Simulator, tmp_path: Path
) -> None:
    auth = settings(sign_in, way)
    store_entry = place(auth, tmp_path / "store")

    async def flow(io: IO) -> list[Record]:
        issued = await Person(quick).flow(auth)(io)
        kept = [await keep_sign_in(io, store_entry, auth, issued, None)]
        for _ in range(2):
            session = Session(auth, MemoryStore(), store_entry)
            await session.renew(io)
            assert (await Api(io, sign_in.url(), session).perform(system.get())).service_instance_key == "dev"
            found = store_entry.read()
            assert found
            kept.append(found.record)
        return kept

    records = drive(flow)
    assert len({record.refresh_token for record in records}) == 3
    assert {record.owner for record in records} == {ADMIN}
    assert quick.control.counters()["issued"] == {"device_code": 1, "refresh_token": 2}


def test_a_first_task_needs_no_renewal(drive: Drive, sign_in: SignIn, quick: Simulator, tmp_path: Path) -> None:
    auth = settings(sign_in)
    store_entry = place(auth, tmp_path / "store")

    async def flow(io: IO) -> None:
        await keep_sign_in(io, store_entry, auth, await Person(quick).flow(auth)(io), None)
        session = Session(auth, MemoryStore(), store_entry)
        await Api(io, sign_in.url(), session).perform(system.get())

    drive(flow)
    assert quick.control.grants("refresh_token") == 0


@pytest.mark.parametrize(
    ("app", "changes", "said"),
    [
        ({"grants": ["jwt-bearer", "client_credentials"]}, {}, "Device Code and Refresh Token"),
        ({"active": False}, {}, "Activate the application"),
        ({}, {"client_id": "nobody"}, "client id or client secret is wrong"),
        ({}, {"scope": "https://vanity.example.comurn:opc:resource:consumer::all"}, "the scope has the wrong host"),
    ],
)
def test_a_code_that_is_refused_is_explained(
    app: dict[str, Any], changes: dict[str, Any], said: str, drive: Drive, sign_in: SignIn, quick: Simulator
) -> None:
    if app:
        quick.control.settings(app=app)
    with pytest.raises(OACAuthError, match=said):
        drive(Person(quick).flow(settings(sign_in, **changes)))
    assert quick.control.grants("device_code") == 0


def test_somebody_else_is_refused_and_nothing_kept(
    drive: Drive, sign_in: SignIn, quick: Simulator, tmp_path: Path
) -> None:
    auth = settings(sign_in, user=FEDERATED)
    store_entry = place(auth, tmp_path / "store")

    async def flow(io: IO) -> Record:
        return await keep_sign_in(io, store_entry, auth, await Person(quick).flow(auth)(io), None)

    with pytest.raises(OACConfigurationError, match=f"belongs to {ADMIN}, but the Connection's user is {FEDERATED}"):
        drive(flow)
    assert store_entry.read() is None


def test_nothing_secret_is_logged_or_shown(
    drive: Drive, sign_in: SignIn, quick: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    person, auth = Person(quick), settings(sign_in)
    with caplog.at_level(logging.DEBUG):
        issued = drive(person.flow(auth))
    shown = caplog.text + repr(issued) + repr(person.code) + repr(auth)
    secrets = (person.code.device_code, issued.refresh_token or "", issued.token.access_token, *auth.secrets)
    assert not [secret for secret in secrets if secret in shown]
