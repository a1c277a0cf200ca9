"""The shapes of results: of queries, of tools, and of errors."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from oac_simulator.mcp.data import Row

BATCH = 1000


class RpcError(Exception):
    """A JSON-RPC error.

    :param code: error code.
    :param message: error message.
    :param data: further details: a string or an object.
    :param status: the HTTP status.
    """

    def __init__(self, code: int, message: str, data: Any = None, status: int = 200) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **({} if data is None else {"data": data})}


class ToolError(Exception):
    """A tool reports an error in its result: `isError` is true, and the text gives the reason (observed)."""


def block(payload: Any) -> dict[str, Any]:
    """Build the result of a tool: JSON in the text of one block (observed)."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return {"content": [{"type": "text", "text": text}], "isError": False}


def refused(text: str, form: str) -> dict[str, Any]:
    """Report a refused query in one of three places.

    :param form: `error` (documented), `tool` or `status` (observed).
    :raises RpcError: for `error`.
    :raises ToolError: for `tool`.
    """
    if form == "error":
        raise RpcError(-32000, "Query execution failed", {"errorCode": "OBIPS-E3004", "details": text})
    if form == "tool":
        raise ToolError(f"Tool dispatch failed: {text}")
    began = time.time()
    return block(_answer([], {"result": "error", "error": True, "message": text}, 0, began))


def answered(keys: Sequence[str], rows: Sequence[Row], *, more: bool, drop_nulls: bool, began: float) -> dict[str, Any]:
    """Build the result of a query as one complete document, with the rows in batches as documented.

    :param keys: the names of the columns; of two equal names, the last wins (inferred).
    :param rows: the rows from SQLite.
    :param more: whether the result was cut at `maxRows`; the last batch then has `hasMore`.
    :param drop_nulls: whether to omit the key of a NULL, as another interface of OAC does (observed there).
    :param began: start of the query, in seconds since the epoch.
    """
    cursor = str(uuid.uuid4())
    batches: list[dict[str, Any]] = []
    for start in range(0, len(rows) or 1, BATCH):
        part = rows[start : start + BATCH]
        last = start + BATCH >= len(rows)
        has_more = more or not last
        batches.append({
            "batchNumber": len(batches) + 1, "cursorId": cursor,
            "data": [_record(keys, row, drop_nulls) for row in part], "recordsInBatch": len(part),
            "totalRecordsStreamed": start + len(part), "hasMore": has_more, "isComplete": not has_more,
            "complete": not has_more, "timestamp": _milliseconds(time.time()),
        })  # fmt: skip
    status = {"result": "success", "error": False, "message": "Query executed successfully"}
    return block(_answer(batches, status, len(rows), began))


def _record(keys: Sequence[str], row: Row, drop_nulls: bool) -> dict[str, Any]:
    """Build one row. Trailing spaces are trimmed (observed)."""
    cells = ((key, cell.rstrip(" ") if isinstance(cell, str) else cell) for key, cell in zip(keys, row, strict=True))
    return {key: cell for key, cell in cells if not (drop_nulls and cell is None)}


def _answer(batches: list[dict[str, Any]], status: dict[str, Any], total: int, began: float) -> dict[str, Any]:
    now = time.time()
    return {
        "metadata": {"requestId": str(uuid.uuid4()), "batchSize": BATCH, "startTime": _milliseconds(began)},
        "batches": batches,
        "status": status,
        "summary": {
            "completed": not status["error"], "totalBatches": len(batches), "totalRecords": total,
            "durationMs": _milliseconds(now - began), "endTime": _milliseconds(now),
        },
    }  # fmt: skip


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
