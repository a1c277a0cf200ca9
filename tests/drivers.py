"""The two drivers behind one interface, and sign-in at the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.blocking import BlockingIO, run
from airflow_provider_oac.transport.io import IO
from airflow_provider_oac.transport.settings import TransportSettings

T = TypeVar("T")

# Tests that are not about timeouts must not wait for them.
IMPATIENT = TransportSettings(connect_timeout=10.0, read_timeout=20.0)


class Drive(Protocol):
    """Runs a flow with a new ``io`` and closes it."""

    def __call__(self, flow: Callable[[IO], Awaitable[T]], settings: TransportSettings = IMPATIENT) -> T: ...


def blocking(flow: Callable[[IO], Awaitable[T]], settings: TransportSettings = IMPATIENT) -> T:
    """Run a flow as a task does."""
    io = BlockingIO(settings)

    async def whole() -> T:
        return await flow(io)

    try:
        return run(whole())
    finally:
        io.close()


def asynchronous(flow: Callable[[IO], Awaitable[T]], settings: TransportSettings = IMPATIENT) -> T:
    """Run a flow as a trigger does."""

    async def whole() -> T:
        io = AsyncIO(settings)
        try:
            return await flow(io)
        finally:
            await io.close()

    return asyncio.run(whole())


DRIVERS: dict[str, Drive] = {"blocking": blocking, "asynchronous": asynchronous}


@pytest.fixture(name="drive", params=sorted(DRIVERS))
def each_driver(request: pytest.FixtureRequest) -> Drive:
    """Run a flow. The tests of a module that imports this fixture run twice, once with each driver."""
    return DRIVERS[request.param]


class SignIn:
    """Ways to sign in at a simulator.

    :param ready: content of the simulator's ready file.
    """

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self.ready = ready

    def url(self, instance: str = "dev") -> str:
        """Return the URL of an instance."""
        return str(self.ready["instances"][instance]["url"])

    def settings(self, instance: str = "dev", **changes: Any) -> AuthSettings:
        """Return valid settings, with changes.

        The settings contain only the credentials that the grant and the client authentication need.

        :param instance: the instance whose scope to request.
        :param changes: fields of :class:`AuthSettings`.
        """
        grant = changes.get("grant", "jwt_assertion")
        user = changes.get("user", "oac.admin@example.com")
        how = changes.get("client_authentication") or ("basic" if grant == "password" else "assertion")
        fields: dict[str, Any] = {
            "identity_url": self.ready["identity_url"],
            "client_id": self.ready["client_id"],
            "scope": self.ready["instances"][instance]["scope"],
            "resource": self.url(instance),
            "user": user,
        }
        if grant == "password":
            fields["user_password"] = self.ready["users"].get(user, "no-such-user")
        if how != "assertion":
            fields["client_secret"] = self.ready["client_secret"]
        if how == "assertion" or grant == "jwt_assertion":
            fields["private_key"] = Path(self.ready["private_key_file"]).read_text()
            fields["certificate_alias"] = self.ready["certificate_alias"]
        return AuthSettings(**{**fields, **changes})

    def session(self, instance: str = "dev", store: MemoryStore | None = None, **changes: Any) -> Session:
        """Return a session, with a new token store unless one is given."""
        return Session(self.settings(instance, **changes), MemoryStore() if store is None else store)

    def performing(
        self, *calls: Call[Any], instance: str = "dev", **changes: Any
    ) -> Callable[[IO], Awaitable[list[Any]]]:
        """Return a flow for `drive` that signs in once, makes calls one after the other, and returns their results."""
        session = self.session(instance, **changes)

        async def flow(io: IO) -> list[Any]:
            api = Api(io, self.url(instance), session)
            return [await api.perform(call) for call in calls]

        return flow
