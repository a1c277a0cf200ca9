"""Trying a Connection step by step: what works, whose sign-in it is, what that user may do, and what to do next."""

from __future__ import annotations

import asyncio
import math
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac.auth.claims import claims, looks_personal, owner
from airflow_provider_oac.auth.keys import certificate_expiry, load_private_key
from airflow_provider_oac.auth.pem_input import is_path
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import ASSERTION, JWT_ASSERTION, PASSWORD, AuthSettings
from airflow_provider_oac.auth.store import StoreEntry
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACResponseError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.io import IO, Request, Response
from airflow_provider_oac.transport.proxies import proxy_for
from airflow_provider_oac.transport.retry import ONCE
from airflow_provider_oac.transport.settings import TransportSettings

if TYPE_CHECKING:
    from airflow_provider_oac.hooks.connection import ConnectionSettings

T = TypeVar("T")

OK, NOTE, WARNING, FAILED = "ok", "note", "warning", "failed"
# A certificate that ends within so many days is warned of.
SOON = 30
DAY = 86400.0
# Seconds that the requests and pauses of a check may take in all: somebody waits for it.
CHECK_SECONDS = 15.0


@dataclass(frozen=True)
class Step:
    """One thing that was tried.

    :param name: what: ``connection``, ``address``, ``store``, ``key``, ``certificate``, ``sign-in``, ``user``,
        ``rights``.
    :param state: ``ok``, ``note`` (works, and worth knowing), ``warning`` (works today) or ``failed``.
    :param text: what was found, for people, and what to do next, if there is something to do.
    """

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class Report:
    """What was found.

    :param facts: the same for programs: grant, lifetime, user and so on, as far as they are known. No secret.
    """

    conn_id: str
    steps: tuple[Step, ...]
    facts: dict[str, Any]

    @property
    def works(self) -> bool:
        """Whether the Connection can be used for something."""
        return not any(step.state == FAILED for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """The whole of it, ready for JSON."""
        steps = [asdict(step) for step in self.steps]
        return {"conn_id": self.conn_id, "works": self.works, "steps": steps, **self.facts}

    def unnamed(self) -> Report:
        """The same for a person who knows the Connection by another id: Airflow tests the one in its form under a
        throwaway id."""
        return replace(self, steps=tuple(replace(step, text=_unnamed(step.text, self.conn_id)) for step in self.steps))

    def __str__(self) -> str:
        """What failed, if something did; else everything."""
        failed = [step.text for step in self.steps if step.state == FAILED]
        return " ".join(failed or [step.text for step in self.steps])


def _unnamed(text: str, conn_id: str) -> str:
    named = f"Connection {conn_id!r}"
    text = text.replace(f"--oac-conn-id {shlex.quote(conn_id)}", "--oac-conn-id …")
    return re.sub(rf"(^|\. ){re.escape(named)}", r"\1This Connection", text).replace(named, "this Connection")


def unreadable(conn_id: str, problem: str) -> Report:
    """The report of a Connection that cannot be read.

    :param problem: why, for people.
    """
    return Report(conn_id, (Step("connection", FAILED, problem),), {})


async def check(
    settings: ConnectionSettings, store_entry: Callable[[], StoreEntry | None], *, seconds: float = CHECK_SECONDS
) -> Report:
    """Try a Connection: reach OAC, sign in past every cache, ask OAC what the user may do.

    It ends with the first step that fails; only the sign-in is tried although OAC cannot be reached.

    :param settings: what the Connection says.
    :param store_entry: gives the place of its tokens in the store, or ``None``. It may block.
    :param seconds: how long its requests and pauses may take in all, whatever the Connection's timeouts and the pace
        of the servers.
    """
    io = BoundedIO(settings.transport, seconds)
    try:
        checks = _Checks(settings, io, await io.to_thread(lambda: _outcome(store_entry)))
        return Report(settings.conn_id, tuple(await checks.steps()), checks.facts)
    finally:
        await io.close()


def _outcome(store_entry: Callable[[], StoreEntry | None]) -> StoreEntry | OACError | None:
    """The place of the tokens, or why there can be none: an error of a later step."""
    try:
        return store_entry()
    except OACError as error:
        return error


class BoundedIO(AsyncIO):
    """A driver that gives up when its time is over.

    A request is ended and not canceled: to a renewal of a refresh token it is a request without an answer.

    :param seconds: how long all requests and pauses may take together.
    """

    def __init__(self, settings: TransportSettings, seconds: float) -> None:
        super().__init__(settings)
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    async def send(self, request: Request) -> Response:
        """Send a request, if there is time left for it."""
        sent = self._left > 0
        if sent:
            try:
                async with asyncio.timeout(self._left):
                    return await super().send(request)
            except TimeoutError:
                pass
        raise OACTransportError(
            f"{request.method} {request.url.partition('?')[0]}: no complete response within the {self._seconds:.0f} s "
            "that a check may take. Check whether the server or a proxy is slow or hangs.",
            sent=sent,
            passing=False,
        )

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the time is over by then."""
        if seconds > self._left:
            raise OACKilledError(
                f"The check stopped: it may take {self._seconds:.0f} s in all, and the next request was due in "
                f"{seconds:.1f} s. See the log for the server's earlier responses."
            )
        await super().sleep(seconds)

    @property
    def _left(self) -> float:
        return self._until - time.monotonic()


class _Checks:
    """The steps, each of which counts on those before it.

    :param settings: what the Connection says.
    :param store_entry: the place of its tokens in the store, or why there can be none.
    """

    def __init__(self, settings: ConnectionSettings, io: IO, store_entry: StoreEntry | OACError | None) -> None:
        self._settings = settings
        self._io = io
        self._found = store_entry
        self._who: str | None = None
        self.facts: dict[str, Any] = {}

    async def steps(self) -> list[Step]:
        """Run them."""
        steps: list[Step] = []
        away = False
        for name, tried in (
            ("connection", self._connection),
            ("address", self._reach),
            ("store", self._store),
            ("key", self._key),
            ("certificate", self._certificate),
            ("sign-in", self._sign_in),
            ("user", self._user),
            ("rights", self._rights),
        ):
            if away and name == "rights":
                break
            try:
                steps += await tried()
            except OACError as error:
                steps.append(Step(name, FAILED, str(error)))
                if not isinstance(error, _AwayError):
                    break
                away = True
        return steps

    @property
    def _slot(self) -> StoreEntry | None:
        if isinstance(self._found, OACError):
            raise self._found
        return self._found

    @cached_property
    def _session(self) -> Session:
        # What a credential brings is got past every cache. A chain of refresh tokens exists once, in the store.
        auth = self._settings.auth
        return Session(auth, MemoryStore(), self._slot if auth.uses_refresh_token else None)

    async def _connection(self) -> list[Step]:
        """What it says, and what is odd about it."""
        settings, auth = self._settings, self._settings.auth
        self.facts |= {"address": settings.address, "identity_url": auth.identity_url, "client_id": auth.client_id}
        self.facts |= {"grant": auth.grant, "client_authentication": auth.client_authentication_used}
        text = f"OAC is at {settings.address}, the identity domain at {auth.identity_url}."
        return [Step("connection", OK, text), *(Step("connection", WARNING, odd) for odd in settings.warnings)]

    async def _reach(self) -> list[Step]:
        """Whether OAC can be reached at all, by a request that needs no sign-in: route, proxy, TLS."""
        settings = self._settings
        # Observed: answered with a redirect to the identity domain.
        request = Request("GET", f"{settings.address}/ui/", {"Accept": "*/*"})
        try:
            status = (await self._io.send(request)).status
        except (OACTransportError, OACResponseError) as error:
            raise _AwayError(str(error)) from error
        way = _way(settings.address, settings.transport)
        if status in (502, 503, 504):
            raise _AwayError(
                f"{settings.address} answered HTTP {status}{way}. Likely cause: the instance is paused or restarting. "
                "Next step: check its state in the OCI console and resume it. If it is active, check the proxy or "
                "load balancer in front of it."
            )
        return [Step("address", OK, f"{settings.address} answers (HTTP {status}){way}.")]

    async def _store(self) -> list[Step]:
        """Whether the token store works, and is there if it must be."""
        store_entry = self._slot
        self.facts["store"] = store_entry.where if store_entry else "memory"
        _ = self._session
        return [await self._io.to_thread(lambda: _store(self._settings.auth, store_entry))]

    async def _key(self) -> list[Step]:
        """Whether the private key can be read, and who else can read it."""
        return await self._io.to_thread(lambda: list(_key(self._settings)))

    async def _certificate(self) -> list[Step]:
        """When it ends. Before the sign-in, which may fail for just that."""
        return await self._io.to_thread(lambda: list(_certificate(self._settings.auth, self.facts)))

    async def _sign_in(self) -> list[Step]:
        """Whether a token can be had now."""
        auth = self._settings.auth
        token = await self._session.renew(self._io)
        self._who = owner(claims(token.access_token)) or auth.user
        self.facts |= {"user": self._who, "token_lifetime": token.lifetime}
        text = f"Signed in at {auth.identity_url} (grant {auth.grant}, user {self._who or 'unnamed'})"
        return [Step("sign-in", OK, f"{text}; the token lives {token.lifetime:.0f} s.")]

    async def _user(self) -> list[Step]:
        """Whose sign-in it is, and how long it will last."""
        auth, store_entry = self._settings.auth, self._slot
        kept = await self._io.to_thread(store_entry.read) if store_entry and auth.uses_refresh_token else None
        if kept and kept.record.unrenewable:
            ends = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(kept.record.obtained_at + kept.record.lifetime))
            text = (
                f"The sign-in ends at {ends} and cannot be renewed: {kept.record.unrenewable}. Before a schedule uses "
                f"it, {auth.login_step}"
            )
            self.facts["unrenewable"] = True
            return [Step("user", WARNING, text)]
        return list(_person(auth, self._who))

    async def _rights(self) -> list[Step]:
        """What that user may do."""
        return await _rights(Api(self._io, self._settings.address, self._session), self._who, self.facts)


class _AwayError(OACError):
    """OAC cannot be reached. Whether one can sign in is still worth knowing."""


def _way(address: str, transport: TransportSettings) -> str:
    """How a server is reached, for people."""
    proxy = proxy_for(address)
    through = f", through the proxy {proxy.name}" if proxy else ""
    if not address.startswith("https:"):
        return f"{through}, without TLS"
    return f"{through}; its certificate is trusted through {transport.ca_path()}"


def _store(auth: AuthSettings, store_entry: StoreEntry | None) -> Step:
    """Whether the store works. It must, where a chain of refresh tokens depends on it."""
    if store_entry is None:
        return Step("store", OK, "Each process signs in by itself.")
    try:
        store_entry.read()
        if store_entry.acquire():
            store_entry.release()
    except OACTokenStoreError as problem:
        if auth.uses_refresh_token:
            repair = f" If it cannot be recovered: {auth.login_step}" if problem.damaged else ""
            raise OACTokenStoreError(f"{problem}{repair}", damaged=problem.damaged) from None
        text = f"{problem} Tasks still work, but each signs in by itself."
        return Step("store", WARNING, text)
    return Step("store", OK, f"Tasks share tokens in {store_entry.where}.")


def _person(auth: AuthSettings, who: str | None) -> Iterator[Step]:
    """Whose refresh token it is: people leave. A password is no better."""
    if auth.grant == PASSWORD:
        text = (
            "The grant password is discouraged (RFC 9700 section 2.4): it exposes the user's password to this "
            "deployment and stops working when the password changes. Use jwt_assertion, which needs no password."
        )
        yield Step("user", WARNING, text)
    if not auth.uses_refresh_token or not who:
        return
    if not looks_personal(who):
        yield Step("user", OK, f"The refresh token belongs to {who}; let a DAG use it at least once a week.")
        return
    text = (
        f"The refresh token belongs to {who}, which looks like a person. The DAGs stop when that person leaves or is "
        "deactivated. Sign in as a service account, or use the grant jwt_assertion. Let a DAG use the refresh token "
        "at least once a week."
    )
    yield Step("user", WARNING, text)


async def _rights(api: Api, who: str | None, facts: dict[str, Any]) -> list[Step]:
    """What the user may do, by asking for something harmless that needs each role."""
    refused: dict[str, OACApiError] = {}

    async def allowed(role: str, call: Call[T]) -> T | None:
        try:
            return await api.perform(call, ONCE)
        except OACApiError as error:
            # A role that is missing says nothing against the Connection.
            if not error.missing_role and error.status != 403:
                raise
            refused[role] = error
            return None

    instance = await allowed("administrator", system.get())
    await allowed("author", _catalog_types())
    facts |= {role: role not in refused for role in ("administrator", "author")}
    if len(refused) == 2:
        raise refused["author"]
    steps = []
    if instance is None:
        text = (
            f"The user {who or 'of the token'} is not an administrator: snapshots and system settings need the "
            "application role BI Service Administrator. Work with the catalog does not need that role."
        )
        steps.append(Step("rights", NOTE, text))
    else:
        name = instance.description or instance.service_instance_key
        text = f"OAC answers: {name}. The user may administer it (snapshots, system settings)."
        steps.append(Step("rights", OK, text))
    if "author" in refused:
        text = "The user may not work with the catalog, which needs the application role DV Content Author."
        steps.append(Step("rights", NOTE, text))
    else:
        steps.append(Step("rights", OK, "The user may work with the catalog."))
    return steps


def _catalog_types() -> Call[None]:
    """Ask for the types of the catalog: without a search, OAC lists nothing else (observed)."""
    return Call("list the types of the catalog", "GET", "/catalog", nothing, repeatable=True)


def _signs(auth: AuthSettings) -> bool:
    """Whether signing in takes the private key."""
    return auth.client_authentication_used == ASSERTION or auth.grant == JWT_ASSERTION


def _key(settings: ConnectionSettings) -> Iterator[Step]:
    """Whether the private key can be read, who else can read it, and what paths let an editor do."""
    auth = settings.auth
    if _signs(auth):
        key = load_private_key(auth.private_key or "", auth.private_key_passphrase, folder=auth.file_folder)
        if key.warning:
            yield Step("key", WARNING, f"The private key ({key.form}) works, but {key.warning}.")
        else:
            yield Step("key", OK, f"The private key can be read ({key.form}).")
    yield from _named_files(auth, settings.transport)


def _named_files(auth: AuthSettings, transport: TransportSettings) -> Iterator[Step]:
    """What a Connection with paths lets its editors do."""
    texts = {"private_key": auth.private_key, "certificate": auth.certificate}
    named = [name for name, text in texts.items() if is_path(text or "")] + ["ca_file"] * bool(transport.ca_file)
    if named and not auth.file_folder:
        text = (
            f"{' and '.join(named)} name files. A user who can edit Connections can name any file that Airflow can "
            "read, use any private key, and learn which files exist. Set [oac] file_folder to the folder of these "
            "files."
        )
        yield Step("key", NOTE, text)


def _certificate(auth: AuthSettings, facts: dict[str, Any]) -> Iterator[Step]:
    """When the certificate ends, which is when signing in by assertion does."""
    if not _signs(auth):
        return
    if not auth.certificate:
        text = "The certificate's end is unknown. Set the Connection's certificate to get a warning before it ends."
        yield Step("certificate", NOTE, text)
        return
    ends = certificate_expiry(auth.certificate, folder=auth.file_folder)
    left = math.floor((ends - time.time()) / DAY)
    days = f"in {left} day{'' if left == 1 else 's'}" if left else "within a day"
    date = time.strftime("%Y-%m-%d", time.gmtime(ends))
    facts |= {"certificate_expires": date, "certificate_days_left": left}
    if left > SOON:
        yield Step("certificate", OK, f"The certificate ends on {date}, {days}.")
        return
    how = f"ends on {date}, {days}" if left >= 0 else f"ended on {date}"
    text = (
        f"The certificate {how}. Create the next one with `python -m airflow_provider_oac keygen`, import it under a "
        "second alias, then change the Connection's private_key, certificate and certificate_alias."
    )
    yield Step("certificate", WARNING, text)
