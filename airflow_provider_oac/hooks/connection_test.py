"""Tests a Connection step by step: what works, who is signed in, what that user may do, and what to do next."""

from __future__ import annotations

import asyncio
import math
import re
import shlex
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac.auth.claims import claims, looks_personal, owner
from airflow_provider_oac.auth.keys import certificate_expiry, load_private_key
from airflow_provider_oac.auth.pem_input import is_path
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import PASSWORD
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
# A step yields the state and text of each finding.
Found = AsyncIterator[tuple[str, str]]

OK, NOTE, WARNING, FAILED = "ok", "note", "warning", "failed"
# Days before a certificate expires at which the warning begins.
SOON = 30
DAY = 86400.0
# Seconds that all requests and pauses of a check may take together, because a user is waiting for the result.
CHECK_SECONDS = 15.0


@dataclass(frozen=True)
class Step:
    """One finding of a test.

    :param name: the step that made it: ``connection``, ``address``, ``store``, ``key``, ``certificate``, ``sign-in``,
        ``user`` or ``rights``.
    :param state: ``ok``, ``note`` (works, and worth knowing), ``warning`` (works today) or ``failed``.
    :param text: the finding, for the user, with the next step if there is one.
    """

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class Report:
    """The result of a test.

    :param facts: the findings for programs: grant, token lifetime, user and so on, as far as known; no secrets.
    """

    conn_id: str
    steps: tuple[Step, ...]
    facts: dict[str, Any]

    @property
    def works(self) -> bool:
        """Whether the Connection can be used: no step failed."""
        return not any(step.state == FAILED for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """Return the whole report, ready for JSON."""
        steps = [asdict(step) for step in self.steps]
        return {"conn_id": self.conn_id, "works": self.works, "steps": steps, **self.facts}

    def unnamed(self) -> Report:
        """Return the report without the ID: Airflow tests the Connection in its form under a temporary one."""
        return replace(self, steps=tuple(replace(step, text=_unnamed(step.text, self.conn_id)) for step in self.steps))

    def __str__(self) -> str:
        """Return the texts of the failed steps; if none failed, all texts."""
        failed = [step.text for step in self.steps if step.state == FAILED]
        return " ".join(failed or [step.text for step in self.steps])


def _unnamed(text: str, conn_id: str) -> str:
    named = f"Connection {conn_id!r}"
    text = text.replace(f"--oac-conn-id {shlex.quote(conn_id)}", "--oac-conn-id …")
    return re.sub(rf"(^|\. ){re.escape(named)}", r"\1This Connection", text).replace(named, "this Connection")


def unreadable(conn_id: str, problem: str) -> Report:
    """Return the report of a Connection that cannot be read.

    :param problem: the reason, for the user.
    """
    return Report(conn_id, (Step("connection", FAILED, problem),), {})


async def check(
    settings: ConnectionSettings, store_entry: Callable[[], StoreEntry | None], *, seconds: float = CHECK_SECONDS
) -> Report:
    """Test a Connection: reach OAC, sign in without cached tokens, ask OAC what the user may do.

    The test ends with the first step that fails. If OAC cannot be reached, it still tests all but the user's rights.

    :param settings: the Connection's settings.
    :param store_entry: returns the entry for the Connection's tokens in the store, or ``None``. It may block.
    :param seconds: how long all requests and pauses may take together, whatever the Connection's timeouts and however
        slow the servers are.
    """
    io = BoundedIO(settings.transport, seconds)
    try:
        checks = _Checks(settings, io, await io.to_thread(lambda: _outcome(store_entry)))
        return Report(settings.conn_id, tuple(await checks.steps()), checks.facts)
    finally:
        await io.close()


def _outcome(store_entry: Callable[[], StoreEntry | None]) -> StoreEntry | OACError | None:
    """Return the store entry, or the error that prevents one, which a later step raises."""
    try:
        return store_entry()
    except OACError as error:
        return error


class BoundedIO(AsyncIO):
    """A driver that limits the time of all its requests and pauses together.

    When the time is over, a request raises an error instead of being canceled. The renewal of a refresh token then
    handles it like any request without a response.

    :param seconds: the time limit.
    """

    def __init__(self, settings: TransportSettings, seconds: float) -> None:
        super().__init__(settings)
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    async def send(self, request: Request) -> Response:
        """Send a request, if there is time left."""
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
        """Wait, unless the pause is longer than the time left."""
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
    """The steps of a test; each relies on the steps before it.

    :param settings: the Connection's settings.
    :param store_entry: the entry for its tokens in the store, or the error that prevents one.
    """

    def __init__(self, settings: ConnectionSettings, io: IO, store_entry: StoreEntry | OACError | None) -> None:
        self._settings = settings
        self._auth = settings.auth
        self._io = io
        self._found = store_entry
        self._who: str | None = None
        self.facts: dict[str, Any] = {}

    async def steps(self) -> list[Step]:
        """Run the steps."""
        steps: list[Step] = []
        away = False
        for name, tried in (
            ("connection", self._connection),
            ("address", self._address),
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
                async for state, text in tried():
                    steps.append(Step(name, state, text))
            except OACError as error:
                steps.append(Step(name, FAILED, str(error)))
                if not isinstance(error, _AwayError):
                    break
                away = True
        return steps

    @property
    def _store_entry(self) -> StoreEntry | None:
        if isinstance(self._found, OACError):
            raise self._found
        return self._found

    @cached_property
    def _session(self) -> Session:
        # An empty cache forces a sign-in. A current refresh token exists only in the store, so those grants need it.
        return Session(self._auth, MemoryStore(), self._store_entry if self._auth.uses_refresh_token else None)

    async def _connection(self) -> Found:
        """Report the Connection's addresses and warnings."""
        settings, auth = self._settings, self._auth
        self.facts |= {"address": settings.address, "identity_url": auth.identity_url, "client_id": auth.client_id}
        self.facts |= {"grant": auth.grant, "client_authentication": auth.client_authentication_used}
        yield OK, f"OAC is at {settings.address}, the identity domain at {auth.identity_url}."
        for odd in settings.warnings:
            yield WARNING, odd

    async def _address(self) -> Found:
        """Test route, proxy and TLS to OAC with a request that needs no sign-in."""
        address = self._settings.address
        # OAC answers with a redirect to the identity domain (observed).
        request = Request("GET", f"{address}/ui/", {"Accept": "*/*"})
        try:
            status = (await self._io.send(request)).status
        except (OACTransportError, OACResponseError) as error:
            raise _AwayError(str(error)) from error
        proxy = proxy_for(address)
        way = f", through the proxy {proxy.name}" if proxy else ""
        if address.startswith("https:"):
            way += f"; its certificate is trusted through {self._settings.transport.ca_path()}"
        else:
            way += ", without TLS"
        if status in (502, 503, 504):
            raise _AwayError(
                f"{address} answered HTTP {status}{way}. Likely cause: the instance is paused or restarting. "
                "Next step: check its state in the OCI console and resume it. If it is active, check the proxy or "
                "load balancer in front of it."
            )
        yield OK, f"{address} answers (HTTP {status}){way}."

    async def _store(self) -> Found:
        """Test the token store. A grant with refresh tokens fails without it."""
        store_entry = self._store_entry
        self.facts["store"] = store_entry.where if store_entry else "memory"
        _ = self._session
        if store_entry is None:
            yield OK, "Each process signs in by itself."
            return

        def tried() -> None:
            store_entry.read()
            if store_entry.lock.acquire():
                store_entry.lock.release()

        try:
            # In one thread: a canceled test must not leave the lock taken.
            await self._io.to_thread(tried)
        except OACTokenStoreError as problem:
            if self._auth.uses_refresh_token:
                repair = f" If it cannot be recovered: {self._auth.login_step}" if problem.damaged else ""
                raise OACTokenStoreError(f"{problem}{repair}", damaged=problem.damaged) from None
            yield WARNING, f"{problem} Tasks still work, but each signs in by itself."
        else:
            yield OK, f"Tasks share tokens in {store_entry.where}."

    async def _key(self) -> Found:
        """Test whether the private key can be read, who else can read it, and whether the Connection names files."""
        auth = self._auth
        if auth.signs:
            key = await self._io.to_thread(
                lambda: load_private_key(auth.private_key or "", auth.private_key_passphrase, folder=auth.file_folder)
            )
            if key.warning:
                yield WARNING, f"The private key ({key.form}) works, but {key.warning}."
            else:
                yield OK, f"The private key can be read ({key.form})."
        texts = {"private_key": auth.private_key, "certificate": auth.certificate}
        named = [name for name, text in texts.items() if is_path(text or "")]
        named += ["ca_file"] * bool(self._settings.transport.ca_file)
        if named and not auth.file_folder:
            text = (
                f"{' and '.join(named)} name files. A user who can edit Connections can name any file that Airflow can "
                "read, use any private key, and learn which files exist. Set [oac] file_folder to the folder of these "
                "files."
            )
            yield NOTE, text

    async def _certificate(self) -> Found:
        """Report when the certificate expires. This step precedes the sign-in, which may fail for this reason."""
        auth = self._auth
        if not auth.signs:
            return
        certificate = auth.certificate
        if not certificate:
            text = "The certificate's end is unknown. Set the Connection's certificate to get a warning before it ends."
            yield NOTE, text
            return
        ends = await self._io.to_thread(lambda: certificate_expiry(certificate, folder=auth.file_folder))
        left = math.floor((ends - time.time()) / DAY)
        days = f"in {left} day{'' if left == 1 else 's'}" if left else "within a day"
        date = time.strftime("%Y-%m-%d", time.gmtime(ends))
        self.facts |= {"certificate_expires": date, "certificate_days_left": left}
        if left > SOON:
            yield OK, f"The certificate ends on {date}, {days}."
            return
        how = f"ends on {date}, {days}" if left >= 0 else f"ended on {date}"
        text = (
            f"The certificate {how}. Create the next one with `python -m airflow_provider_oac keygen`, import it under "
            "a second alias, then change the Connection's private_key, certificate and certificate_alias."
        )
        yield WARNING, text

    async def _sign_in(self) -> Found:
        """Test whether the identity domain issues a token."""
        auth = self._auth
        token = await self._session.renew(self._io)
        self._who = owner(claims(token.access_token)) or auth.user
        self.facts |= {"user": self._who, "token_lifetime": token.lifetime}
        text = f"Signed in at {auth.identity_url} (grant {auth.grant}, user {self._who or 'unnamed'})"
        yield OK, f"{text}; the token lives {token.lifetime:.0f} s."

    async def _user(self) -> Found:
        """Report who is signed in, and what could end that sign-in: people leave, and passwords change."""
        auth, store_entry, who = self._auth, self._store_entry, self._who
        kept = await self._io.to_thread(store_entry.read) if store_entry and auth.uses_refresh_token else None
        if kept and kept.record.unrenewable:
            ends = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(kept.record.obtained_at + kept.record.lifetime))
            self.facts["unrenewable"] = True
            text = (
                f"The sign-in ends at {ends} and cannot be renewed: {kept.record.unrenewable}. Before a schedule uses "
                f"it, {auth.login_step}"
            )
            yield WARNING, text
            return
        if auth.grant == PASSWORD:
            text = (
                "The grant password is discouraged (RFC 9700 section 2.4): it exposes the user's password to this "
                "deployment and stops working when the password changes. Use jwt_assertion, which needs no password."
            )
            yield WARNING, text
        if not auth.uses_refresh_token or not who:
            return
        if not looks_personal(who):
            yield OK, f"The refresh token belongs to {who}; let a DAG use it at least once a week."
            return
        text = (
            f"The refresh token belongs to {who}, which looks like a person. The DAGs stop when that person leaves or "
            "is deactivated. Sign in as a service account, or use the grant jwt_assertion. Let a DAG use the refresh "
            "token at least once a week."
        )
        yield WARNING, text

    async def _rights(self) -> Found:
        """Report what the user may do, by a harmless request for each role."""
        refused: dict[str, OACApiError] = {}
        api = Api(self._io, self._settings.address, self._session)

        async def allowed(role: str, call: Call[T]) -> T | None:
            try:
                return await api.perform(call, ONCE)
            except OACApiError as error:
                # The Connection works even if the user lacks a role.
                if not error.missing_role and error.status != 403:
                    raise
                refused[role] = error
                return None

        instance = await allowed("administrator", system.get())
        # Without a search, OAC lists only the types of the catalog (observed).
        types = Call("list the types of the catalog", "GET", "/catalog", nothing, repeatable=True)
        await allowed("author", types)
        self.facts |= {role: role not in refused for role in ("administrator", "author")}
        if len(refused) == 2:
            raise refused["author"]
        if instance is None:
            text = (
                f"The user {self._who or 'of the token'} is not an administrator: snapshots and system settings need "
                "the application role BI Service Administrator. Work with the catalog does not need that role."
            )
            yield NOTE, text
        else:
            name = instance.description or instance.service_instance_key
            yield OK, f"OAC answers: {name}. The user may administer it (snapshots, system settings)."
        if "author" in refused:
            yield NOTE, ("The user may not work with the catalog, which needs the application role DV Content Author.")
        else:
            yield OK, "The user may work with the catalog."


class _AwayError(OACError):
    """OAC cannot be reached, but the steps up to the user are still useful."""
