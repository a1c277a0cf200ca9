#!/usr/bin/env python3
"""Change the pure rules one operator at a time, and check whether the unit tests fail.

    .venv/bin/python tools/mutants.py              (`make mutants`) all rules: score and survivors of each
    .venv/bin/python tools/mutants.py token retry  some of them

mutmut does not change decorated functions, and each flow is decorated; cosmic-ray rewrites the files of the checkout
and starts Python again for each mutant. Here each mutant is a fork that imports the changed module in place of the
file: it takes less than a second and writes nothing. tests/unit/surviving_mutants.txt lists the survivors that are not
gaps in the tests, with reasons.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import gc
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / "tests" / "unit" / "surviving_mutants.txt"
#: Each rule's module, and its tests in tests/unit.
RULES = {
    "polling": ("client/flows/polling", ("client/test_poller",)),
    "redaction": ("transport/redaction", ("transport/test_redaction",)),
    "retention": (
        "client/flows/retention",
        ("client/test_retention", "client/test_prune"),
    ),
    "retry": ("transport/retry", ("transport/test_retry",)),
    "snapshot_names": ("client/snapshot_names", ("client/test_snapshot_names",)),
    "submit": ("client/flows/submit", ("client/test_submit", "client/test_submit_model")),
    "token": ("auth/token", ("auth/test_token",)),
}
#: A mutant hangs after this many CPU seconds, or ten times as many by the wall clock; it then counts as detected.
HANGS = 30
PASS_SCORE = 85
SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE,), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE,), ast.GtE: (ast.Gt,), ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.And: (ast.Or,),
    ast.Or: (ast.And,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.Pow: (ast.Mult,),
    ast.Break: (ast.Continue,), ast.Continue: (ast.Break,),
}  # fmt: skip
#: Fields of nodes that do not affect decisions.
LEFT_ALONE = ("annotation", "returns", "decorator_list", "bases")


@dataclass(frozen=True)
class Mutant:
    """One change of a module: its place, its description, and the changed module."""

    rule: str
    where: str
    change: str
    code: CodeType


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Return the possible replacements of a node."""
    for other in SWAPS.get(type(node), ()):
        yield other()
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Return(value=ast.expr() as value) if getattr(value, "value", value) is not None:
            yield ast.Return(ast.Constant(None))
        case ast.If(test=test):
            yield ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()


def mutants(rule: str) -> Iterator[Mutant]:
    """Return all mutants of a rule's module."""
    path = _path(rule)
    tree = ast.parse(path.read_text())
    yield from _below(rule, path, tree, tree, "")


def _below(rule: str, path: Path, tree: ast.Module, node: ast.AST, where: str) -> Iterator[Mutant]:
    where = f"{where}.{node.name}".lstrip(".") if isinstance(node, ast.stmt) and hasattr(node, "name") else where
    for field, value in ast.iter_fields(node):
        if field in LEFT_ALONE:
            continue
        # A node is in a list, or is an attribute of its parent.
        places = [(value, index) for index in range(len(value))] if isinstance(value, list) else [(vars(node), field)]
        for container, key in places:
            child = container[key]
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            for other in changed(child):
                before = _text(node, child)
                container[key] = other
                code = compile(ast.fix_missing_locations(copy.deepcopy(tree)), str(path), "exec")
                yield Mutant(rule, where, f"{before} -> {_text(node, other)}", code)
                container[key] = child
            yield from _below(rule, path, tree, child, where)


def _text(node: ast.AST, child: ast.AST) -> str:
    """Describe a statement, or an expression in its context, in one short line."""
    shown = child if isinstance(child, ast.stmt) else node
    lines = ast.unparse(ast.fix_missing_locations(copy.deepcopy(shown))).splitlines()
    return " ".join(lines[0].split())[:100]


def _path(rule: str) -> Path:
    return ROOT / "airflow_provider_oac" / f"{RULES[rule][0]}.py"


def silently(*arguments: str) -> int:
    """Run pytest without output."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        return pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--tb=no", *arguments])


def preload() -> None:
    """Import the third-party modules that the tests import, so the forks need not."""
    silently("--collect-only", *(name for rule in RULES for name in _tests(rule)))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("airflow_provider_oac", "tests")]:
        del sys.modules[name]
    gc.freeze()


def _tests(rule: str) -> list[str]:
    return [f"tests/unit/{name}.py" for name in RULES[rule][1]]


def lives(mutant: Mutant) -> bool:
    """Run the rule's tests on a mutant, in a fork. Return whether all of them pass."""
    original = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        return mutant.code if self.path == str(_path(mutant.rule)) else original(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    resource.setrlimit(resource.RLIMIT_CPU, (HANGS, HANGS))
    options = ("--hypothesis-profile=mutants", f"--timeout={10 * HANGS}")
    return silently(*options, *_tests(mutant.rule)) == pytest.ExitCode.OK


def judge(found: list[Mutant]) -> list[Mutant]:
    """Test each mutant in a fork, one per core at a time, and return the survivors."""
    running: dict[int, Mutant] = {}
    survivors = []
    queue = list(reversed(found))
    while queue or running:
        if queue and len(running) < (os.cpu_count() or 1):
            mutant = queue.pop()
            pid = os.fork()
            if pid == 0:
                os._exit(lives(mutant))
            running[pid] = mutant
            continue
        pid, status = os.wait()
        mutant = running.pop(pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1:
            survivors.append(mutant)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", metavar="RULE", help=", ".join(RULES))
    rules = parser.parse_args().rules or list(RULES)
    os.chdir(ROOT)
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )  # fmt: skip
    reasons = dict(line.split("  # ", 1) for line in KNOWN.read_text().splitlines() if line)
    total = killed = 0
    with tempfile.TemporaryDirectory(prefix="airflow-provider-oac-") as folder:
        tempfile.tempdir = folder
        preload()
        for rule in rules:
            found = list(mutants(rule))
            if not judge([Mutant(rule, "", "nothing", compile(_path(rule).read_text(), str(_path(rule)), "exec"))]):
                sys.exit(f"The tests of {rule} fail without a change.")
            survivors = judge(found)
            total, killed = total + len(found), killed + len(found) - len(survivors)
            print(f"{rule:16} {100 * (1 - len(survivors) / len(found)):4.0f} % of {len(found)} killed", flush=True)
            for mutant in survivors:
                text = f"{rule}: {mutant.where}: {mutant.change}"
                print(f"    {text}  # {reasons.get(text, 'NO REASON')}", flush=True)
    print(f"{'all':16} {100 * killed / total:4.0f} % of {total} killed")
    return int(100 * killed / total < PASS_SCORE)


if __name__ == "__main__":
    sys.exit(main())
