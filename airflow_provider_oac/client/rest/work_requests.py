"""Work requests: OAC's asynchronous operations.

Source: "Work Requests REST Endpoints" (documented), unless noted otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any
from urllib.parse import unquote

from airflow_provider_oac.client.calls import Call, segment
from airflow_provider_oac.client.ids import visible
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import quoted

SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELED = "CANCELED"
# The enumeration is documented; which statuses are final is inferred from their names.
ACTIVE = frozenset({"ACCEPTED", "IN_PROGRESS", "CANCELING"})
ENDED = frozenset({SUCCEEDED, FAILED, CANCELED})


def state_of(value: Any) -> str:
    """Return a status of OAC, made safe for a message."""
    return (quoted(value, limit=100) or "").upper()


def _objects(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _errors(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value] if value else []
    return tuple(_error_text(item) for item in items)


def _error_text(item: Any) -> str:
    """Format an error of OAC for people, without tokens and control characters, as API errors are."""
    said = [item.get(name) for name in ("code", "message", "error")] if isinstance(item, dict) else [item]
    return ": ".join(filter(None, (quoted(text, limit=500) for text in said))) or "an error without text"


@model
class WorkRequest(Model):
    """State of an asynchronous operation.

    :param id: its id, opaque.
    :param status: ``ACCEPTED``, ``IN_PROGRESS``, ``SUCCEEDED``, ``FAILED``, ``CANCELING``, ``CANCELED``, or an
        undocumented status.
    :param operation: the operation, such as ``CREATE_SNAPSHOT``.
    :param percent: progress in percent.
    :param resources: the resources that it works on, as OAC returns them.
    :param errors: OAC's errors, as ``code: message``, made safe for a message.
    :param raw: the whole response.
    """

    id: str = member("id", read=visible, required=True)
    status: str = member("status", read=state_of, required=True)
    operation: str = member("operationType", read=lambda value: quoted(value, limit=100) or "operation")
    percent: float | None = member(
        "percentComplete", read=lambda value: float(value) if isinstance(value, int | float) else None
    )
    resources: tuple[Mapping[str, Any], ...] = member("resources", read=_objects)
    # The reference uses a capital E (documented).
    errors: tuple[str, ...] = member("Errors", "errors", read=_errors)
    raw: Mapping[str, Any] = field(repr=False)

    def resource_id(self, kind: str) -> str | None:
        """Return the id of the first resource of a kind, such as ``SNAPSHOT`` (inferred)."""
        for resource in self.resources:
            if resource.get("resourceType") == kind and isinstance(resource.get("id"), str):
                return str(resource["id"])
        return None


def get(work_request_id: str) -> Call[WorkRequest]:
    """Get the state of a work request.

    Operation ``GET /workRequests/{id}`` (documented).
    """
    doing, path = f"read the state of work request {work_request_id}", f"/workRequests/{segment(work_request_id)}"
    # These statuses are documented without a reason.
    causes = dict.fromkeys((409, 412), "OAC does not report the work request in its current state")
    return Call(doing, "GET", path, WorkRequest.reader("A work request"), repeatable=True, causes=causes)


def accepted_id(response: Response) -> str:
    """Return the id of the work request that an accepted call started.

    It comes as the body's ``workRequestId`` (observed for snapshots), as the header ``oa-work-request-id`` (documented
    for most operations), or as the end of the body's ``resourceUri`` (observed for exports).

    :raises OACResponseError: if the response has none of them.
    """
    try:
        body = response.json()
    except OACResponseError:
        body = None
    body = body if isinstance(body, dict) else {}
    # In a URI the id is percent-encoded.
    uri = body.get("resourceUri")
    tail = unquote(uri.partition("?")[0].rstrip("/").rpartition("/")[2]) if isinstance(uri, str) else ""
    for found in (body.get("workRequestId"), response.headers.get("oa-work-request-id", "").strip(), tail):
        if found and isinstance(found, str):
            return visible(found)
    raise OACResponseError(
        f"HTTP {response.status} names no work request: it has neither workRequestId, nor resourceUri, nor the header "
        "oa-work-request-id."
    )
