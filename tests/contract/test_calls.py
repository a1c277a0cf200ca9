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
def test_method_and_path_are_those_of_the_operation(operation: str, make: Make) -> None:
    request, wanted = request_of(make()), operations()[operation]
    parts = urlsplit(request.url)
    assert request.method == wanted.method
    assert (parts.scheme, parts.netloc, parts.path[: len(API_BASE)]) == ("https", "oac.example.com", API_BASE)
    path = parts.path.removeprefix(API_BASE)
    values = wanted.path_values(path)
    assert values is not None, f"{parts.path} is not of the form {wanted.path}"
    for name, value in values.items():
        check(value, wanted.parameters["path", name]["schema"])
    assert meant(request.method, path) == [operation]


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
def test_the_token_is_attached_and_the_right_content_is_asked_for(operation: str, make: Make) -> None:
    headers = request_of(make()).headers
    wanted = "*/*" if operation in FILES else JSON
    assert (headers["Authorization"], headers["Accept"]) == ("Bearer access", wanted)


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
def test_every_operation_has_a_call(operation: str) -> None:
    assert operation in {name for name, _ in CALLS}


@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_parameter_can_be_passed(operation: str) -> None:
    wanted = {name for place, name in operations()[operation].parameters if place == "query"}
    sent = {name for request in requests_of(operation) for name in query_of(request)}
    assert wanted - sent == {name for of, name in NOT_SENT if of == operation and name in wanted}


@pytest.mark.parametrize("operation", sorted(operations()))
def test_every_member_of_a_body_can_be_passed(operation: str) -> None:
    sent: dict[str, set[str]] = {}
    for request in requests_of(operation):
        if request.body:
            sent.setdefault(content_type(request), set()).update(sent_members(body_of(request)))
    for kind in operations()[operation].body.get("content", {}):
        wanted = members(operations()[operation].body_schema(kind))
        excused = {name for of, name in NOT_SENT if of == operation}
        assert wanted - sent.get(kind, set()) <= excused, kind
        assert not excused & sent.get(kind, set()), "what is excused is sent after all"


def test_no_row_is_of_an_operation_that_does_not_exist() -> None:
    named = {name for name, _ in CALLS} | set(ANSWERS) | set(FILES) | set(ONCE_ONLY) | {name for name, _ in NOT_SENT}
    assert named <= set(operations())
    assert len(operations()) == 46


def test_only_what_does_no_harm_twice_is_repeatable() -> None:
    for name in operations():
        repeatable = {call.repeatable for of, make in CALLS if of == name for call in [make()]}
        # A copy that replaces what is there may be made twice; no row of it does.
        assert repeatable == {name not in ONCE_ONLY}, name


def test_no_secret_of_a_body_is_shown() -> None:
    shown = [repr(make()) + repr(request_of(make())) for _, make in CALLS]
    assert not [text for text in shown if PASSWORD in text]


def snapshot_body() -> dict[str, Any]:
    found: dict[str, Any] = body_of(requests_of("createSnapshot")[0])
    return found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "COPY"}, "COPY"),
        ({"name": None}, "None"),
        ({"bar": {"uri": "a.bar", "password": PASSWORD}}, "a.bar"),
        ({"bar": {"uri": "file:///a.bar", "password": "short"}}, "short"),
        ({"storage": {"bucket": "b"}}, "bucket"),
    ],
)
def test_these_checks_find_what_is_wrong(change: dict[str, Any], says: str) -> None:
    """Without this, a contract that accepts everything would go unnoticed."""
    with pytest.raises(jsonschema.ValidationError, match=says):
        check({**snapshot_body(), **change}, operations()["createSnapshot"].body_schema())


def test_these_checks_find_members_that_nobody_knows() -> None:
    body = snapshot_body()
    body["bar"] = {**body["bar"], "passwort": "x"}
    schema = operations()["createSnapshot"].body_schema()
    assert unknown_members({**body, "label": "x"}, schema) == ["label", "bar.passwort"]
    entry = {"accountGuid": "x", "accountType": "User", "permissions": {"read": True, "smell": True}}
    schema = operations()["updateCatalogItemAcl"].body_schema()
    assert unknown_members({"aclList": [entry]}, schema) == ["aclList.permissions.smell"]
    assert {"aclList", "aclList.permissions.read", "recursive", "updateMode"} <= members(schema)


def test_these_checks_find_members_in_parts_of_a_schema() -> None:
    schema = operations()["createFolder"].body_schema()
    assert unknown_members({"name": "x", "parentId": "y", "createIntermediateFolders": True, "z": 1}, schema) == ["z"]
    assert members(schema) == {"id", "name", "parentId", "createIntermediateFolders"}
