"""A call describes one request to OAC and how to read the response."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
from airflow_provider_oac.transport.io import Request, Response

T = TypeVar("T")

API_BASE = "/api/20210901"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of OAC's REST API.

    :param doing: what it does, for messages: "create snapshot 'x'".
    :param method: HTTP method.
    :param path: path below ``base``, its variable parts encoded with :func:`segment`.
    :param read: turns a successful response into the result.
    :param query: query parameters. ``None`` leaves one out, booleans become ``true`` and ``false``, and a list or
        tuple repeats its name.
    :param body: JSON body; ``None`` for none. Bytes are sent unchanged, with ``content_type``.
    :param repeatable: whether doing it twice is the same as doing it once, so a second attempt may follow a lost
        response.
    :param secrets: texts in the body that must not appear in any message.
    :param accept: accepted content types of the response.
    :param content_type: content type of the body.
    :param headers: further headers.
    :param base: prefix of the path; empty for a path outside the REST API.
    :param causes: likely causes by HTTP status, where they differ from the usual ones.
    :param reads: whether ``read`` also understands a given unsuccessful response.
    :param item: plain id of the catalog item whose content the response is, for lineage.
    """

    doing: str
    method: str
    path: str
    read: Callable[[Response], T] = field(repr=False)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = field(default=None, repr=False)
    repeatable: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    accept: str = "application/json"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    base: str = API_BASE
    causes: Mapping[int, str] = field(default_factory=dict, repr=False)
    reads: Callable[[Response], bool] = field(default=lambda _response: False, repr=False)
    item: str | None = field(default=None, repr=False)

    @property
    def what(self) -> str:
        """Description for messages: what the call does, with method and path named once."""
        target = f"{self.method} {self.path}"
        return self.doing if target in self.doing else f"{self.doing} ({target})"

    def request(self, address: str, token: Token) -> Request:
        """Build the HTTP request.

        :param address: address of the instance, without a path.
        :param token: the token to attach.
        """
        url = address + self.base + self.path
        if query := _query(self.query):
            url += "?" + urlencode(query)
        headers = {**self.headers, "Authorization": f"Bearer {token.access_token}", "Accept": self.accept}
        data = None
        if self.body is not None:
            headers["Content-Type"] = self.content_type
            data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        elif self.method == "POST":
            # OAC answers an empty POST without Content-Length with 411 (observed).
            data = b""
        return Request(self.method, url, headers, data)


def _query(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and texts of query parameters, in order.

    OAC does not document how to serialize a list; repeating the name is OpenAPI's default.
    """
    found = []
    for name, value in parameters.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is not None:
                found.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return found


def segment(value: str) -> str:
    """Percent-encode one segment of a path; ids of work requests contain colons.

    :raises OACConfigurationError: if the value is not text, or if it is empty or made of dots: HTTP libraries resolve
        those to the path of another operation.
    """
    try:
        encoded = quote(value, safe="") if isinstance(value, str) and value not in ("", ".", "..") else ""
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        encoded = ""
    if not encoded:
        shown = repr(value) if isinstance(value, str) else f"of the type {type(value).__name__}"
        raise OACConfigurationError(
            f"An id for OAC must be a text that names something, but it is {shown}. Next step: check where it comes "
            "from; of a task's result, pass the member that is the id, such as backup.output['work_request_id']."
        )
    return encoded


def multipart(parts: Mapping[str, str | bytes]) -> tuple[bytes, str]:
    """Build a body of the type ``multipart/form-data`` (RFC 7578).

    Each part is text/plain, the form in which OAC takes a connection's JSON and wallet (observed).

    :param parts: name and content of each part.
    :returns: the body, and its content type.
    """
    # Parsing a DAG must not load it.
    from urllib3 import encode_multipart_formdata

    form: dict[str, Any] = {}
    for name, part in parts.items():
        form[name] = (name if isinstance(part, bytes) else None, part, "text/plain")
    return encode_multipart_formdata(form)


def nothing(_response: Response) -> None:
    """Read a response without a body."""


def json_object(response: Response) -> dict[str, Any]:
    """Read a JSON object.

    :raises OACResponseError: if the response is anything else.
    """
    return as_object(response.json(), f"HTTP {response.status} from {response.url}: the response")


def as_object(value: Any, what: str) -> dict[str, Any]:
    """Check that a value from a response is a JSON object.

    :param what: names the value in the error.
    :raises OACResponseError: if it is anything else.
    """
    if not isinstance(value, dict):
        raise OACResponseError(f"{what} should be a JSON object, but it is {type(value).__name__}.")
    return value


def as_array(value: Any, what: str) -> list[Any]:
    """Check that a value from a response is a JSON array.

    :param what: names the value in the error.
    :raises OACResponseError: if it is anything else.
    """
    if not isinstance(value, list):
        raise OACResponseError(f"{what} should be a JSON array, but it is {type(value).__name__}.")
    return value


def member_names(body: Mapping[str, Any]) -> str:
    """List the member names of a response for messages: up to 20 that look like names, and a count of the rest."""
    names = sorted(name for name in body if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}", name))
    others = len(body) - len(names[:20])
    return ", ".join([*names[:20], *([f"{others} more"] if others else [])]) or "none"


def text_member(body: Mapping[str, Any], name: str, what: str) -> str:
    """Read a text member that the contract requires.

    :raises OACResponseError: naming the member, if it is missing, empty or not text.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise OACResponseError(f"{what} from OAC has no usable {name!r}; its members are: {member_names(body)}.")
    return value
