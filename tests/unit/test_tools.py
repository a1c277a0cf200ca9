"""The scripts beside the package import what there is: most of them run in `make demo` and `make bench` only."""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tools import demo
from tools.oac_connections import device_connection
from tools.size import lines_of_code

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*ROOT.glob("tools/**/*.py"), *ROOT.glob("dags/**/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_of_the_package_is_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("airflow_provider_oac"):
            continue
        module = importlib.import_module(node.module or "")
        for alias in node.names:
            if not hasattr(module, alias.name):
                # A submodule, or nothing.
                importlib.import_module(f"{node.module}.{alias.name}")


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    lines = [
        '"""Two',
        'lines."""',
        "",
        "# A comment.",
        'TEXT = """kept',
        "",
        'whole"""',
        "def f():",
        '    "Doc."',
        "    return 1",
    ]
    file.write_text("\n".join(lines))
    assert lines_of_code(file) == 5


def _ready(folder: Path) -> dict[str, Any]:
    (folder / "app-key.pem").write_text("key")
    return {
        "identity_url": "http://127.0.0.1:1", "client_id": "the-client", "client_secret": "s",
        "instances": {"dev": {"url": "http://127.0.0.1:2", "scope": "https://aurn:opc:resource:consumer::all"}},
        "certificate_alias": "airflow", "private_key_file": str(folder / "app-key.pem"),
        "users": {f"oac.{name}@example.com": f"{name}-pw" for name in ("admin", "author", "federated")},
    }  # fmt: skip


def test_the_demo_says_what_a_connection_by_hand_needs_and_how_to_stop_it(tmp_path: Path) -> None:
    ready = _ready(tmp_path)
    text = "\n".join(demo.by_hand(ready, tmp_path / "ready.json", "http://localhost:8080", 4711))
    for needed in (
        ready["client_id"], ready["instances"]["dev"]["scope"], ready["private_key_file"], str(tmp_path / "ready.json"),
        ready["identity_url"], ready["instances"]["dev"]["url"], "airflow", "oac_sign_in", "kill 4711",
    ):  # fmt: skip
        assert needed in text


def test_a_person_can_sign_in_with_a_code_in_the_demo(tmp_path: Path) -> None:
    environment = demo.demo_environment(_ready(tmp_path))
    assert environment["AIRFLOW__OAC__STORE"] == "file"
    assert json.loads(environment["AIRFLOW_CONN_OAC_SIGN_IN"]) == device_connection(_ready(tmp_path))
    assert device_connection(_ready(tmp_path))["extra"]["grant"] == "device_code"
