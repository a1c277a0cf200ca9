"""The instance itself.

Source: "System REST Endpoints" (documented).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.transport.redaction import quoted


def _shown(value: Any) -> str:
    return quoted(value, limit=300) or ""


@model
class System(Model):
    """Details of an instance.

    :param description: its description, made safe for a message; the original is in ``raw``.
    :param owners: its owners, made safe for a message.
    """

    service_instance_key: str = member("serviceInstanceKey")
    description: str = member("description", read=_shown)
    owners: tuple[str, ...] = member(
        "owners", read=lambda value: tuple(map(_shown, value)) if isinstance(value, list) else ()
    )
    raw: Mapping[str, Any] = field(repr=False)


def get() -> Call[System]:
    """Get details of the instance; this is cheap.

    Operation ``GET /system`` (documented). It needs BI Service Administrator.
    """
    doing, read = "read the details of the instance", System.reader("The instance")
    return Call(doing, "GET", "/system", read, repeatable=True)


def restore_snapshot(snapshot_id: str, password: str) -> Call[str]:
    """Restore a registered snapshot: this replaces the content of the **whole instance** and cannot be undone.

    Operation ``POST /system/actions/restoreSnapshot`` (documented); the work request's id comes in a header
    (documented). It is never sent a second time when its response was lost.

    :param snapshot_id: id of the snapshot.
    :param password: the password that sealed the snapshot.
    :returns: a call whose result is the id of the work request.
    """
    doing, path = f"restore snapshot {snapshot_id}", "/system/actions/restoreSnapshot"
    body = {"snapshot": {"id": snapshot_id, "password": password}}
    return Call(doing, "POST", path, accepted_id, body=body, secrets=(password,))
