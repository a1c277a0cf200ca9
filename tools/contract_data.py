"""Write airflow_provider_oac/cli/contract.json from tests/contract/oac-openapi.yaml, for the command `conformance`.

    .venv/bin/python tools/contract_data.py

The file holds the read-only operations, and those for the snapshot that `--allow-write` creates: their statuses and the
schemas of successful responses, without descriptions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "tests" / "contract" / "oac-openapi.yaml"
DATA = ROOT / "airflow_provider_oac" / "cli" / "contract.json"
# POST operations that only read.
READING = ("getCatalogItemAcl", "getWorkbookCanvases")
WRITING = ("createSnapshot", "deleteSnapshot")
_WORDS = ("description", "example", "examples", "title", "summary")


def data() -> dict[str, Any]:
    """Build the content of the file."""
    contract = yaml.safe_load(CONTRACT.read_text())
    found: dict[str, Any] = {}
    for path, shared in contract["paths"].items():
        for method, operation in shared.items():
            name = operation.get("operationId") if isinstance(operation, dict) else None
            if name and (method == "get" or name in READING + WRITING):
                answers = {status: _resolved(contract, item) for status, item in operation["responses"].items()}
                success = next(answers[status] for status in sorted(answers) if status.startswith("2"))
                schema = success.get("content", {}).get("application/json", {}).get("schema", {})
                found[name] = {
                    "method": method.upper(),
                    "path": path,
                    "tag": operation["tags"][0],
                    "certainty": operation.get("x-certainty", "documented"),
                    "statuses": sorted(int(status) for status in answers if status.isdigit()),
                    "schema": _inlined(contract, schema),
                }
    return {"source": contract["info"]["title"], "operations": found}


def text() -> str:
    """Return the file as text."""
    return json.dumps(data(), indent=1, sort_keys=True) + "\n"


def _resolved(contract: dict[str, Any], part: Any) -> Any:
    while isinstance(part, dict) and "$ref" in part:
        target: Any = contract
        for step in part["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        part = target
    return part


def _inlined(contract: dict[str, Any], part: Any) -> Any:
    """Return a schema with references resolved and descriptions removed."""
    part = _resolved(contract, part)
    if isinstance(part, list):
        return [_inlined(contract, item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {}
    for name, value in part.items():
        if name == "properties":
            kept[name] = {member: _inlined(contract, schema) for member, schema in value.items()}
        elif name not in _WORDS and not name.startswith("x-"):
            kept[name] = _inlined(contract, value)
    return kept


if __name__ == "__main__":
    DATA.write_text(text())
