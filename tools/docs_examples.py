#!/usr/bin/env python3
"""Update the examples from dags/ in docs/: the page with all examples, and the call on each operator's page.

    python3 tools/docs_examples.py

docs/operators.md lists the page and the example of each operator. The program writes the code into the pages between
two
markers, because code hosts also show the pages. A test compares the pages. Standard library only.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parent.parent
DOCS, DAGS = ROOT / "docs", ROOT / "dags"
BEGIN, END = "<!-- examples, written by tools/docs_examples.py -->\n", "<!-- /examples -->"

HEAD = """\
# Examples

Copy them. The tests run each file in a real Airflow 3.3, against the simulator, and import it on 2.11, 3.1 and 3.2
([versions](versions.md)).
"""


def rows() -> list[tuple[str, str, str]]:
    """Return each class, the file of its page, and the name of the first example that contains it."""
    text = (DOCS / "operators.md").read_text()
    row = r"^\| `(OAC\w+)` \|.*\| \[[\w-]+\]\(([\w-]+\.md)\) \| \[\w+\]\(examples\.md#(\w+)\).*\|$"
    return re.findall(row, text, re.MULTILINE)


def call(dag: str, name: str) -> str:
    """Return the statement of an example that creates an operator, with the comment above it.

    :raises LookupError: if the example has none.
    """
    text = (DAGS / f"{dag}.py").read_text()
    lines = text.splitlines()
    made = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign | ast.Expr)
        and any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node.value))
    ]
    if not made:
        raise LookupError(f"dags/{dag}.py makes no {name}")
    first = min(node.lineno for node in made)
    node = next(node for node in made if node.lineno == first)
    while lines[first - 2].lstrip().startswith("#"):
        first -= 1
    return dedent("\n".join(lines[first - 1 : node.end_lineno]))


def gallery() -> str:
    """Build the page of all examples."""
    text = HEAD
    for path in sorted(DAGS.glob("*.py")):
        said = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ")
        link = f"[{path.name}](../dags/{path.name})"
        text += f'\n## {path.stem}\n\n{link}: {said}\n\n```python\n--8<-- "dags/{path.name}"\n```\n'
    return text


def section(page: str) -> str:
    """Build the text between the markers of a page."""
    text = ""
    for name, its_page, dag in [*rows(), ("OACBackupNotifier", "events.md", "oac_nightly_backup")]:
        if its_page == page:
            link = f"[{dag}](../dags/{dag}.py)"
            text += f"\n`{name}` in {link}:\n\n```python\n{call(dag, name)}\n```\n"
    return f"{text}\n"


def snippets(page: Path) -> list[tuple[int, str]]:
    """Return line number and text of each Python block of a page, without those from the examples."""
    text = page.read_text()
    for written in re.findall(f"{BEGIN}.*?{END}", text, re.DOTALL):
        text = text.replace(written, "\n" * written.count("\n"))
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text[: code.start(1)].count("\n") + 1, code[1]) for code in found if "--8<--" not in code[1]]


def pages() -> dict[Path, str]:
    """Build all pages with examples."""
    made = {DOCS / "examples.md": gallery()}
    for path in sorted(DOCS.glob("*.md")):
        before, begin, rest = path.read_text().partition(BEGIN)
        if begin:
            made[path] = f"{before}{begin}{section(path.name)}{END}{rest.partition(END)[2]}"
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
