"""Tokens that processes and hosts share through a store."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store_redis import RedisStore
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.chains import FERNET_KEY, Store, chain, in_processes, in_threads, signed_in, token_of
from tests.drivers import Drive, SignIn, blocking
from tests.redis_server import RedisServer, redis_server
from tests.tasks import oac_connection


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return Store(str(tmp_path / "tokens"))
    server: RedisServer = request.getfixturevalue("server")
    server.restart()
    return Store(server.url)


@pytest.fixture(params=["jwt_assertion", "refresh_token"])
def settings(request: pytest.FixtureRequest, sign_in: SignIn) -> AuthSettings:
    return chain(sign_in) if request.param == "refresh_token" else sign_in.settings()


def test_four_processes_of_four_at_once_make_one_call_and_lose_nothing(
    settings: AuthSettings, store: Store, clean: Simulator
) -> None:
    clean.control.fault("token", "delay", seconds=0.5)
    tokens = in_processes(store, settings, processes=4, each=4)
    assert (len(tokens), len(set(tokens))) == (16, 1), set(tokens)
    assert clean.control.calls("identity", "token") == 1
    assert len({blocking(store.session(settings).renew).access_token for _ in range(3)}) == 3
    assert clean.control.counters()["replies"]["identity"] == {"200": 4}


def test_four_processes_that_all_want_a_new_one_get_one_each_in_turn(
    server: RedisServer, sign_in: SignIn, clean: Simulator
) -> None:
    store, settings = Store(server.url), chain(sign_in)
    tokens = in_processes(store, settings, processes=4, each=1, past=True)
    assert len(set(tokens)) == 4
    assert not [token for token in tokens if " " in token]
    assert clean.control.counters()["replies"]["identity"] == {"200": 4}
    assert token_of(store.session(settings)) in tokens


def test_a_refusal_by_oac_leads_to_a_new_token_although_the_stores_is_fresh(
    settings: AuthSettings, store: Store, drive: Drive, sign_in: SignIn, clean: Simulator
) -> None:
    sessions = [store.session(settings) for _ in range(3)]

    def called(number: int) -> str:
        async def flow(io: IO) -> str:
            await Api(io, sign_in.url(), sessions[number]).perform(system.get())
            return (await sessions[number].token(io)).access_token

        return drive(flow)

    first = {called(number) for number in range(2)}
    assert len(first) == 1
    clean.control.end_tokens()
    # The first makes a new one; the second, whose memory has the old one, and a third take that.
    second = {called(number) for number in range(3)}
    assert len(second) == 1
    assert not first & second
    assert clean.control.calls("identity", "token") == 2


def test_a_stale_token_is_renewed_by_one_and_used_by_the_others(
    settings: AuthSettings, store: Store, clean: Simulator
) -> None:
    clean.control.settings(access_token_ttl=3)
    first = token_of(store.session(settings))
    clean.control.fault("token", "delay", seconds=1.0)
    sessions = [store.session(settings) for _ in range(6)]
    record = store.record(settings)
    store.store_entry(settings).put(dataclasses.replace(record, lifetime=100.0, obtained_at=record.obtained_at - 80))
    tokens = in_threads(sessions, past=False)
    assert sorted({tokens.count(token) for token in tokens}) == [1, 5]
    assert tokens.count(first) == 5
    assert clean.control.calls("identity", "token") == 2


# ------------------------------------------------------------------------------------------ processes of their own


# What reads keys and signs.
SIGNING = ("grants", "keys")
PROCESS = """
import sys
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks.oac import OACHook
try:
    print("SAID", OACHook().run(system.get()).service_instance_key)
except OACError as error:
    print("SAID", type(error).__name__, error)
print("LOADED", *(name for name in sys.modules if name.startswith("airflow_provider_oac.auth.")))
"""


def process(folder: Path, connection: dict[str, Any], **environment: str) -> tuple[str, set[str]]:
    """What a worker with a disk of its own says when it calls OAC, and which of our modules for signing in it loads."""
    folder.mkdir(exist_ok=True)
    home = dict.fromkeys(("AIRFLOW_HOME", "HOME", "TMPDIR"), str(folder))
    home["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{folder}/airflow.db"
    known = {"AIRFLOW__CORE__FERNET_KEY": FERNET_KEY, "AIRFLOW_CONN_OAC_DEFAULT": json.dumps(connection)}
    environment = {**os.environ, **home, **known, **environment}
    command = [sys.executable, "-c", PROCESS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("SAID ", "LOADED ")))
    assert set(lines) == {"SAID", "LOADED"}, done.stdout + done.stderr
    return lines["SAID"], set(lines["LOADED"].split())


def test_a_task_whose_token_is_kept_loads_nothing_that_signs(clean: Simulator, tmp_path: Path) -> None:
    connection, signing = oac_connection(clean.ready), {f"airflow_provider_oac.auth.{name}" for name in SIGNING}
    for expected in (signing, set()):
        said, loaded = process(tmp_path / "host", connection, AIRFLOW__OAC__STORE="file")
        assert (said, signing & loaded) == ("dev", expected)
    assert clean.control.calls("identity", "token") == 1


def test_two_hosts_share_a_chain_through_redis(
    server: RedisServer, sign_in: SignIn, clean: Simulator, tmp_path: Path
) -> None:
    server.restart()
    issued = signed_in(sign_in)
    connection = oac_connection(clean.ready, grant="refresh_token", refresh_token=issued.refresh_token)
    redis = {"AIRFLOW__OAC__STORE": "redis", "AIRFLOW__OAC__REDIS_URL": server.url}
    for host in ("one", "other"):
        assert process(tmp_path / host, connection, **redis)[0] == "dev"
    # A host whose Fernet key differs is told so, and asks nobody.
    other_key = {"AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    said, _ = process(tmp_path / "one", connection, **redis, **other_key)
    assert re.match(f"OACTokenStoreError.*{re.escape(RedisStore(server.url).where)}", said)
    assert "must be the same on every machine" in said
    assert clean.control.grants("refresh_token") == 1
