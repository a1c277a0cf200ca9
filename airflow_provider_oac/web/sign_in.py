"""Signing in on the page: the flow runs on the API server's event loop, and what it says is streamed to the browser.

One long answer instead of a job and a page that asks for it: whichever API server begins a sign-in ends it, nothing is
kept in between, and it is given up when the browser goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

from airflow_provider_oac.auth.claims import looks_personal
from airflow_provider_oac.auth.device import DeviceCode
from airflow_provider_oac.auth.sign_in import sign_in_and_keep
from airflow_provider_oac.auth.store import Record
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACKilledError
from airflow_provider_oac.hooks.connection_test import CHECK_SECONDS
from airflow_provider_oac.hooks.stores import store_entry_for_a_person
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.settings import TransportSettings, checked_url
from airflow_provider_oac.web import audit
from airflow_provider_oac.web.connections import PageHook

log = logging.getLogger(__name__)
# How many sign-ins one API server has in progress, in all and for each user of Airflow. Each asks an identity domain
# every few seconds, for up to an hour.
MOST_SIGN_INS = 8
MOST_OF_A_USER = 2
# The tasks, and whose they are. An event loop itself holds its tasks by weak references only.
_running: dict[asyncio.Task[None], str] = {}


class SignIn:
    """One sign-in of a person.

    :param user: who pressed the button; the sign-in itself may be another's.
    """

    def __init__(self, conn_id: str, user: BaseUser) -> None:
        self._conn_id = conn_id
        self._user = user
        self._said: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._gone = False

    async def events(self) -> AsyncIterator[str]:
        """What happens, as server-sent events: ``code``, ``waiting``, then ``done`` or ``failed``."""
        user = str(self._user.get_id())
        if refusal := _refusal(user):
            yield _event("failed", {"text": refusal})
            return
        task = asyncio.create_task(self._run())
        _running[task] = user
        task.add_done_callback(_running.pop)
        try:
            while (said := await self._said.get()) is not None:
                name, data = said
                yield _event(name, data)
        finally:
            # The browser may leave at any time. The sign-in ends by itself before its next poll; canceling it could
            # lose tokens that have come.
            self._gone = True

    async def _run(self) -> None:
        """Run it to its end, and say how it ended."""
        try:
            name, text = await self._outcome()
        except Exception:
            log.exception("Signing in for Connection %r failed unexpectedly.", self._conn_id)
            name, text = "failed", "Signing in failed unexpectedly; see the API server's log."
        self._said.put_nowait((name, {"text": text}))
        self._said.put_nowait(None)

    async def _outcome(self) -> tuple[str, str]:
        """The last event and its text, once the audit log has it."""
        try:
            record = await self._sign_in()
        except OACError as error:
            await self._note("given up" if isinstance(error, OACKilledError) else "failed")
            return "failed", str(error)
        await self._note("signed in", owner=record.owner)
        return "done", _done(record)

    async def _sign_in(self) -> Record:
        hook = PageHook(self._conn_id)
        # Reading Connections and settings blocks: a database, a secrets backend.
        settings = await asyncio.to_thread(lambda: hook.settings)
        store_entry = store_entry_for_a_person(settings, await asyncio.to_thread(lambda: hook.store_entry))
        io = AsyncIO(quick(settings.transport))
        try:
            return await sign_in_and_keep(io, store_entry, settings.auth, self._show, self._waiting)
        finally:
            await io.close()

    def _show(self, code: DeviceCode) -> None:
        self._said.put_nowait(("code", shown(code)))

    def _waiting(self, left: float) -> None:
        if self._gone:
            raise OACKilledError("The page was closed.")
        self._said.put_nowait(("waiting", {"left": round(left)}))

    async def _note(self, outcome: str, **what: Any) -> None:
        await asyncio.to_thread(audit.note, self._user, audit.SIGNED_IN, self._conn_id, outcome=outcome, **what)


def _refusal(user: str) -> str:
    """Why this user cannot begin another sign-in now; empty if they can."""
    if list(_running.values()).count(user) >= MOST_OF_A_USER:
        return f"You have {MOST_OF_A_USER} sign-ins in progress. End one of them, or close its page, and try again."
    if len(_running) >= MOST_SIGN_INS:
        return f"{len(_running)} sign-ins are in progress on this API server. Try again in a few minutes."
    return ""


def quick(transport: TransportSettings) -> TransportSettings:
    """The settings, with timeouts for a person who waits."""
    return replace(
        transport,
        connect_timeout=min(transport.connect_timeout, CHECK_SECONDS),
        read_timeout=min(transport.read_timeout, CHECK_SECONDS),
        response_timeout=min(transport.response_timeout, CHECK_SECONDS),
    )


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def shown(code: DeviceCode) -> dict[str, Any]:
    """What the browser is told of a code. The identity domain's addresses are followed only if they are safe.

    :raises OACConfigurationError: if the address is neither https nor of this machine.
    """
    checked_url(code.verification_uri, "The address where the code is to be entered")
    link = code.verification_uri
    if code.verification_uri_complete:
        try:
            checked_url(code.verification_uri_complete, "The address with the code in it")
            link = code.verification_uri_complete
        except OACConfigurationError as error:
            log.warning("%s The page does not show it.", error)
    left = max(0, round(code.expires_at - time.time()))
    return {"user_code": code.user_code, "address": code.verification_uri, "link": link, "left": left}


def _done(record: Record) -> str:
    who = record.owner
    text = f"Signed in as {who or 'a user whom the token does not name'}. Tasks now use this sign-in."
    if who and looks_personal(who):
        text += (
            f" Note: {who} looks like a person. The DAGs stop when that person leaves or is deactivated. Sign in as a "
            "service account instead, or use the grant jwt_assertion, which needs no person."
        )
    return text
