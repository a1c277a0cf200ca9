"""Build any call: a function of this package by its name, or an unwrapped operation by method and path."""

from __future__ import annotations

import importlib
import inspect
import json
import posixpath
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass, replace
from datetime import datetime
from types import NoneType, UnionType
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_oac.client.calls import API_BASE, Call, as_array
from airflow_provider_oac.client.paging import Listing, Page, read_page
from airflow_provider_oac.client.rest.catalog import moment
from airflow_provider_oac.exceptions import OACConfigurationError, OACIncompleteListError, OACResponseError
from airflow_provider_oac.transport.io import Response, media_type

_SCALARS = {bool: "True or False", int: "a whole number", str: "a text"}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
# In the REST API, doing these twice is the same as doing them once. Elsewhere, such as in Publisher, a PUT starts a
# job.
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# RFC 9110, section 5.5, restricted to ASCII, on which the HTTP libraries agree.
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
# The hook, the drivers or other arguments set these.
_OWN_HEADERS = frozenset(
    {
        "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie",
        "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
_CLIENT = "airflow_provider_oac.client.rest"
# The restore operator has guards that a bare call does not have.
_RESTORE = "/system/actions/restoresnapshot"


def named(name: str, arguments: Mapping[str, Any]) -> Call[Any] | Listing[Any]:
    """Build a call of this package, such as ``catalog.get``, or a paged list, such as ``catalog.list_items``.

    :param name: module below ``airflow_provider_oac.client.rest``, and function.
    :param arguments: arguments of the function.
    :raises OACConfigurationError: naming the argument that does not fit.
    """
    function = _function(name)
    signature, kinds = inspect.signature(function), typing.get_type_hints(function)
    for options in [typing.get_args(kind)[0] for kind in kinds.values() if typing.get_origin(kind) is typing.Unpack]:
        kinds = {**kinds, **typing.get_type_hints(options)}
    try:
        signature.bind(**arguments)
        fitting = {key: _fitting(name, key, value, kinds.get(key)) for key, value in arguments.items()}
        call: Call[Any] | Listing[Any] = function(**fitting)
    except TypeError as problem:
        raise OACConfigurationError(
            f"Call {name} does not accept these arguments: {problem}. Its signature is {name}{signature}."
        ) from None
    return call


def restores(call: Call[Any]) -> bool:
    """Whether a call restores a snapshot, however its path is written.

    It normalizes the path as servers and HTTP libraries may: encoded letters, dots, empty parts, parameters, upper
    case.
    """
    path, before = call.base + call.path, ""
    while path != before:
        path, before = unquote(path), path
    path = re.split(r"[?#]", path.replace("\\", "/"))[0]
    parts = [part.partition(";")[0].strip() for part in path.split("/")]
    return posixpath.normpath("/" + "/".join(filter(None, parts))).lower().endswith(_RESTORE)


def _fitting(name: str, argument: str, value: Any, wanted: Any) -> Any:
    """Convert an argument from JSON to the type that the function takes: a text becomes a moment where one is expected.

    :raises OACConfigurationError: naming an argument of another type, or one that must be an object of this package,
        which JSON cannot hold.
    """
    inner = typing.get_args(wanted) or (wanted,)
    if datetime in inner and isinstance(value, str):
        if (found := moment(value)) is None:
            raise _refused(name, argument, "a time such as 2026-01-31T06:00:00+00:00", value)
        return found
    models = [kind for kind in inner if is_dataclass(kind)]
    items = value if isinstance(value, list | tuple) else (value,)
    if models and len(models) == len(inner) and any(not is_dataclass(item) for item in items):
        kinds = " or ".join(str(getattr(kind, "__name__", kind)) for kind in models)
        raise OACConfigurationError(
            f"Call {name}: {argument} must be of the class {kinds}, which JSON cannot express. Next step: use the "
            "operator for it, the hook in your own task, or method and path with a body."
        )
    return _scalar(name, argument, value, wanted)


def _refused(name: str, argument: str, expected: str, value: Any) -> OACConfigurationError:
    shown = f"the text {value[:100]!r}" if isinstance(value, str) else f"of the type {type(value).__name__}"
    return OACConfigurationError(
        f"Call {name}: {argument} must be {expected}, but it is {shown}. Nothing was sent. Next step: pass the value "
        "itself, since a template renders to text, or check what the template renders to."
    )


def _scalar(name: str, argument: str, value: Any, wanted: Any) -> Any:
    """Check a flag, a number or a text: templates render to text, and the text ``"false"`` would count as true.

    :raises OACConfigurationError: for a value of another type.
    """
    if typing.get_origin(wanted) is Mapping:
        (_, member) = typing.get_args(wanted)
        for key, inner in value.items() if isinstance(value, Mapping) else ():
            _scalar(name, f"{argument}[{key!r}]", inner, member)
        return value
    options = typing.get_args(wanted) if typing.get_origin(wanted) in (typing.Union, UnionType) else (wanted,)
    plain = [option for option in options if option in _SCALARS]
    if not plain or len(plain) + (NoneType in options) < len(options):
        return value
    if str in plain and isinstance(value, int) and not isinstance(value, bool):
        # With native rendering, Airflow turns digits into a number.
        return str(value)
    fits = any(isinstance(value, option) for option in plain) and (bool in plain or not isinstance(value, bool))
    if fits or (value is None and NoneType in options):
        return value
    raise _refused(name, argument, " or ".join(_SCALARS[option] for option in plain), value)


def lists(name: str) -> bool:
    """Whether a function of this package makes a paged list."""
    return _makes(_function(name), "Listing[")


def _makes(value: Any, *kinds: str) -> bool:
    """Whether this is a function whose annotated result begins with one of these kinds."""
    returned = getattr(value, "__annotations__", {}).get("return", "")
    return inspect.isroutine(value) and str(returned).startswith(kinds)


def _function(name: str) -> Callable[..., Any]:
    if not _NAME.fullmatch(name):
        raise OACConfigurationError(f"The name of a call is module and function, such as catalog.get, not {name!r}.")
    module_name, _, function_name = name.partition(".")
    try:
        module = importlib.import_module(f"{_CLIENT}.{module_name}")
    except ModuleNotFoundError as problem:
        if problem.name != f"{_CLIENT}.{module_name}":
            raise
        raise OACConfigurationError(
            f"There is no call {name!r}: {_CLIENT} has no module {module_name!r}. Next step: correct the name, or pass "
            "method and path."
        ) from None
    calls: dict[str, Callable[..., Any]] = {
        key: value for key, value in vars(module).items() if key[0] != "_" and _makes(value, "Call[", "Listing[")
    }
    if function_name not in calls:
        raise OACConfigurationError(
            f"There is no call {name!r}. {module_name} has: {', '.join(sorted(calls)) or 'none'}."
        )
    return calls[function_name]


def raw(
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    accept: str = "application/json",
    content_type: str = "application/json",
    base: str = API_BASE,
    repeatable: bool | None = None,
) -> Call[Any]:
    """Build a call by method and path; its result is the content of the response: JSON, a text, or ``None``.

    :param method: ``GET``, ``POST``, ``PUT``, ``DELETE`` or ``PATCH``.
    :param path: path below ``base``. Characters that a path cannot hold are percent-encoded; ``%`` stays as it is.
    :param query: query parameters, as :class:`Call` takes them.
    :param body: a text or bytes are sent unchanged, anything else as JSON. If the content type is JSON, a text must be
        JSON.
    :param headers: further headers.
    :param base: prefix of the path; empty for a path outside the REST API.
    :param repeatable: whether doing it twice is the same as doing it once. By default this holds for a GET, and in the
        REST API for a PUT and a DELETE.
    :raises OACConfigurationError: naming the invalid argument.
    """
    verb = str(method).upper()
    if verb not in METHODS:
        raise OACConfigurationError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    for name, value in {**(headers or {}), "Accept": accept, "Content-Type": content_type}.items():
        # The value itself may be a secret.
        if not _HEADER.fullmatch(str(name)) or not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise OACConfigurationError(
                f"Header {name!r} cannot be sent: its name must have letters, digits and hyphens only, and its value "
                "must be printable ASCII text without blanks at its ends."
            )
    if own := sorted(name for name in headers or {} if str(name).lower() in _OWN_HEADERS):
        raise OACConfigurationError(
            f"The provider sets the headers {', '.join(own)} itself. Next step: for another sign-in, use another "
            "Connection; for other media types, set accept and content_type."
        )
    if body is not None and verb == "GET":
        raise OACConfigurationError("A GET has no body. Next step: use query parameters or another method.")
    whole, base = _checked_path(path, base), base.rstrip("/")
    if repeatable is None:
        repeatable = verb == "GET" or (verb in _IDEMPOTENT and f"{base}{whole}".startswith(f"{API_BASE}/"))
    return Call(
        doing=f"call {verb} {path}",
        method=verb,
        path=whole,
        read=_read if "page" in (query or {}) else _read_whole,
        query={name: _queried(name, value) for name, value in (query or {}).items()},
        body=_encoded(body, content_type),
        repeatable=repeatable,
        accept=accept,
        content_type=content_type,
        headers=dict(headers or {}),
        base=base,
    )


def _queried(name: str, value: Any) -> Any:
    """Check a query parameter: a text, a number, a flag or ``None``, or a list of these.

    :raises OACConfigurationError: for anything else.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Sequence) and all(item is None or isinstance(item, str | int | float) for item in value):
        return list(value)
    raise OACConfigurationError(
        f"Query parameter {name!r} must be a text, a number, True, False, None or a list of these, but is of the type "
        f"{type(value).__name__}. Nothing was sent."
    )


def _encoded(body: Any, content_type: str) -> bytes | None:
    """Encode the body; a text declared as JSON must be JSON, because a template renders a dictionary as Python.

    :raises OACConfigurationError: saying how to make it JSON.
    """
    if body is None or isinstance(body, bytes):
        return body
    if not isinstance(body, str):
        try:
            return json.dumps(body, allow_nan=False, default=_jsonable).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            raise OACConfigurationError(f"The body cannot be sent as JSON: {problem}. Nothing was sent.") from None
    if body.strip() and content_type.partition(";")[0].strip().lower() == "application/json":
        try:
            json.loads(body)
        except ValueError:
            raise OACConfigurationError(
                "The body is a text that is not JSON, although content_type says JSON. Nothing was sent. Likely cause: "
                "a template rendered a dictionary as Python. Next step: write {{ … | tojson }}, or pass a task's "
                ".output."
            ) from None
    return body.encode()


def _jsonable(value: Any) -> Any:
    """Convert mappings and sequences for JSON: Airflow has its own sequence type for the results of a mapped task."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError(f"it contains a {type(value).__name__}")


def _checked_path(path: str, base: str) -> str:
    if not isinstance(path, str) or not path.startswith("/") or (base and not base.startswith("/")):
        raise OACConfigurationError(
            f"path must begin with a slash, and base too unless it is empty, not {path!r} and {base!r}. The host is "
            "the Connection's. Next step: if one is a template, check what it renders to."
        )
    # Servers may decode dots, too.
    dots = {".", ".."} & set(unquote(base + path).split("/"))
    if dots or "//" in path or re.search(r"[?#]", path) or re.search(r"[?#\\\s]", base):
        raise OACConfigurationError(
            f"The path {base + path!r} has an empty part, a part of dots, or a character such as ? or #. Next step: "
            "pass query parameters as query, percent-encode names, and check what templates render to."
        )
    # A path that was copied from a log begins with the base.
    own = path.removeprefix(base) if base and path.startswith(base + "/") else path
    return quote(own, safe="/%:@!$&'()*+,;=~-._")


def of_page(call: Call[Any], number: int) -> Call[Page[Any]]:
    """Build the call for one page of a list from a raw call; the parameter ``page`` is documented."""

    def read(response: Response) -> Page[Any]:
        body = _read(response)
        items = body.get("items") if isinstance(body, dict) else body
        return read_page(response, as_array(items, "A page of a list, or its member 'items',"))

    return replace(call, read=read, query={**call.query, "page": number})


def _read_whole(response: Response) -> Any:
    """Return the content of a response that is not one page of several.

    :raises OACIncompleteListError: if it is one page of several.
    """
    page: Page[Any] = read_page(response, ())
    if page.more or (page.count or 1) > 1:
        raise OACIncompleteListError(
            f"The response is only page {page.number or 1} of {page.count or 'several'}"
            f"{f', which have {page.total} items' if page.total else ''}. Next step: set paged=True for all pages, or "
            "request one with the query parameter page."
        )
    return _read(response)


def _read(response: Response) -> Any:
    """Return the content of a response.

    :raises OACResponseError: if it is neither JSON nor a text.
    """
    if not response.body.strip():
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        text = response.body.decode()
        return text if kind.startswith("text/") or kind.endswith("xml") else json.loads(text)
    except (ValueError, RecursionError):
        raise OACResponseError(
            f"HTTP {response.status} brought {len(response.body)} bytes of {media_type(response.headers)}, neither "
            "JSON nor text. If they are the expected file, set destination to store it."
        ) from None
