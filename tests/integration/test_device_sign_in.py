"""Signing in with a device code over HTTP, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.auth.device import DeviceCode, device_sign_in
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.tasks import ADMIN

PUBLIC = {"client_secret": None, "private_key": None, "certificate_alias": None}
WAYS: dict[str, dict[str, Any]] = {
    "client assertion": {"client_authentication": "assertion"},
    "secret by Basic": {"client_authentication": "basic"},
    "secret in the body": {"client_authentication": "body"},
    "public application": {"client_authentication": "none", **PUBLIC},
    "public application, by default": {"client_authentication": None, **PUBLIC},
}


def settings(sign_in: SignIn, way: str, **changes: Any) -> AuthSettings:
    if way.startswith("public"):
        changes["client_id"] = sign_in.ready["public_client_id"]
    return sign_in.settings(**{"grant": "device_code", "user": None, "name": "oac_person", **WAYS[way], **changes})


async def signed_in(
    io: IO, auth: AuthSettings, entry: StoreEntry, simulator: Simulator, codes: list[DeviceCode]
) -> None:
    """Let a person sign in who approves before the first poll."""

    def approve(_left: float) -> None:
        simulator.control.approve_device(codes[0].user_code, user=ADMIN)

    await keep_sign_in(io, entry, auth, await device_sign_in(io, auth, codes.append, approve), None)


@pytest.mark.parametrize("way", WAYS)
def test_a_sign_in_is_kept_renewed_and_used(
    way: str, drive: Drive, sign_in: SignIn, quick: Simulator, place: Callable[[AuthSettings], StoreEntry],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    auth = settings(sign_in, way)
    entry = place(auth)
    codes: list[DeviceCode] = []
    records = []

    async def flow(io: IO) -> None:
        await signed_in(io, auth, entry, quick, codes)
        # A first task needs no renewal.
        for renewals in range(3):
            session = Session(auth, MemoryStore(), entry)
            if renewals:
                await session.renew(io)
            assert (await Api(io, sign_in.url(), session).perform(system.get())).service_instance_key == "dev"
            found = entry.read()
            assert found
            records.append(found.record)

    with caplog.at_level(logging.DEBUG):
        drive(flow)
    assert len({record.refresh_token for record in records}) == 3
    assert {record.owner for record in records} == {ADMIN}
    assert quick.control.counters()["issued"] == {"device_code": 1, "refresh_token": 2}
    shown = caplog.text + repr(codes) + repr(auth) + repr(records)
    secrets = (codes[0].device_code, records[0].refresh_token or "", records[0].access_token or "", *auth.secrets)
    assert not [secret for secret in secrets if secret in shown]


def test_somebody_else_is_refused_and_nothing_kept(
    drive: Drive, sign_in: SignIn, quick: Simulator, place: Callable[[AuthSettings], StoreEntry]
) -> None:
    auth = settings(sign_in, "secret by Basic", user="oac.federated@example.com")
    entry = place(auth)
    with pytest.raises(
        OACConfigurationError, match=rf"belongs to {ADMIN}, but the Connection's user is oac\.federated"
    ):
        drive(lambda io: signed_in(io, auth, entry, quick, []))
    assert entry.read() is None
