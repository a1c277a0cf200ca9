"""The scripts beside the package import what there is: most of them run in `make demo` and `make bench` only."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

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
