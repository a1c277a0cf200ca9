"""Every operation of the contract has a call, every parameter can be passed, and every request is as the contract wants
it. The calls stand in `rows.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import API_BASE, Call
from airflow_provider_oac.transport.io import Request, Response
from tests.contract.rows import ANSWERS, CALLS, FILES, NOT_SENT, ONCE_ONLY, PASSWORD, WORK_REQUEST, as_body
from tests.contract.schemas import check, meant, members, operations, resolved, sent_members, unknown_members

JSON = "application/json"
Make = Callable[[], Call[Any]]
rows = pytest.mark.parametrize(("operation", "make"), CALLS, ids=[name for name, _ in CALLS])


def request_of(call: Call[Any]) -> Request:
    return call.request("https://oac.example.com", Token("access", 0.0, 100.0))


def query_of(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(request.url).query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def content_type(request: Request) -> str:
    return request.headers["Content-Type"].partition(";")[0]


def body_of(request: Request) -> Any:
    """The body as a value that a schema can judge: JSON, or the parts of a form by their names."""
    if not request.body:
        return None
    if content_type(request) == JSON:
        return json.loads(request.body)
    assert content_type(request) == "multipart/form-data"
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode("latin-1")
        for part in message.iter_parts()
    }


def requests_of(operation: str) -> list[Request]:
    return [request_of(make()) for name, make in CALLS if name == operation]


@rows
def test_method_path_and_headers_are_those_of_the_operation(operation: str, make: Make) -> None:
    request, wanted = request_of(make()), operations()[operation]
    prefix, base, path = request.url.partition(API_BASE)
    assert (request.method, prefix, base) == (wanted.method, "https://oac.example.com", API_BASE)
    path = urlsplit(path).path
    values = wanted.path_values(path)
    assert values is not None, f"{path} is not of the form {wanted.path}"
    for name, value in values.items():
        check(value, wanted.parameters["path", name]["schema"])
    assert meant(request.method, path) == [operation]
    accepted = "*/*" if operation in FILES else JSON
    assert (request.headers["Authorization"], request.headers["Accept"]) == ("Bearer access", accepted)


@rows
def test_the_query_is_known_to_the_operation(operation: str, make: Make) -> None:
    known = {name: item for (place, name), item in operations()[operation].parameters.items() if place == "query"}
    sent = query_of(request_of(make()))
    for name, values in sent.items():
        schema = resolved(known[name]["schema"])
        if schema.get("type") == "array":
            check(values, schema)
            continue
        (value,) = values
        literal = schema.get("type") in ("boolean", "integer", "number")
        check(json.loads(value) if literal else value, schema)
    assert {name for name, item in known.items() if item.get("required")} <= set(sent)


@rows
def test_the_body_is_the_one_that_the_operation_asks_for(operation: str, make: Make) -> None:
    request, wanted = request_of(make()), operations()[operation]
    if not wanted.body or not request.body:
        assert not request.body
        assert not wanted.body.get("required")
        assert "Content-Type" not in request.headers
        # Of a POST the length must be told, also when it is 0 (observed).
        assert request.body == (b"" if request.method == "POST" else None)
        return
    schema = wanted.body_schema(content_type(request))
    assert schema, f"{operation} takes no {content_type(request)}"
    check(body_of(request), schema)
    assert unknown_members(body_of(request), schema) == []


@rows
def test_its_success_can_be_read(operation: str, make: Make) -> None:
    wanted, call = operations()[operation], make()
    successes = [status for status in wanted.responses if status.startswith("2")]
    assert successes
    for status in successes:
        answer = resolved(wanted.responses[status])
        headers = {name.lower(): WORK_REQUEST for name in answer.get("headers", {}) if "work-request" in name}
        for body in bodies(operation, call, answer):
            call.read(Response(int(status), headers, body))


def bodies(operation: str, call: Call[Any], answer: dict[str, Any]) -> list[bytes]:
    """Examples of an answer, from the contract or from the table."""
    if operation in FILES:
        return [FILES[operation]]
    media, searches = answer.get("content", {}).get(JSON), "search" in query_of(request_of(call))
    if media is None:
        return [b""]
    examples = [media["example"]] if "example" in media else []
    for name, example in media.get("examples", {}).items():
        # Types come without a search, items with one.
        if (name == "items") is searches:
            examples.append(example["value"])
    examples = examples or [ANSWERS[operation]]
    if operation == "getCatalogItem" and searches:
        (item,) = examples
        examples = [[item], {**item, "type": "folders", "items": [item]}]
    for example in examples:
        check(example, media["schema"])
    return [as_body(example) for example in examples]


@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_operation_has_calls_that_pass_all_it_takes(operation: str) -> None:
    wanted, excused = operations()[operation], {name for of, name in NOT_SENT if of == operation}
    requests = requests_of(operation)
    assert requests
    parameters = {name for place, name in wanted.parameters if place == "query"}
    assert parameters <= {name for request in requests for name in query_of(request)}
    sent: dict[str, set[str]] = {}
    for request in requests:
        if request.body:
            sent.setdefault(content_type(request), set()).update(sent_members(body_of(request)))
    for kind in wanted.body.get("content", {}):
        assert members(wanted.body_schema(kind)) - sent.get(kind, set()) <= excused, kind
        assert not excused & sent.get(kind, set()), "what is excused is sent after all"


def test_only_what_does_no_harm_twice_is_repeatable() -> None:
    """A copy that replaces what is there may be made twice; no row of it does."""
    repeatable = {name: {make().repeatable for of, make in CALLS if of == name} for name in operations()}
    assert repeatable == {name: {name not in ONCE_ONLY} for name in operations()}
    named = {*ANSWERS, *FILES, *ONCE_ONLY, *(name for name, _ in NOT_SENT)}
    assert named <= repeatable.keys(), "a table has an operation that does not exist"


def test_no_secret_of_a_body_is_shown() -> None:
    shown = [repr(make()) + repr(request_of(make())) for _, make in CALLS]
    assert not [text for text in shown if PASSWORD in text]


@pytest.mark.parametrize(
    ("change", "says"), [({"type": "COPY"}, "COPY"), ({"bar": {"uri": "a.bar", "password": PASSWORD}}, "a.bar")]
)
def test_these_checks_find_what_is_wrong(change: dict[str, Any], says: str) -> None:
    """Without this, a contract that accepts everything would go unnoticed."""
    body = body_of(requests_of("createSnapshot")[0])
    with pytest.raises(jsonschema.ValidationError, match=says):
        check({**body, **change}, operations()["createSnapshot"].body_schema())


@pytest.mark.parametrize(
    ("operation", "changes", "unknown"),
    [
        ("createSnapshot", {"label": "x"}, "label"),
        ("createSnapshot", {"bar": {"uri": "file:///a.bar", "password": PASSWORD, "passwort": "x"}}, "bar.passwort"),
        ("updateCatalogItemAcl", {"aclList": [{"permissions": {"smell": True}}]}, "aclList.permissions.smell"),
        ("createFolder", {"z": 1}, "z"),
    ],
)
def test_these_checks_find_unknown_members(operation: str, changes: dict[str, Any], unknown: str) -> None:
    body, schema = body_of(requests_of(operation)[0]), operations()[operation].body_schema()
    assert unknown_members({**body, **changes}, schema) == [unknown]
    assert unknown not in members(schema)
