"""Trying a Connection step by step: what works, whose sign-in it is, what that user may do, and what to do next."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_oac.auth.claims import claims, looks_personal, owner
from airflow_provider_oac.auth.keys import certificate_expiry
from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.auth.settings import ASSERTION, JWT_ASSERTION, PASSWORD, AuthSettings
from airflow_provider_oac.auth.store import Slot
from airflow_provider_oac.client import system
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACResponseError,
    OACTokenStoreError,
    OACTransportError,
)
from airflow_provider_oac.transport.blocking import run
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.transport.proxies import proxy_for
from airflow_provider_oac.transport.retry import ONCE
from airflow_provider_oac.transport.settings import TransportSettings

if TYPE_CHECKING:
    from airflow_provider_oac.hooks.oac import OACHook

T = TypeVar("T")

OK, NOTE, WARNING, FAILED = "ok", "note", "warning", "failed"
# A certificate that ends within so many days is warned of.
SOON = 30
DAY = 86400.0


@dataclass(frozen=True)
class Step:
    """One thing that was tried.

    :param name: what: ``connection``, ``address``, ``store``, ``certificate``, ``sign-in``, ``user``, ``rights``.
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

    def __str__(self) -> str:
        """What failed, if something did; else everything."""
        failed = [step.text for step in self.steps if step.state == FAILED]
        return " ".join(failed or [step.text for step in self.steps])


def check(hook: OACHook) -> Report:
    """Try a Connection: read it, reach OAC, sign in past every cache, ask OAC what the user may do.

    It ends with the first step that fails; only the sign-in is tried although OAC cannot be reached.
    """
    checks = _Checks(hook)
    steps: list[Step] = []
    away = False
    for name, tried in (
        ("connection", checks.connection),
        ("address", checks.reach),
        ("store", checks.store),
        ("certificate", checks.certificate),
        ("sign-in", checks.sign_in),
        ("user", checks.user),
        ("rights", checks.rights),
    ):
        if away and name == "rights":
            break
        try:
            steps += tried()
        except OACError as error:
            steps.append(Step(name, FAILED, str(error)))
            if not isinstance(error, _AwayError):
                break
            away = True
    return Report(hook.oac_conn_id, tuple(steps), checks.facts)


class _Checks:
    """The steps, each of which counts on those before it.

    :param hook: of the Connection.
    """

    def __init__(self, hook: OACHook) -> None:
        self._hook = hook
        self._who: str | None = None
        self.facts: dict[str, Any] = {}

    @cached_property
    def _session(self) -> Session:
        # What a credential brings is got past every cache. A chain of refresh tokens exists once, in the store.
        auth = self._hook.settings.auth
        return Session(auth, MemoryStore(), self._hook.slot if auth.chained else None)

    def connection(self) -> Iterator[Step]:
        """Whether it can be read and is complete."""
        settings = self._hook.settings
        auth = settings.auth
        self.facts |= {"address": settings.address, "identity_url": auth.identity_url, "client_id": auth.client_id}
        self.facts |= {"grant": auth.grant, "client_authentication": auth.client_authentication_used}
        yield Step("connection", OK, f"OAC is at {settings.address}, the identity domain at {auth.identity_url}.")
        yield from (Step("connection", WARNING, text) for text in settings.warnings)

    def reach(self) -> Iterator[Step]:
        """Whether OAC can be reached at all, by a request that needs no sign-in: route, proxy, TLS."""
        settings = self._hook.settings
        # Observed: answered with a redirect to the identity domain.
        request = Request("GET", f"{settings.address}/ui/", {"Accept": "*/*"})
        try:
            status = run(self._hook.io.send(request)).status
        except (OACTransportError, OACResponseError) as error:
            raise _AwayError(str(error)) from error
        way = _way(settings.address, settings.transport)
        if status in (502, 503, 504):
            raise _AwayError(
                f"{settings.address} answered HTTP {status}{way}. Likely cause: the instance is paused, or restarting. "
                "Next step: look at its state in the OCI console and resume it; if it is active, ask whoever runs the "
                "proxy or load balancer in between."
            )
        yield Step("address", OK, f"{settings.address} answers (HTTP {status}){way}.")

    def store(self) -> Iterator[Step]:
        """Whether the token store works, and is there if it must be."""
        slot = self._hook.slot
        self.facts["store"] = slot.where if slot else "memory"
        _ = self._session
        yield _store(self._hook.settings.auth, slot)

    def certificate(self) -> Iterator[Step]:
        """When it ends. Before the sign-in, which may fail for just that."""
        return _certificate(self._hook.settings.auth, self.facts)

    def sign_in(self) -> Iterator[Step]:
        """Whether a token can be had now."""
        auth = self._hook.settings.auth
        token = run(self._session.renew(self._hook.io))
        self._who = owner(claims(token.access_token)) or auth.user
        self.facts |= {"user": self._who, "token_lifetime": token.lifetime}
        text = f"Signed in at {auth.identity_url} (grant {auth.grant}, user {self._who or 'unnamed'})"
        yield Step("sign-in", OK, f"{text}; the token lives {token.lifetime:.0f} s.")

    def user(self) -> Iterator[Step]:
        """Whose sign-in it is, and how long it will last."""
        auth, slot = self._hook.settings.auth, self._hook.slot
        kept = slot.read() if slot and auth.chained else None
        if kept and kept.record.unrenewable:
            ends = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(kept.record.obtained_at + kept.record.lifetime))
            text = (
                f"It ends at {ends}, for good: {kept.record.unrenewable}. Before a schedule uses it, {auth.login_step}"
            )
            self.facts["unrenewable"] = True
            yield Step("user", WARNING, text)
        else:
            yield from _person(auth, self._who)

    def rights(self) -> Iterator[Step]:
        """What that user may do."""
        api = Api(self._hook.io, self._hook.settings.address, self._session)
        return _rights(api, self._who, self.facts)


class _AwayError(OACError):
    """OAC cannot be reached. Whether one can sign in is still worth knowing."""


def _way(address: str, transport: TransportSettings) -> str:
    """How a server is reached, for people."""
    proxy = proxy_for(address)
    through = f", through the proxy {proxy.name}" if proxy else ""
    if not address.startswith("https:"):
        return f"{through}, without TLS"
    return f"{through}; its certificate is good by {transport.ca_path()}"


def _store(auth: AuthSettings, slot: Slot | None) -> Step:
    """Whether the store works. It must, where a chain of refresh tokens depends on it."""
    if slot is None:
        return Step("store", OK, "Each process signs in by itself.")
    try:
        slot.read()
        if slot.acquire():
            slot.release()
    except OACTokenStoreError as problem:
        if auth.chained:
            repair = f" If it cannot be brought back: {auth.login_step}" if problem.damaged else ""
            raise OACTokenStoreError(f"{problem}{repair}", damaged=problem.damaged) from None
        text = f"{problem} Tasks work all the same, as each then signs in by itself."
        return Step("store", WARNING, text)
    return Step("store", OK, f"Tasks share tokens in {slot.where}.")


def _person(auth: AuthSettings, who: str | None) -> Iterator[Step]:
    """Whose refresh token it is: people leave. A password is no better."""
    if auth.grant == PASSWORD:
        text = (
            "The grant password is discouraged (RFC 9700 section 2.4): it lays the user's password open to this "
            "deployment, and ends when the password does. Use jwt_assertion, which needs none."
        )
        yield Step("user", WARNING, text)
    if not auth.chained or not who:
        return
    if not looks_personal(who):
        yield Step("user", OK, f"The refresh token belongs to {who}; let a DAG use it at least once a week.")
        return
    text = (
        f"The refresh token belongs to {who}, which looks like a person: when that person leaves or is deactivated, "
        "the DAGs stop. Let a service account sign in, or use the grant jwt_assertion. Let a DAG use it at least "
        "once a week."
    )
    yield Step("user", WARNING, text)


def _rights(api: Api, who: str | None, facts: dict[str, Any]) -> Iterator[Step]:
    """What the user may do, by asking for something harmless that needs each role."""
    refused: dict[str, OACApiError] = {}

    def allowed(role: str, call: Call[T]) -> T | None:
        try:
            return run(api.perform(call, ONCE))
        except OACApiError as error:
            # A role that is missing says nothing against the Connection.
            if not error.missing_role and error.status != 403:
                raise
            refused[role] = error
            return None

    instance = allowed("administrator", system.get())
    allowed("author", _catalog_types())
    facts |= {role: role not in refused for role in ("administrator", "author")}
    if len(refused) == 2:
        raise refused["author"]
    if instance is None:
        text = (
            f"OAC knows {who or 'the user'}, who may not administer it: snapshots and system settings need the "
            "application role BI Service Administrator. For work with the catalog alone that is just right."
        )
        yield Step("rights", NOTE, text)
    else:
        name = instance.description or instance.service_instance_key
        yield Step("rights", OK, f"OAC answers: {name}. The user may administer it (snapshots, system settings).")
    if "author" in refused:
        text = "The user may not work with the catalog, which needs the application role DV Content Author."
        yield Step("rights", NOTE, text)
    else:
        yield Step("rights", OK, "The user may work with the catalog.")


def _catalog_types() -> Call[None]:
    """Ask for the types of the catalog: without a search, OAC lists nothing else (observed)."""
    return Call("list the types of the catalog", "GET", "/catalog", nothing, repeatable=True)


def _certificate(auth: AuthSettings, facts: dict[str, Any]) -> Iterator[Step]:
    """When the certificate ends, which is when signing in by assertion does."""
    if auth.client_authentication_used != ASSERTION and auth.grant != JWT_ASSERTION:
        return
    if not auth.certificate:
        text = "When the certificate ends is not known here; put it into the Connection's certificate to be warned."
        yield Step("certificate", NOTE, text)
        return
    ends = certificate_expiry(auth.certificate)
    left = math.floor((ends - time.time()) / DAY)
    days = f"in {left} day{'' if left == 1 else 's'}" if left else "within a day"
    date = time.strftime("%Y-%m-%d", time.gmtime(ends))
    facts |= {"certificate_expires": date, "certificate_days_left": left}
    if left > SOON:
        yield Step("certificate", OK, f"The certificate ends on {date}, {days}.")
        return
    how = f"ends on {date}, {days}" if left >= 0 else f"ended on {date}"
    text = (
        f"The certificate {how}. Make the next one with `python -m airflow_provider_oac keygen`, import it under a "
        "second alias beside this one, then change private_key, certificate and certificate_alias of the Connection."
    )
    yield Step("certificate", WARNING, text)
