"""Signing in on the page: the flow runs on the API server's event loop and streams its progress to the browser.

The progress is one long response; the page does not poll a job. So one API server runs the whole sign-in, no state is
stored in between, and the sign-in ends when the browser closes the page.
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
from airflow_provider_oac.auth.device import DeviceCode, sign_in_and_keep
from airflow_provider_oac.auth.store import Record
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACKilledError
from airflow_provider_oac.hooks.connection_test import CHECK_SECONDS
from airflow_provider_oac.hooks.stores import store_entry_for_a_person
from airflow_provider_oac.transport.asynchronous import AsyncIO
from airflow_provider_oac.transport.settings import TransportSettings, checked_url
from airflow_provider_oac.web import audit
from airflow_provider_oac.web.connections import PageHook

log = logging.getLogger(__name__)
# How many sign-ins one API server runs at a time, in total and for each Airflow user. Each polls an identity domain
# every few seconds, for up to an hour.
MOST_SIGN_INS = 8
MOST_OF_A_USER = 2
# The tasks and their users. An event loop holds only weak references to its tasks.
_running: dict[asyncio.Task[None], str] = {}


class SignIn:
    """One sign-in of a person.

    :param user: the Airflow user who pressed the button; the person who signs in at OAC may be another one.
    """

    def __init__(self, conn_id: str, user: BaseUser) -> None:
        self._conn_id = conn_id
        self._user = user
        self._said: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._gone = False

    async def events(self) -> AsyncIterator[str]:
        """Yield the progress as server-sent events: ``code``, ``waiting``, then ``done`` or ``failed``."""
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
            # The browser may close the page at any time. The sign-in then ends before its next poll; canceling it could
            # lose tokens that have arrived.
            self._gone = True

    async def _run(self) -> None:
        """Run the sign-in and report its outcome."""
        try:
            name, text = await self._outcome()
        except Exception:
            log.exception("Signing in for Connection %r failed unexpectedly.", self._conn_id)
            name, text = "failed", "Signing in failed unexpectedly; see the API server's log."
        self._said.put_nowait((name, {"text": text}))
        self._said.put_nowait(None)

    async def _outcome(self) -> tuple[str, str]:
        """Sign in, write the outcome to the audit log, and return the last event and its text."""
        try:
            record = await self._sign_in()
        except OACError as error:
            await self._note("given up" if isinstance(error, OACKilledError) else "failed")
            return "failed", str(error)
        await self._note("signed in", owner=record.owner)
        return "done", _done(record)

    async def _sign_in(self) -> Record:
        hook = PageHook(self._conn_id)
        # Reading Connections and settings blocks: it asks a database or a secrets backend.
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
    """Return why this user cannot begin another sign-in now; empty if the user can."""
    if list(_running.values()).count(user) >= MOST_OF_A_USER:
        return f"You have {MOST_OF_A_USER} sign-ins in progress. End one of them, or close its page, and try again."
    if len(_running) >= MOST_SIGN_INS:
        return f"{len(_running)} sign-ins are in progress on this API server. Try again in a few minutes."
    return ""


def quick(transport: TransportSettings) -> TransportSettings:
    """Return the settings with short timeouts, because a user is waiting."""
    return replace(
        transport,
        connect_timeout=min(transport.connect_timeout, CHECK_SECONDS),
        read_timeout=min(transport.read_timeout, CHECK_SECONDS),
        response_timeout=min(transport.response_timeout, CHECK_SECONDS),
    )


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def shown(code: DeviceCode) -> dict[str, Any]:
    """Return the data about a code for the browser, with only safe addresses of the identity domain.

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
