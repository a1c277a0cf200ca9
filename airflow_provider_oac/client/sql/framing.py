"""JSON-RPC 2.0 over one HTTP POST per message, as in MCP's Streamable HTTP.

A response is JSON or a stream of server-sent events.

Sources: the specification of MCP, revision 2025-06-18, "Transports"; "Server-sent events" of the HTML standard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.sql.errors import Doing, SessionLostError, secret_texts
from airflow_provider_oac.exceptions import OACQueryError, OACResponseError
from airflow_provider_oac.transport.io import Response, media_type
from airflow_provider_oac.transport.redaction import error_object

PATH = "/api/mcp"
_JSON, _EVENTS = "application/json", "text/event-stream"
_CAUSES = {
    403: "the user may not use the MCP server, or OAC does not accept this kind of token for it",
    404: "this instance has no MCP server, which Oracle offers as a preview, or OAC ended the session",
}


def request(
    doing: Doing, method: str, params: Mapping[str, Any], number: int, headers: Mapping[str, str]
) -> Call[tuple[dict[str, Any], str | None]]:
    """Build a call that expects a response: its result, and the id of the session if OAC names one.

    :param method: JSON-RPC method, such as ``tools/call``. It must only read, because the request is repeated if the
        response is lost.
    :param params: parameters of the method.
    :param number: id of the request, which identifies the response among other messages.
    :param headers: headers of the session.
    :raises SessionLostError: on reading, if OAC does not know the session.
    :raises OACQueryError: on reading, if the response is another error.
    """
    return _call(doing, {"id": number, "method": method, "params": params}, headers, partial(_read, doing, number))


def notification(method: str, headers: Mapping[str, str]) -> Call[None]:
    """Build a call that expects no message in response."""
    return _call(Doing(f"send {method}"), {"method": method}, headers, nothing)


def _call(doing: Doing, message: Mapping[str, Any], headers: Mapping[str, str], read: Any) -> Call[Any]:
    return Call(
        doing.text, "POST", PATH, read, headers=headers, base="", repeatable=True, secrets=secret_texts(doing.values),
        # ASCII bytes: OAC reads others as ISO-8859-1 unless the content type says UTF-8 (observed).
        body=json.dumps({"jsonrpc": "2.0", **message}).encode("ascii"), content_type=f"{_JSON}; charset=utf-8",
        accept=f"{_JSON}, {_EVENTS}", causes=_CAUSES, reads=_is_error_message,
    )  # fmt: skip


def _is_error_message(response: Response) -> bool:
    """Whether an HTTP error carries an error of JSON-RPC.

    A 401 is about the token and a 404 about the session, so these do not count.
    """
    return response.status not in (401, 404) and "jsonrpc" in error_object(response)


def _read(doing: Doing, number: int, response: Response) -> tuple[dict[str, Any], str | None]:
    kind = media_type(response.headers)
    if kind not in (_JSON, _EVENTS):
        what = "a web page, such as that of a sign-in," if kind == "text/html" else f"a body of {kind}"
        raise OACResponseError(f"HTTP {response.status} brought {what} in place of JSON.")
    for text in events(response.body) if kind == _EVENTS else [response.body]:
        message = loads(text)
        # An error about a request that the server could not read has no id.
        if not isinstance(message, dict) or message.get("id") not in (number, None):
            continue
        if "error" in message:
            raise _refused(doing, message["error"])
        if isinstance(message.get("result"), dict):
            return message["result"], response.headers.get("mcp-session-id")
    raise OACResponseError(f"HTTP {response.status} brought no response of JSON-RPC to request {number}.")


def _refused(doing: Doing, error: Any) -> OACQueryError:
    error = error if isinstance(error, dict) else {}
    data = error.get("data")
    details = data.get("details") or data.get("errorCode") if isinstance(data, dict) else data
    said = f"{error.get('message')} ({error.get('code')}). {details or ''}"
    # OAC returns -32000 with a text for a missing session (documented), and -32000 for a query as well.
    lost = "session" in said.lower() and "nQSError" not in said
    return doing.refused(said, SessionLostError if lost else OACQueryError)


def loads(text: str | bytes) -> Any:
    """Parse JSON, with fractions as :class:`~decimal.Decimal`, because their precision is unknown.

    :raises OACResponseError: if the text is not JSON.
    """
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        pass
    # Raised outside the except block, because the parser's exception contains the text, and so data.
    raise OACResponseError(f"{len(text)} characters came in place of JSON.")


def events(body: bytes) -> Iterator[str]:
    """Yield the data of each event of a stream.

    The last event may lack the empty line that ends it: HTTP itself shows whether a body is complete.
    """
    data: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", body.decode("utf-8", "replace").removeprefix("\ufeff")), ""]:
        name, _, value = line.partition(":")
        if not line and data:
            yield "\n".join(data)
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
