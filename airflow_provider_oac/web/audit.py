"""Airflow's audit log records who checked a Connection or signed in; the page reads the last checks from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import select

CHECKED, SIGNED_IN = "oac.check", "oac.sign_in"
# How many checks are searched for the last one of each Connection.
_LOOK_BACK = 500


def note(user: BaseUser, event: str, conn_id: str, **what: Any) -> None:
    """Write an event to the audit log: the user, the event, the Connection."""
    entry = Log(
        event=event,
        owner=user.get_name(),
        owner_display_name=user.get_name(),
        extra=json.dumps({"connection_id": conn_id, **what}),
    )
    with create_session() as session:
        session.add(entry)


@dataclass(frozen=True)
class Check:
    """The last check of a Connection.

    :param failed: the step that failed, if one did.
    :param token_lifetime: lifetime in seconds of the token that it received, if it received one.
    :param reason: why it failed, for the user.
    """

    at: datetime
    by: str
    works: bool
    failed: str | None
    token_lifetime: float | None
    reason: str


def last_checks() -> tuple[dict[str, Check], int]:
    """Return the last check of each Connection, and how many entries could not be read."""
    query = select(Log.dttm, Log.owner, Log.extra).where(Log.event == CHECKED).order_by(Log.dttm.desc())
    found: dict[str, Check] = {}
    unreadable = 0
    with create_session() as session:
        for at, by, extra in session.execute(query.limit(_LOOK_BACK)):
            try:
                conn_id, check = _read(at, by, extra)
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
                unreadable += 1
                continue
            found.setdefault(conn_id, check)
    return found, unreadable


def _read(at: datetime | None, by: str | None, extra: str | None) -> tuple[str, Check]:
    """Read an entry.

    :raises ValueError: if this provider did not write it, or an incompatible version of it did.
    """
    entry = json.loads(extra or "")
    conn_id, works, failed, lifetime = (entry[name] for name in ("connection_id", "works", "failed", "token_lifetime"))
    # Older versions of this provider wrote no reason.
    reason = entry.get("reason") or ""
    if not isinstance(conn_id, str) or not isinstance(failed, str | None) or not isinstance(reason, str) or at is None:
        raise ValueError
    lifetime = None if lifetime is None else float(lifetime)
    return conn_id, Check(at, by or "unknown", bool(works), failed, lifetime, reason)
