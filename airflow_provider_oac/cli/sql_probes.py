"""The questions of `conformance --sql` for the MCP server of a real instance. They only read, and keep only shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import requests

from airflow_provider_oac.client.sql.session import PATH, PROTOCOL, events
from airflow_provider_oac.exceptions import OACError

if TYPE_CHECKING:
    from airflow_provider_oac.cli.probes import Probes

_TYPE, _UTF8 = "application/json", "application/json; charset=utf-8"
_SQL, _TOOL = "execute_logical_sql", "oracle_analytics-"
_ONE = "FETCH FIRST 1 ROWS ONLY"
_CONSTANTS = "CAST(NULL AS INTEGER) c1, DATE '2020-01-02' c2, CAST(1.1 AS DOUBLE) c3, 'x ' c4, 'ế' c5"

Exchange = tuple[requests.Response, dict[str, Any]]


class SqlProbes:
    """Asks the questions that Oracle's public pages leave open.

    :param probes: receives the answers.
    :param source: the subject area or dataset to query, as in FROM, or the name of a subject area.
    """

    def __init__(self, probes: Probes, source: str) -> None:
        self._probes = probes
        self._url = probes.hook.settings.address + PATH
        self._source = source if re.match(r'(?i)XSA\(|"', source) else f'"{source}"'
        self._headers: dict[str, str] = {}
        self._column = "1"

    def ask(self) -> None:
        """Ask all questions. If one fails, the others are still asked."""
        for question, probe in self._questions().items():
            try:
                answer = probe()
            except (requests.RequestException, OACError, LookupError, TypeError, ValueError) as error:
                answer = f"not answered ({type(error).__name__})"
            self._probes.answers[f"MCP, {question}"] = f"{answer}."

    def _questions(self) -> dict[str, Callable[[], str]]:
        query, call = self._query, self._call
        return {
            # The first four must come first: they collect what the others need.
            "versions": self._versions,
            "sessions": self._sessions,
            "tools": self._tools,
            "describe_data": self._describe,
            "columns": lambda: query(_CONSTANTS, 1, _ONE),
            "columns, no charset": lambda: query(_CONSTANTS, 1, _ONE, kind=_TYPE),
            "request variable": lambda: query("1 c1", 1, before="SET VARIABLE DISABLE_CACHE_HIT=1; "),
            "no alias": lambda: query(self._column, 1, _ONE),
            "one alias twice": lambda: query("1 c1, 2 c1", 1, _ONE),
            "maxRows": lambda: "; ".join(query(f"{self._column} c1", rows) for rows in (None, 1001, 5000)),
            "maxRows 100000": lambda: query(f"{self._column} c1", 100_000, "FETCH FIRST 1001 ROWS ONLY"),
            "unknown column": lambda: query('"no"."no"."no" c1', 1),
            "unknown source": lambda: call(query='SELECT 1 c1 FROM "no such area"'),
            "syntax": lambda: call(query="SELEC"),
            "not a SELECT": lambda: call(query="SET VARIABLE LOGLEVEL=0;"),
            "ANSI SQL": lambda: query(f"{self._column} c1", 1, _ONE, tool="execute_oac_ansi_sql"),
            "search": lambda: "; ".join(
                call("search_catalog", search="*", **filters)
                for filters in ({"limit": 1}, {"limit": 1000}, {"type": "no such type"})
            ),
            "end of a session": lambda: str(self._probes.session.delete(self._url, headers=self._headers).status_code),
        }  # fmt: skip

    def _send(
        self, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None, kind: str = _UTF8
    ) -> Exchange:
        """Send a message; return the response and the message in it."""
        number = {} if method.startswith("notifications/") else {"id": 1}
        body = json.dumps({"jsonrpc": "2.0", **number, "method": method, "params": params}, ensure_ascii=False)
        content_headers = {"Accept": f"{_TYPE}, text/event-stream", "Content-Type": kind}
        more = self._headers if headers is None else headers
        response = self._probes.session.post(self._url, data=body.encode(), headers={**content_headers, **more})
        self._probes.see(response)
        if "html" in _kind(response) or not response.content:
            return response, {}
        texts = events(response.content) if "event-stream" in _kind(response) else [response.text]
        messages = map(json.loads, texts)
        return response, next((message for message in messages if message.get("id", 0) in (1, None)), {})

    def _versions(self) -> str:
        shown, session = [], None
        for version in ("1999-01-01", "2025-11-25", PROTOCOL):
            params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "probe", "version": "1"}}
            response, message = exchange = self._send("initialize", params, {})
            shown.append(f"{version}: {message.get('result', {}).get('protocolVersion') or _shape(exchange)}")
            session = response.headers.get("Mcp-Session-Id")
        self._headers = {"MCP-Protocol-Version": PROTOCOL, **({"Mcp-Session-Id": session} if session else {})}
        self._send("notifications/initialized", {})
        modern = _shape(self._send("server/discover", {}, {}))
        return f"{', '.join(shown)}; session header {'' if session else 'not '}sent; server/discover: {modern}"

    def _sessions(self) -> str:
        call = {"name": f"{_TOOL}search_catalog", "arguments": {"search": "*", "limit": 1}}
        unknown = {**self._headers, "Mcp-Session-Id": "00000000-0000-4000-8000-000000000000"}
        return (
            f"list without: {_shape(self._send('tools/list', {}, {}))}; "
            f"call without: {_shape(self._send('tools/call', call, {}))}; "
            f"call in an unknown one: {_shape(self._send('tools/call', call, unknown))}"
        )

    def _tools(self) -> str:
        response, message = self._send("tools/list", {})
        listed = message["result"]["tools"]
        marks = [name for name in ("outputSchema", "annotations") if any(name in tool for tool in listed)]
        schemas = {tool["name"]: sorted(tool["inputSchema"]["properties"]) for tool in listed}
        return f"{_kind(response)}, {len(response.content)} bytes, marks {marks}: {schemas}"

    def _describe(self) -> str:
        call = {"name": f"{_TOOL}describe_data", "arguments": {"datamodelName": self._source.strip('"')}}
        tables = _result(self._send("tools/call", call)[1])["tables"]
        columns = [column for table in tables for column in table["columns"]]
        first = next((one for one in columns if one.get("columnType") == "attribute"), columns[0])
        self._column = str(first["fullyQualifiedName"])
        names = ("dataType", "columnType", "aggregation")
        return str({name: sorted({str(column.get(name)) for column in columns}) for name in names})

    def _query(
        self, columns: str, rows: int | None, end: str = "", *, tool: str = _SQL, kind: str = _UTF8, before: str = ""
    ) -> str:
        query = f"{before}SELECT {columns} FROM {self._source} {end}"  # noqa: S608
        return self._call(tool, kind, query=query, **({} if rows is None else {"maxRows": rows}))

    def _call(self, tool: str = _SQL, kind: str = _UTF8, **arguments: Any) -> str:
        params = {"name": f"{_TOOL}{tool}", "arguments": arguments}
        return _shape(self._send("tools/call", params, kind=kind))


def _kind(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "no type").partition(";")[0]


def _result(message: Mapping[str, Any]) -> Any:
    return json.loads(message["result"]["content"][0]["text"])


def _shape(exchange: Exchange) -> str:
    """Return the shape of a response, without its values."""
    response, message = exchange
    shown = [f"HTTP {response.status_code} {_kind(response)}", response.headers.get("Transfer-Encoding", "whole")]
    if error := message.get("error"):
        shown.append(f"error {error.get('code')}, data {type(error.get('data')).__name__}")
    shown += [name for name in ("isError", "structuredContent") if (message.get("result") or {}).get(name)]
    shown += dict.fromkeys(re.findall(r"nQSError: \d+", json.dumps(message)))
    try:
        result = _result(message)
        batches = result.get("batches")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ", ".join(shown)
    if batches:
        rows = [row for batch in batches for row in batch.get("data", ())]
        values = rows[0].values() if rows else ()
        cells = [len(value) if isinstance(value, str) else type(value).__name__ for value in values]
        more = [name for name in ("hasMore", "cursorId") if batches[-1].get(name)]
        shown.append(f"{len(rows)} rows in {len(batches)} batches, cells {cells} {more}")
    return ", ".join([*shown, *(name for name in result if name not in ("batches", "items"))])
