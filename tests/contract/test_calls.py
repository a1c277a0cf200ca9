"""Every call sends what the contract asks for, and every operation of an area that is wrapped has a call.

A new area is a name in `AREAS` and a row per operation in `CALLS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import pytest
import yaml

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client import snapshots, system, work_requests
from airflow_provider_oac.client.calls import API_BASE, Call
from airflow_provider_oac.transport.io import Request, Response

CONTRACT = Path(__file__).with_name("oac-openapi.yaml")
METHODS = ("get", "put", "post", "delete", "patch")
PASSWORD = "Correct-Horse-7-Battery"
WORK_REQUEST = "lfc-cc:13347-c9:3962654"

#: Areas that are wrapped, by their tag: each of their operations must have a row.
AREAS = ("Snapshots", "System", "Work Requests")


def user() -> snapshots.UserIdAuthentication:
    return snapshots.UserIdAuthentication("eu-frankfurt-1", "ocid1.tenancy", "ocid1.user", "aa:bb", "d3JhcHBlZA==")


def storage(**changes: Any) -> snapshots.Storage:
    return snapshots.Storage("my-bucket", **changes)


#: Operation and call. An operation may have several rows.
CALLS: list[tuple[str, Callable[[], Call[Any]]]] = [
    ("listSnapshots", snapshots.list_all),
    ("createSnapshot", lambda: snapshots.create("nightly", "file:///backups/nightly.bar", storage(), PASSWORD)),
    ("createSnapshot", lambda: snapshots.create(
        "nightly", "file:///nightly.bar", storage(region="us-ashburn-1", namespace="other", user=user()), PASSWORD
    )),
    ("createSnapshot", lambda: snapshots.register("nightly", "file:///backups/nightly.bar", storage())),
    ("getSnapshot", lambda: snapshots.get("ac6fdab7-9c16-4d22-a56f-cb7b5d15505a")),
    ("deleteSnapshot", lambda: snapshots.delete("ac6fdab7-9c16-4d22-a56f-cb7b5d15505a")),
    ("deleteSnapshot", lambda: snapshots.delete("ac6fdab7-9c16-4d22-a56f-cb7b5d15505a", delete_storage=True)),
    ("getSystem", system.get),
    ("restoreSnapshot", lambda: system.restore_snapshot("ac6fdab7-9c16-4d22-a56f-cb7b5d15505a", PASSWORD)),
    ("getWorkRequest", lambda: work_requests.get(WORK_REQUEST)),
]  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One operation of the contract."""

    method: str
    path: str
    tags: tuple[str, ...]
    parameters: dict[tuple[str, str], dict[str, Any]]
    body: dict[str, Any]
    responses: dict[str, Any]

    def path_values(self, path: str) -> dict[str, str] | None:
        """The decoded path parameters, if the path is of this template."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


@cache
def contract() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONTRACT.read_text())
    return loaded


def resolved(part: Any) -> Any:
    """The part itself, or what it refers to."""
    while isinstance(part, dict) and "$ref" in part:
        reference, part = part["$ref"], contract()
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    return part


def check(value: Any, schema: dict[str, Any]) -> None:
    """Validate by a schema of the contract; its dialect is that of OpenAPI 3.1."""
    whole = {**schema, "components": contract()["components"]}
    jsonschema.validate(value, whole, cls=jsonschema.Draft202012Validator)


@cache
def operations() -> dict[str, Operation]:
    found = {}
    for path, shared in contract()["paths"].items():
        for method in METHODS:
            if method not in shared:
                continue
            operation = shared[method]
            parameters = [resolved(item) for item in [*shared.get("parameters", []), *operation.get("parameters", [])]]
            found[operation["operationId"]] = Operation(
                method.upper(),
                path,
                tuple(operation["tags"]),
                {(item["in"], item["name"]): item for item in parameters},
                resolved(operation.get("requestBody", {})),
                operation["responses"],
            )
    return found


def request_of(call: Call[Any]) -> Request:
    return call.request("https://oac.example.com", Token("access", 0.0, 100.0))


def json_body(request: Request) -> Any:
    return json.loads(request.body) if request.body else None


rows = pytest.mark.parametrize(("operation", "make"), CALLS, ids=[name for name, _ in CALLS])


@rows
def test_method_and_path_are_those_of_the_operation(operation: str, make: Callable[[], Call[Any]]) -> None:
    request, wanted = request_of(make()), operations()[operation]
    parts = urlsplit(request.url)
    assert request.method == wanted.method
    assert (parts.scheme, parts.netloc, parts.path[: len(API_BASE)]) == ("https", "oac.example.com", API_BASE)
    values = wanted.path_values(parts.path.removeprefix(API_BASE))
    assert values is not None, f"{parts.path} is not of the form {wanted.path}"
    for name, value in values.items():
        check(value, wanted.parameters["path", name]["schema"])
    # A literal path may look like one with a parameter: exactly one operation is meant.
    meant = [
        name
        for name, other in operations().items()
        if other.method == request.method and other.path_values(parts.path.removeprefix(API_BASE)) is not None
    ]
    assert meant == [operation]


@rows
def test_the_query_is_known_to_the_operation(operation: str, make: Callable[[], Call[Any]]) -> None:
    known = {name: item for (place, name), item in operations()[operation].parameters.items() if place == "query"}
    sent = dict(parse_qsl(urlsplit(request_of(make()).url).query, keep_blank_values=True, strict_parsing=False))
    for name, value in sent.items():
        schema = known[name]["schema"]
        literal = schema.get("type") in ("boolean", "integer", "number")
        check(json.loads(value) if literal else value, schema)
    assert {name for name, item in known.items() if item.get("required")} <= set(sent)


@rows
def test_the_body_is_the_one_that_the_operation_asks_for(operation: str, make: Callable[[], Call[Any]]) -> None:
    request, wanted = request_of(make()), operations()[operation].body
    if not wanted:
        assert not request.body
        assert "Content-Type" not in request.headers
        return
    assert request.headers["Content-Type"] == "application/json"
    body = json_body(request)
    if wanted.get("required"):
        assert body is not None
    schema = wanted["content"]["application/json"]["schema"]
    check(body, schema)
    assert unknown_members(body, schema) == []


@rows
def test_the_token_is_attached_and_json_is_asked_for(operation: str, make: Callable[[], Call[Any]]) -> None:
    headers = request_of(make()).headers
    assert (headers["Authorization"], headers["Accept"]) == ("Bearer access", "application/json")


@rows
def test_the_examples_of_its_success_can_be_read(operation: str, make: Callable[[], Call[Any]]) -> None:
    wanted = operations()[operation]
    successes = [status for status in wanted.responses if status.startswith("2")]
    assert successes
    for status in successes:
        answer = resolved(wanted.responses[status])
        headers = {name.lower(): WORK_REQUEST for name in answer.get("headers", {}) if "work-request" in name}
        media = answer.get("content", {}).get("application/json")
        body = b"" if media is None else json.dumps(media["example"]).encode()
        if media is not None:
            check(media["example"], media["schema"])
        make().read(Response(int(status), headers, body))


@pytest.mark.parametrize("area", AREAS)
def test_every_operation_of_an_area_has_a_call(area: str) -> None:
    wanted = {name for name, operation in operations().items() if area in operation.tags}
    assert wanted, f"the contract knows no area {area}"
    assert {name for name, _ in CALLS} & wanted == wanted


def test_no_call_stands_beside_the_areas() -> None:
    for name, _ in CALLS:
        assert set(operations()[name].tags) & set(AREAS)


def test_only_what_does_no_harm_twice_is_repeatable() -> None:
    by_name = {name: make() for name, make in CALLS}
    assert {name for name, call in by_name.items() if not call.repeatable} == {"createSnapshot", "restoreSnapshot"}


def unknown_members(value: Any, schema: dict[str, Any]) -> list[str]:
    """Members of a body that the schema does not know: JSON Schema lets them pass, a server may not."""
    schema = resolved(schema)
    if "oneOf" in schema:
        return min((unknown_members(value, option) for option in fitting(value, schema["oneOf"])), key=len)
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    found = [name for name in value if name not in known and schema.get("additionalProperties", True) is True]
    for name, inner in value.items():
        if name in known:
            found += [f"{name}.{unknown}" for unknown in unknown_members(inner, known[name])]
    return found


def fitting(value: Any, options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for option in options:
        try:
            check(value, option)
        except jsonschema.ValidationError:
            continue
        found.append(option)
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
    body = {**dict(CALLS[1][1]().body), **change}
    schema = operations()["createSnapshot"].body["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError, match=says):
        check(body, schema)


def test_these_checks_find_members_that_nobody_knows() -> None:
    body = dict(CALLS[1][1]().body)
    body["bar"] = {**body["bar"], "passwort": "x"}
    schema = operations()["createSnapshot"].body["content"]["application/json"]["schema"]
    assert unknown_members({**body, "label": "x"}, schema) == ["label", "bar.passwort"]
