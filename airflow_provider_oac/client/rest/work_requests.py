"""Work requests: OAC's asynchronous operations. Source: "Work Requests REST Endpoints" (documented), unless said
otherwise at the fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from airflow_provider_oac.client.calls import Call, json_object, segment, text_member
from airflow_provider_oac.client.ids import visible
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.exceptions import OACResponseError
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.redaction import quoted

SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
CANCELED = "CANCELED"
# Documented as an enumeration; which of them are final is inferred from their names.
ACTIVE = frozenset({"ACCEPTED", "IN_PROGRESS", "CANCELING"})
ENDED = frozenset({SUCCEEDED, FAILED, CANCELED})


@dataclass(frozen=True)
class WorkRequest(Model):
    """State of an asynchronous operation.

    :param id: its id, opaque.
    :param status: ``ACCEPTED``, ``IN_PROGRESS``, ``SUCCEEDED``, ``FAILED``, ``CANCELING``, ``CANCELED``, or a
        status that is not documented.
    :param operation: what it does, such as ``CREATE_SNAPSHOT``.
    :param percent: progress in percent.
    :param resources: what it works on, as OAC tells it.
    :param errors: OAC's errors, as ``code: message``, fit for a message.
    :param raw: the whole answer.
    """

    id: str
    status: str
    operation: str
    percent: float | None
    resources: tuple[Mapping[str, Any], ...]
    errors: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    def resource_id(self, kind: str) -> str | None:
        """Id of the first resource of a kind, such as ``SNAPSHOT`` (that it stands here is inferred)."""
        for resource in self.resources:
            if resource.get("resourceType") == kind and isinstance(resource.get("id"), str):
                return str(resource["id"])
        return None


def get(work_request_id: str) -> Call[WorkRequest]:
    """Get the state of a work request. Operation ``GET /workRequests/{id}`` (documented)."""
    doing, path = f"read the state of work request {work_request_id}", f"/workRequests/{segment(work_request_id)}"
    # Documented statuses, without a reason.
    causes = dict.fromkeys((409, 412), "OAC does not report on the work request in its present state")
    return Call(doing, "GET", path, _read, repeatable=True, causes=causes)


def _read(response: Response) -> WorkRequest:
    return read_work_request(json_object(response))


def read_work_request(body: Mapping[str, Any]) -> WorkRequest:
    """Read a work request; unknown members and values are kept, never refused.

    :raises OACResponseError: if id or status are missing.
    """
    percent = body.get("percentComplete")
    resources = body.get("resources")
    # The reference writes a capital E (documented).
    errors = body.get("Errors") or body.get("errors") or []
    return WorkRequest(
        id=visible(text_member(body, "id", "A work request")),
        status=(quoted(text_member(body, "status", "A work request"), limit=100) or "").upper(),
        operation=quoted(body.get("operationType"), limit=100) or "operation",
        percent=float(percent) if isinstance(percent, int | float) else None,
        resources=tuple([item for item in resources if isinstance(item, dict)]) if isinstance(resources, list) else (),
        errors=tuple([_error_text(item) for item in errors]) if isinstance(errors, list) else (_error_text(errors),),
        raw=body,
    )


def _error_text(item: Any) -> str:
    """An error of OAC for people. As in API errors, nothing of it is a token or moves a cursor."""
    said = [item.get(name) for name in ("code", "message", "error")] if isinstance(item, dict) else [item]
    return ": ".join(filter(None, (quoted(text, limit=500) for text in said))) or "an error without text"


def accepted_id(response: Response) -> str:
    """The id of the work request that an accepted call started.

    It comes as the body's ``workRequestId`` (observed for snapshots), as the header ``oa-work-request-id``
    (documented for most operations), or as the end of the body's ``resourceUri`` (observed for exports).

    :raises OACResponseError: if there is none.
    """
    body: Any = None
    if response.body.strip():
        try:
            body = response.json()
        except OACResponseError:
            body = None
    if isinstance(body, dict) and isinstance(body.get("workRequestId"), str) and body["workRequestId"]:
        return visible(body["workRequestId"])
    if header := response.headers.get("oa-work-request-id", "").strip():
        return visible(header)
    if isinstance(body, dict) and isinstance(body.get("resourceUri"), str):
        # A URI holds the id percent-encoded.
        tail = unquote(body["resourceUri"].partition("?")[0].rstrip("/").rpartition("/")[2])
        if tail:
            return visible(tail)
    raise OACResponseError(
        f"HTTP {response.status} accepts the work but names no work request: neither the body's workRequestId, nor "
        "the header oa-work-request-id, nor a resourceUri is there."
    )
