"""The Connections of the type ``oac`` and what is known of them without asking anybody outside."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models import Connection
from airflow.secrets.environment_variables import CONN_ENV_PREFIX, EnvironmentVariablesBackend
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_oac.auth.keys import certificate_expiry
from airflow_provider_oac.auth.store import Record
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks.checking import DAY, FAILED, SOON, Report, Step
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.hooks.stores import slot_for_a_person
from airflow_provider_oac.web.access import may_edit
from airflow_provider_oac.web.audit import shown_time

log = logging.getLogger(__name__)


@dataclass
class State:
    """What the page shows of one Connection. No secret.

    :param problem: why it cannot be used at all; most of the rest is then unknown.
    :param signed_in: whose sign-in is kept, or that there is none; for grants that need a person.
    :param refused: why the button *Sign in* would not work; empty if it would.
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
    needs_person: bool = False
    refused: str = ""
    problem: str = ""
    check: str = ""
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
                log.warning("%s cannot be read and is left out: %s.", name, type(error).__name__)
                continue
            if _type(found) == OACHook.conn_type:
                yield conn_id


def exists(conn_id: str) -> bool:
    """Whether Airflow, as this server sees it, has such a Connection of the type ``oac``."""
    try:
        return _type(OACHook.get_connection(conn_id)) == OACHook.conn_type
    except Exception:
        # One that cannot be read is there all the same. Some versions of Airflow call it missing.
        return conn_id in _stored()


def check(conn_id: str) -> Report:
    """Try a Connection; one that Airflow cannot read has failed, too."""
    try:
        return OACHook(conn_id).check()
    except Exception as error:
        return Report(conn_id, (Step("connection", FAILED, _unreadable(conn_id, error)),), {})


def _unreadable(conn_id: str, error: Exception) -> str:
    """What is said of a Connection that Airflow cannot read, such as one of another Fernet key."""
    log.error("Connection %r cannot be read.", conn_id, exc_info=error)
    return f"Airflow cannot read it ({type(error).__name__}); the API server's log says more."


def _type(connection: Any) -> str:
    return str(getattr(connection, "conn_type", "") or "")


def state(conn_id: str, last_check: dict[str, Any] | None) -> State:
    """What is known of a Connection: by its own words, by the token store and by the last check."""
    found = State(conn_id)
    hook = OACHook(conn_id)
    try:
        _read(hook, found, last_check or {})
    except OACError as error:
        found.problem, found.level = str(error), "bad"
    except Exception as error:
        # The page has others to show.
        found.problem, found.level = _unreadable(conn_id, error), "bad"
    _say_check(found, last_check)
    return found


def _read(hook: OACHook, found: State, last_check: dict[str, Any]) -> None:
    settings = hook.settings
    auth = settings.auth
    found.address, found.grant, found.user = settings.address, auth.grant, auth.user or ""
    found.needs_person = auth.chained
    lifetime = last_check.get("token_lifetime")
    if auth.certificate:
        _say_certificate(found, certificate_expiry(auth.certificate) - time.time())
    slot = hook.slot
    kept = slot.read() if slot else None
    if kept and kept.record.access_token:
        lifetime = kept.record.lifetime
    if isinstance(lifetime, int | float):
        found.lifetime = f"{lifetime:.0f} s"
    if auth.chained:
        _say_person(found, kept.record if kept else None, seeded=bool(auth.refresh_token))
        try:
            slot_for_a_person(settings, slot)
        except OACError as error:
            found.refused = str(error)


def _say_person(found: State, record: Record | None, *, seeded: bool) -> None:
    """Whose refresh token is kept."""
    found.level = "bad"
    if record is None or not (record.refresh_token or record.access_token):
        found.signed_in = "Nobody has signed in yet."
        if seeded:
            found.level = "unknown"
            found.signed_in = "No task has used the refresh token of the Connection yet."
        return
    found.signed_in = f"{record.owner or 'An unnamed user'}, renewed {_when(record.refreshed_at or record.obtained_at)}"
    if record.unrenewable:
        found.signed_in += f". It cannot be renewed: {record.unrenewable}"
    elif record.failure:
        found.signed_in += f". Refused {_when(record.failure.at)}: {record.failure.message}"
    else:
        found.level = "good"


def _say_certificate(found: State, left: float) -> None:
    """When it ends, which is when signing in by assertion does."""
    days = math.floor(left / DAY)
    date = time.strftime("%Y-%m-%d", time.gmtime(time.time() + left))
    found.certificate = f"{date} (in {days} days)" if left > 0 else f"ended on {date}"
    found.certificate_ends = days <= SOON


def _say_check(found: State, last_check: dict[str, Any] | None) -> None:
    if last_check is None:
        found.check = "never"
        return
    works = bool(last_check.get("works"))
    outcome = "works" if works else f"failed at {last_check.get('failed') or 'an unknown step'}"
    found.check = f"{outcome}, {shown_time(last_check['at'])}, by {last_check.get('by') or 'somebody'}"
    if not found.problem and found.level != "bad":
        found.level = "good" if works else "bad"


def _when(at: float) -> str:
    return shown_time(datetime.fromtimestamp(at, UTC))
