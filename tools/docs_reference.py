#!/usr/bin/env python3
"""Write docs/reference/: one page per module with public classes or calls, which the site fills from docstrings.

    python3 tools/docs_reference.py

A test compares the pages. Standard library only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TARGET = ROOT / "airflow_provider_oac", ROOT / "docs" / "reference"
INDEX = """\
# Modules

Public API, from the docstrings of the package: one page for each module. In the repository, read the docstrings or run
`make docs`: the pages are filled then. Operators and sensors also take Airflow's own arguments, such as `retries`,
`pool` and `trigger_rule`. [Defaults](defaults.md) lists every default value.

| module, below `airflow_provider_oac` | holds |
| --- | --- |
"""
# The public API: modules, and the names in them.
PUBLIC = (
    ("operators/*.py", r"OAC\w+Operator|[A-Z]\w+ingOperator|(?:Item|Snapshot)Operator"),
    ("sensors/*.py", r"OAC\w+Sensor"),
    ("hooks/oac.py", r"OACHook"),
    ("notifications/*.py", r"OAC\w+Notifier"),
    ("triggers/*.py", r"OAC\w+Trigger"),
    ("links.py", r"OAC\w+Link"),
    ("retry_policy.py", r"OAC\w+Policy"),
    ("exceptions.py", r"OAC\w*Error"),
    ("client/rest/*.py", r"[A-Za-z]\w*"),
)
# Classes whose members are also public; for other classes only the constructor is.
WITH_MEMBERS = {"OACHook", "JobHistory"}


def modules() -> Iterator[tuple[str, list[ast.ClassDef | ast.FunctionDef]]]:
    """Yield each public module (path below the package, without suffix) with its public classes and calls."""
    for pattern, names in PUBLIC:
        for path in sorted(PACKAGE.glob(pattern)):
            found = [
                node
                for node in ast.parse(path.read_text()).body
                if (isinstance(node, ast.ClassDef) and re.fullmatch(names, node.name) and not _internal(node))
                or (isinstance(node, ast.FunctionDef) and "client/rest/" in pattern and _is_call(node))
            ]
            if found:
                yield path.relative_to(PACKAGE).with_suffix("").as_posix(), found


def _internal(node: ast.ClassDef) -> bool:
    """Return whether a class is internal: a submission of the client, which users neither create nor read."""
    return any(isinstance(base, ast.Subscript) for base in node.bases)


def _is_call(node: ast.FunctionDef) -> bool:
    returns = ast.unparse(node.returns or ast.Constant(None))
    return not node.name.startswith("_") and returns.startswith(("Call[", "Listing["))


def places() -> dict[str, str]:
    """Return the full name of each public class by its short name."""
    return {
        node.name: f"{PACKAGE.name}.{module.replace('/', '.')}.{node.name}"
        for module, found in modules()
        for node in found
        if isinstance(node, ast.ClassDef)
    }


def pages() -> dict[Path, str]:
    """Build the pages of docs/reference/."""
    made, index = {}, INDEX
    known = places()
    for module, found in modules():
        dotted = module.replace("/", ".")
        text = f"# {dotted}\n"
        for node in found:
            text += f"\n::: {PACKAGE.name}.{dotted}.{node.name}\n"
            if isinstance(node, ast.ClassDef) and node.name not in WITH_MEMBERS:
                text += "    options: {members: false}\n"
            if isinstance(node, ast.ClassDef) and module.startswith(("operators/", "sensors/")):
                bases = [name for base in node.bases if (name := ast.unparse(base)) in known]
                for name in bases:
                    text += f"\nAlso takes the arguments of `{name}`.\n"
        if "jobs.JobHistory(" in (PACKAGE / f"{module}.py").read_text():
            text += "\n`runnable`, `history`, `latest` and `job` are those of [`JobHistory`](jobs.md), for this type.\n"
        made[TARGET / f"{module}.md"] = text
        names = ", ".join(f"`{node.name}`" for node in found)
        index += f"| [{dotted}](reference/{module}.md) | {names} |\n"
    return {TARGET.with_suffix(".md"): index, **made}


def main() -> None:
    """Write the pages and remove those of deleted modules."""
    wanted = pages()
    for path in set(TARGET.rglob("*.md")) - set(wanted):
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
