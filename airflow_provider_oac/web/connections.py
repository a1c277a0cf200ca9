"""The Connections of the type ``oac`` and what is known of them without asking anybody outside."""

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
from airflow_provider_oac.auth.store import Kept, Record, StoreEntry
from airflow_provider_oac.exceptions import OACError, OACTokenStoreError
from airflow_provider_oac.hooks.connection_test import DAY, SOON, Report, unreadable
from airflow_provider_oac.hooks.connection_test import check as try_connection
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.stores import store_entry_for_a_person
from airflow_provider_oac.hooks.token_mask import mask_tokens_of
from airflow_provider_oac.web.access import may_edit, team_of
from airflow_provider_oac.web.audit import Check

log = logging.getLogger(__name__)

# So long a page waits for the token store; so many threads ask it.
_STORE_SECONDS = 3.0
_looks = ThreadPoolExecutor(max_workers=2, thread_name_prefix="oac-store")


@dataclass
class State:
    """What the page shows of one Connection. No secret.

    :param problem: why it cannot be used at all; most of the rest is then unknown.
    :param signed_in: whose sign-in is kept, or that there is none; for grants that need a person.
    :param renewed: when that sign-in was renewed last.
    :param lost: why that sign-in does not work any more, and since when, if that is known.
    :param refused: why the button *Sign in* would not work; empty if it would.
    :param last: the last check.
    :param steps: of a check that has just been made.
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
    """The ids of the Connections of the type ``oac`` that a user may edit.

    Those of the database and of this server's environment. A secrets backend gives out no list.
    """
    return [conn_id for conn_id in sorted({*_stored(), *_of_environment()}) if may_edit(user, conn_id)]


def _stored() -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(Connection.conn_id).where(Connection.conn_type == OACHook.conn_type)))


def _of_environment() -> Iterator[str]:
    backend = EnvironmentVariablesBackend()
    for name, value in os.environ.items():
        # Whatever else is there belongs to others, and need not be readable.
        if name.startswith(CONN_ENV_PREFIX) and OACHook.conn_type in value:
            conn_id = name.removeprefix(CONN_ENV_PREFIX).lower()
            try:
                found = backend.get_connection(conn_id)
            except Exception as error:
                # Whatever Airflow makes of a text that is no Connection.
                log.warning("%s cannot be read and is skipped: %s.", name, type(error).__name__)
                continue
            if _type(found) == OACHook.conn_type:
                yield conn_id


def exists(conn_id: str) -> bool:
    """Whether Airflow, as this server sees it, has such a Connection of the type ``oac``."""
    try:
        return _type(PageHook.get_connection(conn_id)) == OACHook.conn_type
    except Exception:
        # A Connection that cannot be read exists. Some versions of Airflow call it missing.
        return conn_id in _stored()


class PageHook(OACHook):
    """The hook of a Connection as Airflow's own pages read it, in the name of the team that it belongs to."""

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """Read it."""
        team = team_of(conn_id)
        # Airflow 3.1 has no teams.
        return Connection.get_connection_from_secrets(conn_id, **({"team_name": team} if team else {}))

    @property
    def _mask_token(self) -> Callable[[str], None]:
        return mask_tokens_of(self.oac_conn_id)


async def check(conn_id: str) -> Report:
    """Try a Connection; one that Airflow cannot read has failed, too."""
    hook = PageHook(conn_id)
    try:
        # Reading Connections blocks: a database, a secrets backend.
        settings = await asyncio.to_thread(lambda: hook.settings)
    except OACError as error:
        return unreadable(conn_id, str(error))
    except Exception as error:
        return unreadable(conn_id, _cannot_read(conn_id, error))
    return await try_connection(settings, lambda: hook.store_entry)


def _cannot_read(conn_id: str, error: Exception) -> str:
    """What is said of a Connection that Airflow cannot read, such as one of another Fernet key."""
    log.error("Connection %r cannot be read.", conn_id, exc_info=error)
    return f"Airflow cannot read it ({type(error).__name__}); see the API server's log."


def _type(connection: Any) -> str:
    return str(getattr(connection, "conn_type", "") or "")


def states(conn_ids: Sequence[str], checks: Mapping[str, Check]) -> list[State]:
    """What is known of Connections: by their own words, by the token store and by the last check.

    The store is asked once for all of them, and for a few seconds only.
    """
    found = [(State(conn_id, last=checks.get(conn_id)), PageHook(conn_id)) for conn_id in conn_ids]
    entries: dict[str, StoreEntry] = {}
    for state, hook in found:
        with _problem_of(state):
            _say_connection(state, hook)
            if hook.store_entry:
                entries[state.conn_id] = hook.store_entry
    kept = dict(zip(entries, _kept(list(entries.values())), strict=True))
    for state, hook in found:
        if not state.problem:
            with _problem_of(state):
                _say_kept(state, hook, kept.get(state.conn_id))
        if state.last and not state.problem and state.level != "bad":
            state.level = "good" if state.last.works else "bad"
    return [state for state, _ in found]


@contextmanager
def _problem_of(found: State) -> Iterator[None]:
    """Say why a Connection cannot be used: the page has others to show."""
    try:
        yield
    except OACError as error:
        found.problem, found.level = str(error), "bad"
    except Exception as error:
        found.problem, found.level = _cannot_read(found.conn_id, error), "bad"


def _kept(slots: list[StoreEntry]) -> list[Kept | OACTokenStoreError | None]:
    """What the store holds, or why that is not known."""
    if not slots:
        return []
    look = _looks.submit(StoreEntry.read_all, slots)
    try:
        return look.result(_STORE_SECONDS)
    except OACTokenStoreError as error:
        problem = error
    except TimeoutError:
        look.cancel()
        where = slots[0].where
        problem = OACTokenStoreError(
            f"{where[0].upper()}{where[1:]} did not answer within {_STORE_SECONDS:.0f} s. Reload the page. If the "
            "error persists, check whether the store runs and the API server can reach it."
        )
    return [problem] * len(slots)


def _say_connection(found: State, hook: PageHook) -> None:
    """What the Connection and the deployment's settings say."""
    auth = hook.settings.auth
    found.address, found.grant, found.user = hook.settings.address, auth.grant, auth.user or ""
    found.needs_person = auth.uses_refresh_token
    if auth.certificate:
        _say_certificate(found, certificate_expiry(auth.certificate, folder=auth.file_folder) - time.time())
    if auth.uses_refresh_token:
        store_entry = hook.store_entry
        try:
            store_entry_for_a_person(hook.settings, store_entry)
        except OACError as error:
            found.refused = str(error)


def _say_kept(found: State, hook: PageHook, kept: Kept | OACTokenStoreError | None) -> None:
    """What the store says."""
    if isinstance(kept, OACTokenStoreError):
        raise kept
    auth, record = hook.settings.auth, kept.record if kept else None
    lifetime = found.last.token_lifetime if found.last else None
    if record and record.access_token:
        lifetime = record.lifetime
    if lifetime is not None:
        found.lifetime = f"{lifetime:.0f} s"
    if auth.uses_refresh_token:
        _say_person(found, record, seeded=bool(auth.refresh_token))


def _say_person(found: State, record: Record | None, *, seeded: bool) -> None:
    """Whose refresh token is kept."""
    found.level = "bad"
    if record is None or not (record.refresh_token or record.access_token):
        found.signed_in = "Nobody has signed in yet."
        if seeded:
            found.level = "unknown"
            found.signed_in = "No task has used the refresh token of the Connection yet."
        return
    found.signed_in = record.owner or "An unnamed user"
    found.renewed = _when(record.refreshed_at or record.obtained_at)
    if record.unrenewable:
        found.lost = f"It cannot be renewed: {record.unrenewable}", None
    elif record.failure:
        found.lost = record.failure.message, _when(record.failure.at)
    else:
        found.level = "good"


def _say_certificate(found: State, left: float) -> None:
    """When it ends, which is when signing in by assertion does."""
    days = math.floor(left / DAY)
    date = time.strftime("%Y-%m-%d", time.gmtime(time.time() + left))
    found.certificate = f"{date} (in {days} days)" if left > 0 else f"ended on {date}"
    found.certificate_ends = days <= SOON


def _when(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
