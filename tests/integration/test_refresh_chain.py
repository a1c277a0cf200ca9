"""A chain of refresh tokens and a store in trouble: clear errors, and nobody besieges the token endpoint."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from cryptography.fernet import Fernet

from airflow_provider_oac.auth import shared_store
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Backend, Lock
from airflow_provider_oac.exceptions import OACAuthError, OACConfigurationError, OACTokenStoreError
from oac_simulator.launch import Simulator
from tests.chains import LOGIN, Store, chain, in_threads, login, signed_in, token_of
from tests.drivers import Drive, SignIn, blocking
from tests.redis_server import RedisServer, redis_server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "tokens"))


def corrupted(store: Store, settings: AuthSettings) -> Store:
    Path(store.place, f"{settings.store_key}.token").write_bytes(b"rubbish")
    return store


def sealed_otherwise(store: Store, settings: AuthSettings) -> Store:
    return dataclasses.replace(store, fernet_key=Fernet.generate_key().decode())


def opened_to_others(store: Store, settings: AuthSettings) -> Store:
    Path(store.place, f"{settings.store_key}.token").chmod(0o644)
    return store


def unwritable(store: Store, settings: AuthSettings) -> Store:
    path = Path(store.place)
    path.rename(path.with_name("away"))
    path.write_bytes(b"")
    return store


def gone(store: Store, settings: AuthSettings) -> Store:
    with redis_server() as server:
        return Store(server.url)


TROUBLES: dict[str, tuple[Callable[[Store, AuthSettings], Store], str]] = {
    "corrupted": (corrupted, f"cannot be decrypted.*{LOGIN}"),
    "another Fernet key": (sealed_otherwise, f"another Fernet key.*{LOGIN}"),
    "open to others": (opened_to_others, "has mode 0644.*chmod 600"),
    "unwritable": (unwritable, "remove the file at this path"),
    "Redis is gone": (gone, "Check that the server runs"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_store_in_trouble_is_named_and_the_domain_is_left_alone(
    trouble: str, drive: Drive, store: Store, sign_in: SignIn, clean: Simulator
) -> None:
    settings = chain(sign_in)
    token_of(store.session(settings))
    spoil, said = TROUBLES[trouble]
    spoiled = spoil(store, settings)
    for _ in range(3):
        with pytest.raises(OACTokenStoreError, match=said):
            drive(spoiled.session(settings).token)
    assert clean.control.calls("identity", "token") == 1


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_same_costs_a_warning_where_a_credential_brings_tokens(
    trouble: str, drive: Drive, store: Store, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = sign_in.settings()
    token_of(store.session(settings))
    spoiled = TROUBLES[trouble][0](store, settings)
    with caplog.at_level(logging.WARNING):
        assert drive(spoiled.session(settings).token).access_token
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == [shared_store.__name__]
    assert clean.control.calls("identity", "token") == 2


@pytest.mark.parametrize("seeded", [True, False])
def test_a_store_that_was_emptied_is_named(seeded: bool, drive: Drive, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in, seeded=seeded)
    with redis_server() as server:
        store = Store(server.url)
        login(store, settings, signed_in(sign_in)) if not seeded else token_of(store.session(settings))
        server.restart()
        clean.control.reset_counters()
        for _ in range(4):
            with pytest.raises(OACAuthError, match=LOGIN):
                drive(store.session(settings).token)
        # The seed, which was used before, is tried once; without one there is nothing to try.
        assert clean.control.calls("identity", "token") == int(seeded)
        login(store, settings, signed_in(sign_in))
        assert drive(store.session(settings).renew).access_token


def test_six_at_once_share_one_refusal(store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in)
    clean.control.fault("token", "consumed_token", times=None)
    said = in_threads([store.session(settings) for _ in range(6)])
    assert all(LOGIN in text for text in said)
    assert clean.control.calls("identity", "token") == 1
    # A person who tests the Connection asks anew.
    with pytest.raises(OACAuthError):
        blocking(store.session(settings).renew)
    assert clean.control.calls("identity", "token") == 2


class Full(Backend):
    """A backend that takes no second write a few times over."""

    def __init__(self, inner: Backend, refusals: int) -> None:
        self.inner, self.refusals, self.writes = inner, refusals, 0

    @property
    def where(self) -> str:
        return self.inner.where

    def read(self, name: str) -> bytes | None:
        return self.inner.read(name)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        self.writes += 1
        if 1 < self.writes <= 1 + self.refusals:
            raise OACTokenStoreError("The disk is full.")
        return self.inner.write(name, sealed, expected)

    def delete(self, name: str) -> None:
        self.inner.delete(name)

    def lock(self, name: str, lease: float) -> Lock:
        return self.inner.lock(name, lease)


def test_a_full_store_that_recovers_costs_nothing(
    drive: Drive, store: Store, sign_in: SignIn, clean: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    settings = chain(sign_in)
    token = drive(store.session(settings, lambda backend: Full(backend, 3)).token)
    assert token_of(store.session(settings)) == token.access_token
    assert caplog.text.count("Could not store the new refresh token") >= 3
    assert drive(store.session(settings).renew).access_token
    assert clean.control.calls("identity", "token") == 2


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_a_refusal_is_not_hidden_by_a_store_that_fails_as_well(
    server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    session = Store(server.url).session(chain(sign_in))
    clean.control.fault("token", "consumed_token", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(token_of, session)
        while not clean.control.calls("identity", "token"):
            threading.Event().wait(0.02)
        server.kill()
        with pytest.raises(OACAuthError, match=f"already been consumed.*{LOGIN}"):
            renewing.result(60)


# ------------------------------------------------------------------------------------------------- whose chain it is


def test_somebody_elses_sign_in_is_refused(drive: Drive, store: Store, sign_in: SignIn, clean: Simulator) -> None:
    settings = chain(sign_in, user="oac.author@example.com")
    for _ in range(3):
        with pytest.raises(
            OACConfigurationError, match=r"belongs to oac\.admin@example\.com, .*user is oac\.author@example\.com"
        ):
            drive(store.session(settings).token)
    assert clean.control.calls("identity", "token") == 1
    with pytest.raises(OACConfigurationError, match="belongs to"):
        login(store, settings, signed_in(sign_in))


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_new_login_while_others_renew_wins(
    forgotten: bool, server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    """It waits for the lock; where Redis forgot that, the renewal leaves in place what it finds."""
    settings, store = chain(sign_in), Store(server.url)
    issued = signed_in(sign_in)
    clean.control.fault("token", "delay", seconds=1.0)
    with ThreadPoolExecutor(2) as pool:
        renewing = pool.submit(token_of, store.session(settings))
        while not clean.control.calls("identity", "token"):
            threading.Event().wait(0.02)
        if forgotten:
            redis.Redis.from_url(server.url).delete(f"airflow-provider-oac:lock:{settings.store_key}")
        login(store, settings, issued)
        assert renewing.result(60)
    assert store.record(settings).refresh_token == issued.refresh_token
    assert token_of(store.session(settings)) == issued.token.access_token
    assert blocking(store.session(settings).renew).access_token
