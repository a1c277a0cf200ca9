#!/usr/bin/env python3
"""Write tests/unit/public_api.txt: every public name with its arguments and their default values.

    .venv/bin/python tools/public_api.py

A test compares the file, so each change of the public API is visible in a review.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import docs_reference

TARGET = ROOT / "tests" / "unit" / "public_api.txt"
PACKAGE = docs_reference.PACKAGE.name


class _Text(str):
    """A string whose `repr` has no quotes."""

    __repr__ = str.__str__


def arguments(thing: Any) -> str:
    """Return the arguments of a function or a constructor, with those of our base classes in place of ``**kwargs``."""
    found: dict[str, inspect.Parameter] = {}
    constructors = [base.__init__ for base in inspect.getmro(thing)] if inspect.isclass(thing) else [thing]
    for function in constructors:
        if not str(getattr(function, "__module__", "")).startswith(PACKAGE):
            continue
        parameters = inspect.signature(function).parameters
        for name, parameter in parameters.items():
            if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                default = _Text("...") if inspect.isfunction(parameter.default) else parameter.default
                found.setdefault(name, parameter.replace(annotation=parameter.empty, default=default))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    positional = [parameter for parameter in found.values() if parameter.kind is not parameter.KEYWORD_ONLY]
    named = sorted(set(found) - {parameter.name for parameter in positional})
    texts = [*map(str, positional), *(["*"] if named else []), *(str(found[name]) for name in named)]
    return ", ".join(texts)


def lines() -> list[str]:
    """Return the lines of the file."""
    made = []
    for module, nodes in docs_reference.modules():
        dotted = module.replace("/", ".")
        members = vars(importlib.import_module(f"{PACKAGE}.{dotted}"))
        for node in nodes:
            thing = members[node.name]
            made.append(f"{dotted}.{node.name}({arguments(thing)})")
            if isinstance(node, ast.ClassDef) and node.name in docs_reference.WITH_MEMBERS:
                made += [
                    f"{dotted}.{node.name}.{name}({arguments(member)})"
                    for name, member in sorted(vars(thing).items())
                    if inspect.isfunction(member) and not name.startswith("_")
                ]
    return made


def text() -> str:
    """Return the content of the file."""
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
