"""Airflow's audit log: it keeps who checked a Connection or signed in, and so what the page shows as the last check."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.models.log import Log
from airflow.utils.session import create_session
from sqlalchemy import select

CHECKED, SIGNED_IN = "oac.check", "oac.sign_in"
# So many checks are looked at for the last one of each Connection.
_LOOK_BACK = 500


def note(user: BaseUser, event: str, conn_id: str, **what: Any) -> None:
    """Enter an event: who, what, which Connection."""
    entry = Log(
        event=event,
        owner=user.get_name(),
        owner_display_name=user.get_name(),
        extra=json.dumps({"connection_id": conn_id, **what}),
    )
    with create_session() as session:
        session.add(entry)


def last_checks() -> dict[str, dict[str, Any]]:
    """The last check of each Connection: what :func:`note` was given, and ``at`` and ``by``."""
    query = select(Log.dttm, Log.owner, Log.extra).where(Log.event == CHECKED).order_by(Log.dttm.desc())
    found: dict[str, dict[str, Any]] = {}
    with create_session() as session:
        for at, by, extra in session.execute(query.limit(_LOOK_BACK)):
            entry = _read(extra)
            conn_id = entry.pop("connection_id", None)
            if isinstance(conn_id, str):
                found.setdefault(conn_id, {"at": at, "by": by, **entry})
    return found


def _read(extra: str | None) -> dict[str, Any]:
    """What an entry says. Airflow's own interface cannot write one with our event; an older version of ours could."""
    try:
        entry = json.loads(extra or "")
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def shown_time(at: datetime) -> str:
    """A time for people."""
    return at.strftime("%Y-%m-%d %H:%M UTC")
