"""What tables of the documentation say is so: the words of errors, default values, templates."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow
import pytest

from airflow_provider_oac.provider_info import SETTINGS
from airflow_provider_oac.tasks import CheckedOperator
from tests.unit.operators.everything import TASKS
from tools import docs_reference

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def tables(page: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Head and rows of each table of a page."""
    text = (DOCS / page).read_text()
    for table in re.findall(r"(?:^(?:> )?\|.*\n)+", text, re.MULTILINE):
        lines = [line.lstrip("> ").strip().strip("|") for line in table.splitlines()]
        head, _rule, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
        yield head, rows


def texts() -> str:
    """Every text of the package, values as …, one a line."""
    found = []
    for path in (ROOT / "airflow_provider_oac").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return "\n".join(found)


def test_messages_are_quoted_as_they_are() -> None:
    said = texts()
    quoted = [row[at] for head, rows in tables("errors.md") for at, name in enumerate(head) for row in rows
              if name.startswith("the message says")]  # fmt: skip
    assert len(quoted) > 50
    pattern = {words: ".*?".join(re.escape(part.strip()) for part in words.split("…")) for words in quoted}
    assert [words for words in quoted if not re.search(pattern[words], said)] == []


def test_every_error_has_a_row() -> None:
    errors = {name for name in docs_reference.places() if name.endswith("Error")} - {"OACError"}
    assert errors <= set(re.findall(r"`(OAC\w+Error)`", (DOCS / "errors.md").read_text()))


def shown(value: Any) -> str:
    """A default value as the documentation writes it."""
    if isinstance(value, timedelta):
        hours, minutes = value / timedelta(hours=1), value / timedelta(minutes=1)
        return f"{hours:g} h" if hours >= 1 else f"{minutes:g} min"
    return f"{value:g}" if isinstance(value, float) else f"`{value!r}`" if isinstance(value, str) else f"{value}"


def defaults() -> set[tuple[str, str]]:
    """Each argument of ours that has a default value other than off, none or empty, with that value."""
    found = set()
    for kind in TASKS.values():
        for base in kind.__mro__[: kind.__mro__.index(CheckedOperator)]:
            for argument in inspect.signature(base.__init__).parameters.values():
                value = argument.default
                if value not in (inspect.Parameter.empty, None, False, ()):
                    found.add((argument.name, shown(list(value) if isinstance(value, tuple) else value)))
    return found


@pytest.mark.skipif(airflow.__version__.startswith("2."), reason="its sensors have another timeout in their signature")
def test_every_default_is_in_the_table() -> None:
    head, rows = next(tables("defaults.md"))
    assert head[:2] == ["argument", "default"]
    assert {(row[0].strip("`"), row[1]) for row in rows} == defaults()


def test_every_setting_is_in_the_table() -> None:
    settings = next(rows for head, rows in tables("defaults.md") if head[0] == "[oac]")
    assert {(row[0].strip("`"), row[1].strip("`")) for row in settings} == {
        (name, option["default"] or "empty") for name, option in SETTINGS.items()
    }


KINDS: dict[str, dict[str, Any]] = {
    "scheduled": {name: datetime(2026, 1, 2, tzinfo=UTC) for name in ("logical_date", "data_interval_start")},
    "asset-triggered, or by hand without a date": {"logical_date": None, "data_interval_start": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_templates_work_in_every_kind_of_run(kind: str) -> None:
    now = datetime(2026, 1, 3, 4, 5, tzinfo=UTC)
    run = SimpleNamespace(run_id="a", conf={}, start_date=now, run_after=now, **KINDS[kind])
    rows = next(rows for head, rows in tables("operators.md") if head[0] == "you want")
    environment = DAG("templates").get_template_env()
    rendered = [environment.from_string(row[1].strip("`")).render(dag_run=run) for row in rows]
    assert len(rendered) >= 4
    assert all(re.search(r"2026-?01-?0\d|^a$", text) for text in rendered)
