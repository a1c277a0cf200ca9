"""The store in Redis: compare and set, leases, and a server that is gone, forgetful or locked."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
import redis

from airflow_provider_oac.auth.store import Kept, StoreEntry
from airflow_provider_oac.auth.store_redis import RedisStore
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError
from airflow_provider_oac.hooks import stores
from tests.redis_server import RedisServer, redis_server
from tests.unit.auth.stores import CHAIN, NAME, PASSWORD, RECORD, store_entry

SECRET = "p/w+d@x:y#z"
LEASE = 30.0


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    redis.Redis.from_url(running.url).flushall()
    return running


@pytest.fixture
def store(server: RedisServer) -> RedisStore:
    return RedisStore(server.url)


# ------------------------------------------------------------------------------------------------ reading and writing


def test_replaces_only_what_is_expected(store: RedisStore) -> None:
    assert store.read(NAME) is None
    assert not store.write(NAME, b"1", b"something")
    assert store.write(NAME, b"1", None)
    assert not store.write(NAME, b"2", None)
    assert not store.write(NAME, b"2", b"other")
    assert store.write(NAME, b"2", b"1")
    assert store.read(NAME) == b"2"
    store.delete(NAME)
    store.delete(NAME)
    assert store.read(NAME) is None


def test_several_entries_are_read_with_one_request(server: RedisServer, store: RedisStore) -> None:
    place, damaged = store_entry(store), store_entry(store, settings=PASSWORD)
    place.put(RECORD)
    damaged.put(RECORD)
    client = redis.Redis.from_url(server.url)
    (key,) = client.keys(f"*:token:{PASSWORD.store_key}")
    client.set(key, b"damaged")
    client.config_resetstat()
    kept, missing, problem = StoreEntry.read_all(
        [place, store_entry(store, settings=replace(CHAIN, user="another")), damaged]
    )
    assert isinstance(kept, Kept)
    assert kept.record == RECORD
    assert missing is None
    assert isinstance(problem, OACTokenStoreError)
    assert problem.damaged
    calls = client.info("commandstats")
    assert (calls["cmdstat_mget"]["calls"], "cmdstat_get" in calls) == (1, False)
    assert StoreEntry.read_all([]) == []


def test_of_many_rivals_one_writes(server: RedisServer) -> None:
    RedisStore(server.url).write(NAME, b"0", None)
    begin = threading.Barrier(8)
    written: list[int] = []

    def rival(number: int) -> None:
        store = RedisStore(server.url)
        store.read(NAME)
        begin.wait(30)
        if store.write(NAME, f"by {number}".encode(), b"0"):
            written.append(number)

    threads = [threading.Thread(target=rival, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [f"by {number}".encode() for number in written] == [RedisStore(server.url).read(NAME)]


def test_names_are_told_apart_from_those_of_other_programs(store: RedisStore, server: RedisServer) -> None:
    store.write(NAME, b"1", None)
    lock = store.lock(NAME, LEASE)
    assert lock.acquire()
    keys = set(redis.Redis.from_url(server.url).keys())
    lock.release()
    assert keys == {f"airflow-provider-oac:{kind}:{NAME}".encode() for kind in ("token", "lock")}


def test_what_nobody_touches_goes_some_day_but_not_before_refresh_tokens_do(
    store: RedisStore, server: RedisServer
) -> None:
    store.write(NAME, b"1", None)
    left = redis.Redis.from_url(server.url).ttl(f"airflow-provider-oac:token:{NAME}")
    assert 60 * 24 * 3600 < left < 366 * 24 * 3600


# ----------------------------------------------------------------------------------------------------------- locks


def test_only_one_has_the_lock(server: RedisServer) -> None:
    lock, rival = (RedisStore(server.url).lock(NAME, LEASE) for _ in range(2))
    assert lock.acquire()
    assert not rival.acquire()
    assert not rival.extend()
    rival.release()
    assert not rival.acquire()
    assert RedisStore(server.url).lock("b" * 64, LEASE).acquire()
    lock.release()
    lock.release()
    assert rival.acquire()
    rival.release()


def test_a_lock_that_another_thread_tried_in_vain_is_still_given_back(store: RedisStore) -> None:
    lock = store.lock(NAME, LEASE)
    assert lock.acquire()
    assert not lock.acquire()
    lock.release()
    assert store.lock(NAME, LEASE).acquire()


def test_it_may_be_given_back_in_another_thread(store: RedisStore) -> None:
    lock = store.lock(NAME, LEASE)
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join(30)
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
    next_one.release()


def test_a_lease_can_begin_anew(store: RedisStore, server: RedisServer) -> None:
    lock = store.lock(NAME, LEASE)
    assert lock.acquire()
    client = redis.Redis.from_url(server.url)
    client.pexpire(f"airflow-provider-oac:lock:{NAME}", 1000)
    assert lock.extend()
    assert client.pttl(f"airflow-provider-oac:lock:{NAME}") > 20_000
    lock.release()


def test_a_lock_that_redis_forgot_is_lost(store: RedisStore, server: RedisServer) -> None:
    lock = store.lock(NAME, LEASE)
    assert lock.acquire()
    redis.Redis.from_url(server.url).flushall()
    assert not lock.extend()
    lock.release()


# ------------------------------------------------------------------------------------------------- bad servers


def attempts(store: RedisStore) -> dict[str, str]:
    """What is said when each thing is tried."""
    lock = store.lock(NAME, LEASE)
    tries = {
        "read": lambda: store.read(NAME),
        "write": lambda: store.write(NAME, b"1", None),
        "delete": lambda: store.delete(NAME),
        "acquire": lock.acquire,
    }
    said = {}
    for name, act in tries.items():
        with pytest.raises(OACTokenStoreError) as caught:
            act()
        assert caught.value.passing
        assert caught.value.__cause__ is None
        said[name] = str(caught.value)
    return said


def test_a_server_that_is_gone_is_named() -> None:
    with redis_server() as server:
        store = RedisStore(server.url)
        lock = store.lock(NAME, LEASE)
        assert lock.acquire()
        server.kill()
        for text in attempts(store).values():
            assert f"The token store in Redis (redis://127.0.0.1:{server.port}/0) could not be " in text
            assert "(ConnectionError). Check that the server runs" in text
        with pytest.raises(OACTokenStoreError, match="could not be locked"):
            lock.extend()
        lock.release()
        # It comes back by itself when the server does.
        server.start()
        assert store.write(NAME, b"1", None)


def test_a_server_that_answers_nothing_is_given_up() -> None:
    with redis_server() as server:
        store = RedisStore(server.url)
        assert store.write(NAME, b"1", None)
        with server.frozen(), pytest.raises(OACTokenStoreError, match="TimeoutError"):
            store.read(NAME)
        assert store.read(NAME) == b"1"


@pytest.mark.parametrize("persistent", [False, True])
def test_after_a_restart_it_holds_what_the_server_kept(persistent: bool) -> None:
    with redis_server(persistent=persistent) as server:
        store = RedisStore(server.url)
        store.write(NAME, b"1", None)
        server.restart()
        assert store.read(NAME) == (b"1" if persistent else None)


def test_a_server_without_room_says_so() -> None:
    with redis_server() as server:
        store = RedisStore(server.url)
        client = redis.Redis.from_url(server.url)
        store.write(NAME, b"1", None)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(OACTokenStoreError, match="refuses writes: check its disk, memory and role"):
            store.write(NAME, b"2", b"1")
        assert store.read(NAME) == b"1"
        client.config_set("maxmemory", "0")
        assert store.write(NAME, b"2", b"1")


def test_a_replica_takes_no_writes_and_says_so() -> None:
    with redis_server() as server:
        client = redis.Redis.from_url(server.url)
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(OACTokenStoreError, match="refuses writes"):
            RedisStore(server.url).lock(NAME, LEASE).acquire()


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
    assert SECRET not in store.where
    assert quote(SECRET, safe="") not in store.where


@pytest.mark.parametrize("login", ["", ":a-wrong-password@", "somebody:a-wrong-password@"])
def test_a_wrong_password_is_named_and_not_shown(login: str, guarded: RedisServer) -> None:
    for text in attempts(RedisStore(address(guarded, login))).values():
        assert "login and password in [oac] redis_url" in text
        assert "a-wrong-password" not in text
        assert "somebody" not in text


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{secret}@redis.example.com:6379/0",
        "redis://:12/{secret}@redis.example.com:6379/0",
        "redis://:12#{secret}@redis.example.com:6379/0",
        "redis://:12?{secret}@redis.example.com:6379/0",
        "redis://{secret}",
        "redis://justoneword",
        "http://:{secret}@redis.example.com:6379/0",
        "redis.example.com:6379/{secret}",
        "{secret}",
        "redis://:{secret}@redis.example.com:port/0",
    ],
)
def test_an_address_that_is_none_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(OACConfigurationError, match=r"redis_url is not the address.*percent-encoded") as caught:
        RedisStore(url.format(secret="pa/ss#wo?rd"))
    assert not [part for part in ("pa", "ss#", "wo?rd") if part in str(caught.value).replace("password", "")]
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["socket_timeot", "decode_responses", "host", "password", "ssl_cert_reqs"])
def test_a_parameter_that_is_not_known_is_named(name: str) -> None:
    with pytest.raises(
        OACConfigurationError, match=f"redis_url has the parameter '{name}'.*Known are client_name, db, "
    ):
        RedisStore(f"redis://127.0.0.1:6379/0?socket_timeout=3&{name}=a-value")


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost", "redis://redis:6379", "redis://redis/0", "rediss://:p@redis.example.com",
        "rediss://redis:6379/0?ssl_cert_reqs=required&health_check_interval=10", "unix:///run/redis.sock?db=1",
    ],
)  # fmt: skip
def test_an_address_is_taken_as_redis_py_takes_it(url: str) -> None:
    assert RedisStore(url).where


def test_an_empty_address_is_named() -> None:
    with pytest.raises(OACConfigurationError, match="redis_url is empty"):
        RedisStore("")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "airflow_provider_oac.auth.store_redis")
    with pytest.raises(OACConfigurationError, match=r"pip install 'airflow-provider-oac\[redis\]'"):
        stores._backend(stores.REDIS, "redis://127.0.0.1/0")


def test_what_is_kept_there_is_sealed(store: RedisStore, server: RedisServer) -> None:
    place = store_entry(store)
    place.put(RECORD)
    client = redis.Redis.from_url(server.url)
    raw = client.get(f"airflow-provider-oac:token:{CHAIN.store_key}")
    assert raw
    assert not [secret for secret in (b"an-access-token", b"a-refresh-token") if secret in raw]
    kept = place.read()
    assert kept
    assert kept.record == RECORD


def test_a_record_that_was_copied_over_another_entry_is_refused(store: RedisStore, server: RedisServer) -> None:
    elsewhere = replace(CHAIN, resource="https://other.example.com")
    store_entry(store).put(RECORD)
    names = [f"airflow-provider-oac:token:{settings.store_key}" for settings in (CHAIN, elsewhere)]
    assert redis.Redis.from_url(server.url).copy(*names)
    with pytest.raises(OACTokenStoreError, match="was sealed for another entry"):
        store_entry(store, settings=elsewhere).read()
