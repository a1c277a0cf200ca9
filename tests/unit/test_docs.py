"""What the documentation says is there: classes, examples, files that links lead to, pages of the site."""

from __future__ import annotations

import ast
import builtins
import dis
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType
from typing import Any

import airflow
import pytest
from airflow import DAG

from tests.unit.operators.everything import TASKS
from tools import contract_data, docs_examples, docs_reference, llms_txt, public_api

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def test_an_example_holds_the_operator_that_names_it() -> None:
    rows = re.findall(r"^\| `(OAC\w+)` \|.*\| (.+) \|$", (DOCS / "operators.md").read_text(), re.MULTILINE)
    named = [(name, dag) for name, cell in rows for dag in re.findall(r"examples\.md#(\w+)", cell)]
    assert len(named) > 20
    for name, dag in named:
        assert re.search(rf"\b{name}(\.partial)?\(", (ROOT / "dags" / f"{dag}.py").read_text()), (name, dag)


def test_every_operator_has_a_row_and_is_shown_in_its_page() -> None:
    assert {name for name, _, _ in docs_examples.rows()} == set(TASKS)
    shown = {path.name: re.findall(r"^`(OAC\w+)` in \[", text, re.M) for path, text in docs_examples.pages().items()}
    assert [name for name, page, _ in docs_examples.rows() if name not in shown.get(page, [])] == []


#: What programs of tools/ write: text by file.
WRITTEN: dict[str, Callable[[], dict[Path, str]]] = {
    "docs_examples": docs_examples.pages,
    "docs_reference": docs_reference.pages,
    "llms_txt": lambda: {llms_txt.TARGET: llms_txt.text()},
    "contract_data": lambda: {contract_data.DATA: contract_data.text()},
    # A person reviews the difference.
    "public_api": lambda: {public_api.TARGET: public_api.text()},
}


@pytest.mark.parametrize("program", WRITTEN)
def test_what_programs_write_is_in_step(program: str) -> None:
    if program == "public_api" and airflow.__version__.startswith("2."):
        pytest.skip("lists the arguments of Airflow 3")
    written = WRITTEN[program]()
    stale = [str(path) for path, text in written.items() if not path.exists() or path.read_text() != text]
    assert stale == [], f"python3 tools/{program}.py writes them anew"


def test_the_reference_has_no_other_pages() -> None:
    assert set(docs_reference.TARGET.rglob("*.md")) <= set(docs_reference.pages())


# At the level of a module, these ask a server, or change this process.
ASKS = re.compile(r"^(?! ).*(\bOACHook\(|\bget_connection\(|\blaunch\(|\bos\.environ\b)", re.MULTILINE)


def unknown_names(code: CodeType, known: Collection[str]) -> set[str]:
    """The names that code reads and nobody has defined."""
    parts, read, made = [code], set(), set()
    while parts:
        part = parts.pop()
        parts += [constant for constant in part.co_consts if isinstance(constant, CodeType)]
        for step in dis.get_instructions(part):
            if step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
                read.add(str(step.argval))
            elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
                made.add(str(step.argval))
    return read - made - set(known) - set(vars(builtins))


def imported(tree: ast.Module) -> list[str]:
    """What a snippet imports, as it calls it."""
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [(name.asname or name.name).partition(".")[0] for node in statements for name in node.names]


@pytest.mark.parametrize("page", [page for page in PAGES if docs_examples.snippets(ROOT / page)])
def test_snippets_run(page: str) -> None:
    # A later snippet knows what an earlier one has made, such as a task, but imports for itself.
    names: dict[str, Any] = {}
    dag = DAG(Path(page).stem, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None)
    for line, text in docs_examples.snippets(ROOT / page):
        # Tracebacks and messages then name the line of the page.
        tree = ast.parse("\n" * (line - 1) + text, page)
        code = compile(tree, page, "exec", dont_inherit=True)
        assert not unknown_names(code, names), f"{page}:{line}"
        if ASKS.search(text):
            tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            code = compile(tree, page, "exec", dont_inherit=True)
        try:
            with dag:
                exec(code, names)  # noqa: S102
                for name in imported(tree):
                    names.pop(name, None)
        except ImportError as missing:
            if airflow.__version__.startswith("3.3") or not str(missing.name).startswith("airflow."):
                raise
            pytest.skip(f"{page}:{line} is written for a newer Airflow: {missing}")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_is_linked_from_another() -> None:
    linked = set()
    for path in map(ROOT.joinpath, PAGES):
        linked |= {(path.parent / target).resolve() for target in re.findall(r"\]\(([^):#\s]+\.md)", path.read_text())}
    assert [page for page in PAGES if page.startswith("docs/") and (ROOT / page) not in linked] == []


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(re.findall(r"[\w/-]+\.md", menu)) == pages


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_mapped_tasks_of_examples_have_names(path: Path) -> None:
    text = path.read_text()
    assert text.count(".partial(") == text.count("map_index_template=")
