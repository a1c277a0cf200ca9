"""The Connections of the type ``oac`` and their state, without requests to OAC or the identity domain."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models import Connection
from airflow.secrets.environment_variables import CONN_ENV_PREFIX, EnvironmentVariablesBackend
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_oac.auth.keys import certificate_expiry
from airflow_provider_oac.auth.store import Kept, StoreEntry
from airflow_provider_oac.exceptions import OACError, OACTokenStoreError
from airflow_provider_oac.hooks.connection_test import DAY, SOON, Report, unreadable
from airflow_provider_oac.hooks.connection_test import check as try_connection
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.stores import store_entry_for_a_person
from airflow_provider_oac.hooks.token_mask import mask_tokens_of
from airflow_provider_oac.web.access import may_edit, team_of
from airflow_provider_oac.web.audit import Check

log = logging.getLogger(__name__)

# Seconds that a page waits for the token store, and the threads that read it.
_STORE_SECONDS = 3.0
_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="oac-store")


@dataclass
class State:
    """The state of one Connection, as the page shows it. It holds no secrets.

    :param problem: why the Connection cannot be used at all; most other fields are then unknown.
    :param signed_in: who has signed in, or that no user has; for grants that need a person.
    :param renewed: when that sign-in was last renewed.
    :param lost: why that sign-in no longer works, and since when, if known.
    :param refused: why the button *Sign in* would not work; empty if it would.
    :param last: the last check.
    :param steps: the steps of a check that has just ended.
    :param level: ``good``, ``bad`` or ``unknown``.
    """

    conn_id: str
    address: str = ""
    grant: str = ""
    user: str = ""
    lifetime: str = ""
    certificate: str = ""
    certificate_ends: bool = False
    signed_in: str = ""
    renewed: datetime | None = None
    lost: tuple[str, datetime | None] | None = None
    needs_person: bool = False
    refused: str = ""
    problem: str = ""
    last: Check | None = None
    level: str = "unknown"
    steps: list[dict[str, str]] = field(default_factory=list)


def editable(user: BaseUser) -> list[str]:
    """Return the IDs of the Connections of the type ``oac`` that a user may edit.

    They come from the database and this server's environment. A secrets backend cannot list its Connections.
    """
    return [conn_id for conn_id in sorted({*_stored(), *_of_environment()}) if may_edit(user, conn_id)]


def _stored() -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(Connection.conn_id).where(Connection.conn_type == OACHook.conn_type)))


def _of_environment() -> Iterator[str]:
    backend = EnvironmentVariablesBackend()
    for name, value in os.environ.items():
        # Connections of other types may be unreadable here, so they are not read.
        if name.startswith(CONN_ENV_PREFIX) and OACHook.conn_type in value:
            conn_id = name.removeprefix(CONN_ENV_PREFIX).lower()
            try:
                found = backend.get_connection(conn_id)
            except Exception as error:
                # Airflow may raise any exception for a text that is not a Connection.
                log.warning("%s cannot be read and is skipped: %s.", name, type(error).__name__)
                continue
            if found and found.conn_type == OACHook.conn_type:
                yield conn_id


def exists(conn_id: str) -> bool:
    """Return whether this server can find a Connection of the type ``oac`` with this ID."""
    try:
        return bool(PageHook.get_connection(conn_id).conn_type == OACHook.conn_type)
    except Exception:
        # A Connection in the database exists even if it cannot be read; some versions of Airflow report it as missing.
        return conn_id in _stored()


class PageHook(OACHook):
    """The hook of a Connection, which it reads as Airflow's own pages do, on behalf of the Connection's team."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Read the Connection."""
        team = team_of(conn_id)
        # Airflow 3.1 has no teams.
        return Connection.get_connection_from_secrets(conn_id, **({"team_name": team} if team else {}))

    @property
    def _mask_token(self) -> Callable[[str], None]:
        return mask_tokens_of(self.oac_conn_id)


async def check(conn_id: str) -> Report:
    """Test a Connection. If Airflow cannot read it, the test has failed."""
    hook = PageHook(conn_id)
    try:
        # Reading Connections blocks: it asks a database or a secrets backend.
        settings = await asyncio.to_thread(lambda: hook.settings)
    except OACError as error:
        return unreadable(conn_id, str(error))
    except Exception as error:
        return unreadable(conn_id, _cannot_read(conn_id, error))
    return await try_connection(settings, lambda: hook.store_entry)


def _cannot_read(conn_id: str, error: Exception) -> str:
    """Log and return why Airflow cannot read a Connection, for example one encrypted with another Fernet key."""
    log.error("Connection %r cannot be read.", conn_id, exc_info=error)
    return f"Airflow cannot read it ({type(error).__name__}); see the API server's log."


def states(conn_ids: Sequence[str], checks: Mapping[str, Check]) -> list[State]:
    """Return the states of Connections, from their settings, the token store and the last checks.

    One request reads the store for all of them, and it may take only a few seconds.
    """
    found = [(State(conn_id, last=checks.get(conn_id)), PageHook(conn_id)) for conn_id in conn_ids]
    entries: dict[str, StoreEntry] = {}
    for state, hook in found:
        with _problem_of(state):
            _fill_settings(state, hook)
            if hook.store_entry:
                entries[state.conn_id] = hook.store_entry
    stored = dict(zip(entries, _read_store(list(entries.values())), strict=True))
    for state, hook in found:
        if not state.problem:
            with _problem_of(state):
                _fill_stored(state, hook, stored.get(state.conn_id))
        if state.last and not state.problem and state.level != "bad":
            state.level = "good" if state.last.works else "bad"
    return [state for state, _ in found]


@contextmanager
def _problem_of(state: State) -> Iterator[None]:
    """Turn an error into the Connection's problem, so the page can show the other Connections."""
    try:
        yield
    except OACError as error:
        state.problem, state.level = str(error), "bad"
    except Exception as error:
        state.problem, state.level = _cannot_read(state.conn_id, error), "bad"


def _read_store(entries: list[StoreEntry]) -> list[Kept | OACTokenStoreError | None]:
    """Return the store's content for each entry, or the error that prevents reading it."""
    if not entries:
        return []
    reading = _readers.submit(StoreEntry.read_all, entries)
    try:
        return reading.result(_STORE_SECONDS)
    except OACTokenStoreError as error:
        problem = error
    except TimeoutError:
        reading.cancel()
        where = entries[0].where
        problem = OACTokenStoreError(
            f"{where[0].upper()}{where[1:]} did not answer within {_STORE_SECONDS:.0f} s. Next step: reload the page. "
            "If the error persists, check whether the store runs and the API server can reach it."
        )
    return [problem] * len(entries)


def _fill_settings(state: State, hook: PageHook) -> None:
    """Fill in what the Connection and the deployment's settings hold."""
    auth = hook.settings.auth
    state.address, state.grant, state.user = hook.settings.address, auth.grant, auth.user or ""
    state.needs_person = auth.uses_refresh_token
    if auth.certificate:
        ends = certificate_expiry(auth.certificate, folder=auth.file_folder)
        days = math.floor((ends - time.time()) / DAY)
        date = time.strftime("%Y-%m-%d", time.gmtime(ends))
        state.certificate = f"{date} (in {days} days)" if days >= 0 else f"ended on {date}"
        state.certificate_ends = days <= SOON
    if auth.uses_refresh_token:
        store_entry = hook.store_entry
        try:
            store_entry_for_a_person(hook.settings, store_entry)
        except OACError as error:
            state.refused = str(error)


def _fill_stored(state: State, hook: PageHook, stored: Kept | OACTokenStoreError | None) -> None:
    """Fill in what the store holds: the lifetime of the tokens, who has signed in, and whether that sign-in works."""
    if isinstance(stored, OACTokenStoreError):
        raise stored
    auth, record = hook.settings.auth, stored.record if stored else None
    lifetime = record.lifetime if record and record.access_token else state.last and state.last.token_lifetime
    if lifetime is not None:
        state.lifetime = f"{lifetime:.0f} s"
    if not auth.uses_refresh_token:
        return
    if record is None or not (record.refresh_token or record.access_token):
        if auth.refresh_token:
            state.signed_in = "No task has used the refresh token of the Connection yet."
        else:
            state.signed_in, state.level = "No user has signed in yet.", "bad"
        return
    state.signed_in = record.owner or "An unnamed user"
    state.renewed = _when(record.refreshed_at or record.obtained_at)
    if record.unrenewable:
        state.lost = f"It cannot be renewed: {record.unrenewable}", None
    elif record.failure:
        state.lost = record.failure.message, _when(record.failure.at)
    state.level = "bad" if state.lost else "good"


def _when(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
