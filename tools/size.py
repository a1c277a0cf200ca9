#!/usr/bin/env python3
"""Count lines of code by package, without blank lines, comments and docstrings.

    python3 tools/size.py          (`make size`)

Standard library only.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROVIDER = "airflow_provider_oac"
NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)


def docstrings(tree: ast.AST) -> Iterator[range]:
    """Return the line numbers of all docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield range(first.lineno, (first.end_lineno or first.lineno) + 1)


def lines_of_code(path: Path) -> int:
    """Count the lines of code of a file."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    lines = {line for token in tokens if token.type not in NO_CODE for line in range(token.start[0], token.end[0] + 1)}
    for documented in docstrings(ast.parse(path.read_text())):
        lines -= set(documented)
    return len(lines)


def packages(folder: Path) -> Counter[str]:
    """Return the lines of code of each package of a distribution; top-level modules count for the distribution."""
    found: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        found[inside[0] if len(inside) > 1 else "."] += lines_of_code(path)
    return found


def main() -> int:
    provider = packages(ROOT / PROVIDER)
    for name, lines in sorted(provider.items()):
        print(f"{PROVIDER}/{'' if name == '.' else name:16} {lines:7,}")
    print(f"{'provider':37} {sum(provider.values()):7,}")
    for folder in ("simulator", "dags", "tools", "tests"):
        print(f"{folder:37} {sum(packages(ROOT / folder).values()):7,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
