"""The instance itself. Source: "System REST Endpoints" (documented)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_oac.client.calls import Call, json_object
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest.work_requests import accepted_id
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import quoted


@dataclass(frozen=True)
class System(Model):
    """Details of an instance.

    :param description: what it calls itself, fit for a message; as it is in ``raw``.
    :param owners: fit for a message, too.
    """

    service_instance_key: str
    description: str
    owners: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)


def get() -> Call[System]:
    """Get details of the instance; cheap. Operation ``GET /system`` (documented). Needs BI Service Administrator."""
    return Call("read the details of the instance", "GET", "/system", _read_system, repeatable=True)


def restore_snapshot(snapshot_id: str, password: str) -> Call[str]:
    """Restore a registered snapshot: it replaces the content of the **whole instance**, and there is no undo.

    Operation ``POST /system/actions/restoreSnapshot`` (documented); the work request's id comes in a header
    (documented). Never sent a second time when its answer was lost.

    :param snapshot_id: id of the snapshot.
    :param password: the password that it was sealed with.
    :returns: a call whose result is the id of the work request.
    """
    doing, path = f"restore snapshot {snapshot_id}", "/system/actions/restoreSnapshot"
    body = {"snapshot": {"id": snapshot_id, "password": password}}
    return Call(doing, "POST", path, accepted_id, body=body, secrets=(password,))


def _read_system(response: Response) -> System:
    body = json_object(response)
    owners = body.get("owners")
    return System(
        service_instance_key=str(body.get("serviceInstanceKey") or ""),
        description=quoted(body.get("description"), limit=300) or "",
        owners=tuple(quoted(owner, limit=300) or "" for owner in owners) if isinstance(owners, list) else (),
        raw=body,
    )
