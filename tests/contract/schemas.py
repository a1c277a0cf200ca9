"""Reading the contract: its operations, and what its schemas say of a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import yaml

CONTRACT = Path(__file__).with_name("oac-openapi.yaml")
METHODS = ("get", "put", "post", "delete", "patch")


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

    def body_schema(self, content_type: str = "application/json") -> dict[str, Any]:
        """The schema of its body, empty if it has none of this type."""
        schema: dict[str, Any] = self.body.get("content", {}).get(content_type, {}).get("schema", {})
        return schema


@cache
def contract() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONTRACT.read_text())
    return loaded


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


def meant(method: str, path: str) -> list[str]:
    """The operations that a request is for: where several fit, the one with the fewest parameters in its path."""
    fitting = {
        name: operation.path.count("{")
        for name, operation in operations().items()
        if operation.method == method and operation.path_values(path) is not None
    }
    return [name for name, parameters in fitting.items() if parameters == min(fitting.values())]


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


def accepts(value: Any, schema: dict[str, Any]) -> bool:
    try:
        check(value, schema)
    except jsonschema.ValidationError:
        return False
    return True


def members(schema: dict[str, Any]) -> set[str]:
    """All members that a schema names, those of inner objects and of an array's items with dots."""
    schema = resolved(schema)
    found: set[str] = set()
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= members(part)
    if "items" in schema:
        found |= members(schema["items"])
    for name, inner in schema.get("properties", {}).items():
        found |= {name, *(f"{name}.{deeper}" for deeper in members(inner))}
    return found


def sent_members(value: Any) -> set[str]:
    """All members that a value has, in the same spelling."""
    if isinstance(value, list):
        return {name for item in value for name in sent_members(item)}
    if not isinstance(value, dict):
        return set()
    return {
        name for key, inner in value.items() for name in (key, *(f"{key}.{deeper}" for deeper in sent_members(inner)))
    }


def unknown_members(value: Any, schema: dict[str, Any]) -> list[str]:
    """Members of a body that the schema does not know: JSON Schema lets them pass, a server may not."""
    schema = resolved(schema)
    if "oneOf" in schema:
        fitting = [option for option in schema["oneOf"] if accepts(value, option)]
        return min((unknown_members(value, option) for option in fitting), key=len)
    known, free = _known(schema)
    if isinstance(value, list):
        return [name for item in value for name in unknown_members(item, schema.get("items", {}))]
    if not isinstance(value, dict):
        return []
    found = [] if free else [name for name in value if name not in known]
    for name, inner in value.items():
        if name in known:
            found += [f"{name}.{unknown}" for unknown in unknown_members(inner, known[name])]
    return found


def _known(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The members that a schema and its parts name, and whether it says that there may be others."""
    schema = resolved(schema)
    known, free = dict(schema.get("properties", {})), "additionalProperties" in schema
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        more, freely = _known(part)
        known, free = {**known, **more}, free or freely
    return known, free
