"""What parsing a DAG costs."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import airflow_provider_oac
from airflow_provider_oac import operators, sensors
from airflow_provider_oac._compat import default_deferrable
from airflow_provider_oac.sensors.work_requests import OACWorkRequestSensor

HEAVY = {"requests", "aiohttp", "jwt", "cryptography", "oac_simulator"}
# What a DAG file or Airflow itself has loaded before it comes to us.
BEFORE = """
import json, sys
try:
    import airflow.sdk
    from airflow.sdk import BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Connection, DAG
except ImportError:
    from airflow import DAG
    from airflow.hooks.base import BaseHook
    from airflow.models import Connection
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.baseoperatorlink import BaseOperatorLink
    from airflow.sensors.base import BaseSensorOperator
import airflow.triggers.base
before = set(sys.modules)
"""
AFTER = "\nprint(json.dumps(sorted(set(sys.modules) - before)))\n"
# What parsing loads of ours: all of it costs every DAG file, whenever it is read. What only a running task needs is
# imported where it is used; a new entry here should have a reason.
FOR_ONE_OPERATOR = {
    "_compat", "arguments", "assets", "counters", "exceptions", "lazy", "links", "plain_text", "records",
    "tasks", "triggers", "triggers.oac",
    *(f"operators{name}" for name in ("", ".base", ".lineage", ".snapshot_base", ".snapshots", ".task_state")),
}  # fmt: skip
OPERATORS = (
    "acl", "api", "catalog", "compare", "connections", "restore", "runs", "snapshots", "sql", "system",
    "workbooks",
    # What these share.
    "base", "export_base", "lineage", "snapshot_base", "task_state",
)  # fmt: skip
FOR_ALL = (
    FOR_ONE_OPERATOR
    | {f"operators.{name}" for name in OPERATORS}
    | {f"sensors{name}" for name in ("", ".base", ".catalog", ".snapshots", ".sql", ".work_requests")}
)


def printed(code: str) -> list[str]:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.splitlines()


def newly_loaded_by(*steps: str, before: str = BEFORE) -> list[set[str]]:
    """What is loaded after each of some steps."""
    return [set(json.loads(line)) for line in printed(before + "".join(step + AFTER for step in steps))[-len(steps) :]]


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} | {name for name in modules if name in HEAVY}


def test_imports_in_functions_are_few_and_say_why() -> None:
    found, unexplained = 0, []
    for path in sorted(Path(airflow_provider_oac.__file__).parent.rglob("*.py")):
        text = path.read_text()
        functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        lines = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)}
        found += len(lines)
        for line in lines - {line + 1 for line in lines}:
            if not text.splitlines()[line - 2].strip().startswith("#"):
                unexplained.append(f"{path.name}:{line}")
    assert found <= 30
    assert not unexplained


def test_operators_and_sensors_load_themselves_and_little_else() -> None:
    there = {
        f"{package.__name__.rpartition('.')[2]}.{module.name}"
        for package in (operators, sensors)
        for module in pkgutil.iter_modules(package.__path__)
    }
    assert there == {name for name in FOR_ALL if name.startswith(("operators.", "sensors."))}
    of_one, of_all, with_hook = newly_loaded_by(
        "from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator\n"
        "OACCreateSnapshotOperator(task_id='x', snapshot_label='x', bucket='x', seal_conn_id='x')\n",
        "".join(f"import airflow_provider_oac.{name}\n" for name in sorted(there)),
        "import airflow_provider_oac.hooks.oac, airflow_provider_oac.filesystems.oci\n",
        # Airflow 2.11 loads more when the first task is made, whose ever that is.
        before=f"{BEFORE}BaseOperator(task_id='plain')\nbefore = set(sys.modules)\n",
    )
    package = "airflow_provider_oac."
    for loaded, expected in ((of_one, FOR_ONE_OPERATOR), (of_all, FOR_ALL)):
        assert {name.removeprefix(package) for name in loaded if name.startswith(package)} == expected
        assert not roots(loaded) - sys.stdlib_module_names - {"airflow", "airflow_provider_oac"}
    assert not roots(with_hook) & (HEAVY | {"pypdf", "ocifs", "oci", "upath"})


@pytest.mark.skipif(not version("apache-airflow").startswith(("2.", "3.1.", "3.2.")), reason="it has retry policies")
def test_the_retry_policy_names_the_airflow_that_it_needs() -> None:
    with pytest.raises(ImportError, match=r"OACRetryPolicy needs Airflow 3\.3 .* retries and retry_delay apply"):
        import_module("airflow_provider_oac.retry_policy")


@pytest.mark.parametrize(("said", "expected"), [("True", True), ("False", False), (None, False)])
def test_the_deployment_says_whether_operators_are_deferrable(
    said: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"
    monkeypatch.delenv(name, raising=False) if said is None else monkeypatch.setenv(name, said)
    default_deferrable.cache_clear()
    try:
        assert OACWorkRequestSensor(task_id="a", work_request_id="x").deferrable is expected
        other = OACWorkRequestSensor(task_id="b", work_request_id="x", deferrable=not expected)
        assert other.deferrable is not expected
    finally:
        default_deferrable.cache_clear()


def test_the_plugin_which_every_process_loads_loads_nothing_heavy() -> None:
    (loaded,) = newly_loaded_by("import airflow.plugins_manager\nimport airflow_provider_oac.web.plugin\n")
    ours = {name for name in loaded if name.startswith("airflow_provider_oac")}
    assert ours - {"airflow_provider_oac"} == {"airflow_provider_oac.web", "airflow_provider_oac.web.plugin"}
    assert not roots(loaded) & (HEAVY | {"fastapi", "starlette", "jinja2", "airflow.api_fastapi"})


def test_the_metadata_import_nothing_but_themselves() -> None:
    (loaded,) = newly_loaded_by(
        "import airflow_provider_oac.provider_info\n",
        before="import __future__, json, sys, typing\nbefore = set(sys.modules)\n",
    )
    assert loaded == {"airflow_provider_oac", "airflow_provider_oac.provider_info"}
