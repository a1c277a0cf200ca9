"""The store in Redis: compare and set, leases, and a server that is gone, forgetful or locked."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import pytest
import redis

from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.auth.store_redis import RedisStore
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError
from airflow_provider_oac.hooks import stores
from tests.redis_server import RedisServer, redis_server
from tests.unit.auth.stores import CHAIN, NAME, PASSWORD, RECORD, kept_in, store_entry

SECRET = "p/w+d@x:y#z"
LEASE = 30.0
TOKEN_KEY, LOCK_KEY = (f"airflow-provider-oac:{kind}:{NAME}" for kind in ("token", "lock"))


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def client(running: RedisServer) -> redis.Redis:
    """What is in the server, which is empty at first."""
    client: redis.Redis = redis.Redis.from_url(running.url)
    client.flushall()
    return client


@pytest.fixture
def store(client: redis.Redis, running: RedisServer) -> RedisStore:
    return RedisStore(running.url)


# ------------------------------------------------------------------------------------------------ reading and writing


def test_replaces_only_what_is_expected(store: RedisStore) -> None:
    assert store.read(NAME) is None
    changes = ((b"1", b"something"), (b"1", None), (b"2", None), (b"2", b"other"), (b"2", b"1"))
    assert [store.write(NAME, new, old) for new, old in changes] == [False, True, False, False, True]
    assert store.read(NAME) == b"2"
    store.delete(NAME)
    store.delete(NAME)
    assert store.read(NAME) is None


def test_several_entries_are_read_with_one_request(client: redis.Redis, store: RedisStore) -> None:
    place, damaged = store_entry(store), store_entry(store, settings=PASSWORD)
    place.put(RECORD)
    client.set(TOKEN_KEY.replace(NAME, PASSWORD.store_key), b"damaged")
    client.config_resetstat()
    missing = store_entry(store, settings=replace(CHAIN, user="another"))
    *found, problem = StoreEntry.read_all([place, missing, damaged])
    calls = client.info("commandstats")
    assert (calls["cmdstat_mget"]["calls"], "cmdstat_get" in calls) == (1, False)
    assert found == [place.read(), None]
    assert kept_in(place) == RECORD
    assert isinstance(problem, OACTokenStoreError)
    assert problem.damaged
    assert StoreEntry.read_all([]) == []


def test_of_many_rivals_one_writes(running: RedisServer, store: RedisStore) -> None:
    store.write(NAME, b"before", None)
    begin = threading.Barrier(8)

    def rival(number: int) -> bool:
        mine = RedisStore(running.url)
        mine.read(NAME)
        begin.wait(30)
        return mine.write(NAME, b"%d" % number, b"before")

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(rival, range(8)))
    assert written.count(True) == 1
    assert store.read(NAME) == b"%d" % written.index(True)


def test_keys_have_a_prefix_and_end_after_refresh_tokens(store: RedisStore, client: redis.Redis) -> None:
    store.write(NAME, b"1", None)
    assert store.lock(NAME, LEASE).acquire()
    assert set(client.keys()) == {TOKEN_KEY.encode(), LOCK_KEY.encode()}
    assert 60 * 24 * 3600 < client.ttl(TOKEN_KEY) < 366 * 24 * 3600


# ----------------------------------------------------------------------------------------------------------- locks


def test_only_one_has_the_lock(running: RedisServer, store: RedisStore) -> None:
    lock, rival = store.lock(NAME, LEASE), RedisStore(running.url).lock(NAME, LEASE)
    assert lock.acquire()
    # Nor does one that tries in vain lose it, by the same object or by another one.
    assert not lock.acquire()
    assert not rival.acquire()
    assert not rival.extend()
    rival.release()
    assert not rival.acquire()
    assert store.lock("b" * 64, LEASE).acquire()
    lock.release()
    lock.release()
    assert rival.acquire()


def test_it_may_be_given_back_in_another_thread(store: RedisStore) -> None:
    lock = store.lock(NAME, LEASE)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lock.acquire).result(30)
    assert lock.extend()
    lock.release()
    assert store.lock(NAME, LEASE).acquire()


def test_the_lock_of_a_holder_that_died_is_free_after_its_lease(store: RedisStore) -> None:
    lock, next_one = store.lock(NAME, 0.3), store.lock(NAME, LEASE)
    assert lock.acquire()
    while not next_one.acquire():
        time.sleep(0.02)
    assert not lock.extend()
    lock.release()
    assert next_one.extend()
    assert not store.lock(NAME, LEASE).acquire()


def test_a_lease_begins_anew_until_redis_forgets_the_lock(store: RedisStore, client: redis.Redis) -> None:
    lock = store.lock(NAME, LEASE)
    assert lock.acquire()
    client.pexpire(LOCK_KEY, 1000)
    assert lock.extend()
    assert client.pttl(LOCK_KEY) > 20_000
    client.flushall()
    assert not lock.extend()
    lock.release()


# ------------------------------------------------------------------------------------------------- bad servers


def attempts(store: RedisStore) -> list[str]:
    """What is said when each thing is tried."""
    lock = store.lock(NAME, LEASE)
    said = []
    for act in (
        lambda: store.read(NAME), lambda: store.read_all([NAME]), lambda: store.write(NAME, b"1", None),
        lambda: store.delete(NAME), lock.acquire,
    ):  # fmt: skip
        with pytest.raises(OACTokenStoreError) as caught:
            act()
        assert caught.value.passing
        assert caught.value.__cause__ is None
        said.append(str(caught.value))
    return said


def test_a_server_that_is_gone_is_named() -> None:
    with redis_server() as server:
        store = RedisStore(server.url)
        lock = store.lock(NAME, LEASE)
        assert lock.acquire()
        server.kill()
        for text in attempts(store):
            assert f"The token store in Redis (redis://127.0.0.1:{server.port}/0) could not be " in text
            assert "(ConnectionError). Check that the server runs" in text
        with pytest.raises(OACTokenStoreError, match="could not be locked"):
            lock.extend()
        lock.release()
        # It comes back by itself when the server does.
        server.start()
        assert store.write(NAME, b"1", None)


def test_a_server_that_answers_nothing_is_given_up(running: RedisServer, store: RedisStore) -> None:
    assert store.write(NAME, b"1", None)
    with running.frozen(), pytest.raises(OACTokenStoreError, match="TimeoutError"):
        store.read(NAME)
    assert store.read(NAME) == b"1"


@pytest.mark.parametrize(
    ("spoil", "repair"),
    [("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"), ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")],
    ids=["no room", "a replica"],
)
def test_a_server_that_takes_no_writes_says_so(spoil: str, repair: str, store: RedisStore, client: redis.Redis) -> None:
    store.write(NAME, b"1", None)
    client.execute_command(spoil)
    try:
        for act in (lambda: store.write(NAME, b"2", b"1"), store.lock(NAME, LEASE).acquire):
            with pytest.raises(OACTokenStoreError, match="refuses writes: check its disk, memory and role"):
                act()
        assert store.read(NAME) == b"1"
    finally:
        client.execute_command(repair)
    assert store.write(NAME, b"2", b"1")


# ---------------------------------------------------------------------------------------------------- passwords


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    with redis_server(password=SECRET) as server:
        yield server


def address(server: RedisServer, login: str) -> str:
    return f"redis://{login}127.0.0.1:{server.port}/0"


def test_the_password_works_percent_encoded(guarded: RedisServer) -> None:
    store = RedisStore(address(guarded, f":{quote(SECRET, safe='')}@"))
    assert store.write(NAME, b"1", store.read(NAME))
    assert not [secret for secret in (SECRET, quote(SECRET, safe="")) if secret in store.where]


@pytest.mark.parametrize("login", ["", ":a-wrong-password@", "somebody:a-wrong-password@"])
def test_a_wrong_password_is_named_and_not_shown(login: str, guarded: RedisServer) -> None:
    for text in attempts(RedisStore(address(guarded, login))):
        assert "login and password in [oac] redis_url" in text
        assert not [secret for secret in ("a-wrong-password", "somebody") if secret in text]


NO_ADDRESS = [
    "redis://:{}@redis.example.com:6379/0", "redis://:12/{}@redis.example.com:6379/0",
    "redis://:12#{}@redis.example.com:6379/0", "redis://:12?{}@redis.example.com:6379/0", "redis://{}",
    "redis://justoneword", "http://:{}@redis.example.com:6379/0", "redis.example.com:6379/{}", "{}",
    "redis://:{}@redis.example.com:port/0",
]  # fmt: skip
UNKNOWN = ["socket_timeot", "decode_responses", "host", "password", "ssl_cert_reqs"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty"),
        *((url.format("pa/ss#wo?rd"), "is not the address.*percent-encoded") for url in NO_ADDRESS),
        *(
            (f"redis://redis/0?socket_timeout=3&{name}=a", f"has the parameter '{name}'.*Known are client_name, db, ")
            for name in UNKNOWN
        ),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_named_and_not_shown(url: str, said: str) -> None:
    with pytest.raises(OACConfigurationError, match=f"redis_url {said}") as caught:
        RedisStore(url)
    assert not [part for part in ("pa/", "ss#", "wo?rd") if part in str(caught.value)]
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://redis:6379", "redis://redis/0", "rediss://:p@redis.example.com",
        "rediss://redis:6379/0?ssl_cert_reqs=required&health_check_interval=10", "unix:///run/redis.sock?db=1",
    ],
)  # fmt: skip
def test_an_address_is_taken_as_redis_py_takes_it(url: str) -> None:
    assert RedisStore(url).where


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_oac.auth.store_redis")
    with pytest.raises(OACConfigurationError, match=r"pip install 'airflow-provider-oac\[redis\]'"):
        stores._encrypted_store("redis", "redis://127.0.0.1/0", "")
