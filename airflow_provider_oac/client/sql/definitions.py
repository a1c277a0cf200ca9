"""The definition of a workbook, which the REST API does not give out."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.sql.errors import Doing
from airflow_provider_oac.client.sql.session import McpSession
from airflow_provider_oac.exceptions import OACResponseError

_NO_WORKBOOK = (
    "the workbook does not exist, or the user may not read it",
    "Check its id, and the user's rights on it in OAC.",
)


@flow
async def read_workbook(api: Api, workbook_id: str, *, session: McpSession | None = None) -> dict[str, Any]:
    """Read the definition of a workbook: canvases, visualizations, calculations; no data. Resource
    ``content://catalog/workbooks/{id}`` (observed).

    :param workbook_id: its id, encoded as lists return it.
    :param session: to ask in; by default in one that begins here.
    :raises OACQueryError: if there is no such workbook, or the user may not read it.
    """
    doing = Doing(f"read the definition of workbook {ids.quoted(workbook_id)}", cause=_NO_WORKBOOK)
    uri = f"content://catalog/workbooks/{workbook_id.rstrip('=')}"
    result = await (session or McpSession()).request(api, "resources/read", {"uri": uri}, doing)
    contents = result.get("contents")
    text = contents[0].get("text") if isinstance(contents, list) and contents else None
    try:
        found = json.loads(text or "")
    except ValueError:
        found = None
    definition = found.get("json", found) if isinstance(found, dict) else None
    if not isinstance(definition, dict):
        raise OACResponseError(f"Could not {doing.text}: OAC returned no JSON object as its content.")
    return definition
