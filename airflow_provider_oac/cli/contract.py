"""The contract that this provider was built from, and how a response of a real instance differs from it.

Messages about a response name members and types, never values, because a response holds personal data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

# Only texts that look like a member's name or an enumeration's value are shown.
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,60}")
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


@dataclass(frozen=True)
class Operation:
    """One operation of the contract.

    :param statuses: the HTTP statuses that it may return.
    :param schema: JSON Schema of a successful response; empty if that is not JSON.
    :param certainty: the contract's source for the operation: ``documented``, ``observed`` or ``inferred``.
    """

    name: str
    method: str
    path: str
    statuses: tuple[int, ...]
    schema: Mapping[str, Any]
    certainty: str


@cache
def operations() -> dict[str, Operation]:
    """Return the operations of the contract that the command `conformance` can try, by name."""
    data = json.loads(files("airflow_provider_oac.cli").joinpath("contract.json").read_text())
    return {
        name: Operation(name, item["method"], item["path"], tuple(item["statuses"]), item["schema"], item["certainty"])
        for name, item in data["operations"].items()
    }


def differences(operation: Operation, status: int, body: Any) -> list[str]:
    """Return how a response differs from the contract, as sentences without values.

    :param body: the JSON of the response; ``None`` if there is none.
    """
    if status not in operation.statuses:
        known = ", ".join(map(str, operation.statuses))
        return [f"HTTP {status} is not among the statuses of the contract ({known})."]
    if not 200 <= status < 300 or not operation.schema:
        return []
    validator = jsonschema.Draft202012Validator(dict(operation.schema))
    found = [_sentence(error) for error in validator.iter_errors(body)]
    return list(dict.fromkeys(found))


def unknown_members(operation: Operation, body: Any) -> list[str]:
    """Return members of a successful response that the contract does not name. They do not count as a difference."""
    return sorted({name for name in _unknown(body, operation.schema) if _WORD.fullmatch(name.replace("[]", ""))})


def _sentence(error: Any) -> str:
    inner = list(error.context or ())
    if inner:
        # Several forms are allowed: report the error of the one that fits best.
        error = max(inner, key=lambda item: (len(item.absolute_path), -item.schema_path[0]))
    # Indexes of items are left out: they would turn one difference into many.
    path = "".join("[]" if isinstance(step, int) else f".{_word(step)}" for step in error.absolute_path)
    where = path.lstrip(".") or "the response"
    if error.validator == "required":
        return f"{where}: lacks {', '.join(name for name in error.validator_value if name not in error.instance)}."
    if error.validator == "type":
        kind = _KINDS.get(type(error.instance), "null")
        return f"{where}: is of the type {kind}; the contract says {error.validator_value}."
    if error.validator == "enum":
        return f"{where}: is {_word(error.instance)}, which the contract does not list."
    return f"{where}: does not fit the contract's rule {error.validator}."


def _word(value: Any) -> str:
    return str(value) if _WORD.fullmatch(str(value)) else "(not shown)"


def _unknown(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            for name in _unknown(item, _parts(schema, "items")):
                yield f"[].{name}" if not name.startswith("[]") else f"[]{name}"
    elif isinstance(value, dict):
        known = _parts(schema, "properties")
        if not known or _free(schema):
            return
        for name, inner in value.items():
            if name not in known:
                yield name
            else:
                yield from (f"{name}.{deeper}".replace(".[]", "[]") for deeper in _unknown(inner, known[name]))


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _parts(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the items or properties of a schema, including those of its alternatives."""
    found: dict[str, Any] = {}
    for part in _alternatives(schema):
        inner = _parts(part, name)
        if name == "items" and inner and found:
            found = {"anyOf": [found, inner]}
        else:
            found |= inner
    return found | dict(schema.get(name, {}))


def _free(schema: Mapping[str, Any]) -> bool:
    return "additionalProperties" in schema or any(_free(part) for part in _alternatives(schema))
