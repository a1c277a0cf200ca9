"""The scripts beside the package import what there is: most of them run in `make demo` and `make bench` only."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_oac
import oac_simulator
from tools import hatch_readme, release, run_tests, setup_env
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


#: What this repository brings itself.
OURS = ("airflow-provider-oac[", "oac-simulator")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("line", sorted({env.line for env in setup_env.ENVIRONMENTS.values() if env.line[0].isdigit()}))
def test_every_extra_can_be_installed_beside_what_is_locked(line: str) -> None:
    """Asks the package index, as the setup of the environments does."""
    wanted = [text for extra in EXTRAS.values() for text in extra if not text.startswith(OURS)]
    command = [setup_env.bootstrap(), "pip", "compile", "-", "--constraint", f"requirements/airflow-{line}.txt"]
    done = subprocess.run(
        [*command, "--python-version", "3.11", "--no-header", "--no-annotate", "--quiet"],
        input="\n".join(wanted), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ocifs==" in done.stdout


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_a_lock_names_no_address(lock: Path) -> None:
    assert not re.search(r"https?://|file:|^-", lock.read_text(), re.MULTILINE)


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""Two\nlines."""\n\n# A comment.\nTEXT = """kept\n\nwhole"""\ndef f():\n    "Doc."\n    return 1')
    assert lines_of_code(file) == 5


def test_provider_and_simulator_have_the_same_version() -> None:
    assert oac_simulator.__version__ == airflow_provider_oac.__version__


def test_links_of_the_long_description_are_absolute() -> None:
    text = "[a](docs/a.md#b) ![p](docs/p.png) [u](https://x.example/) [here](#top)"
    assert hatch_readme.absolute(text, "https://r.example") == (
        "[a](https://r.example/blob/main/docs/a.md#b) ![p](https://r.example/raw/main/docs/p.png) "
        "[u](https://x.example/) [here](#top)"
    )


def test_a_release_has_notes() -> None:
    assert "### Limits" in release.notes("0.1.0")
    with pytest.raises(LookupError, match=r"9\.9\.9"):
        release.notes("9.9.9")


def test_a_run_that_is_interrupted_begins_no_further_part(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, interrupted = [], threading.Event()

    class Lanes(ThreadPoolExecutor):
        def shutdown(self, *arguments: Any, **options: Any) -> None:
            interrupted.set()
            super().shutdown(*arguments, **options)

    def run_part(part: run_tests.Part, *_: object) -> run_tests.Outcome:
        begun.append(part.name)
        if not part.waits:
            raise KeyboardInterrupt
        # Ctrl-C ends the programs of all parts.
        interrupted.wait()
        return run_tests.Outcome(part.name, "FAILED")

    monkeypatch.setattr(run_tests, "ThreadPoolExecutor", Lanes)
    monkeypatch.setattr(run_tests, "set_up", lambda part: run_tests.Outcome(part.name, "passed"))
    monkeypatch.setattr(run_tests, "run_part", run_part)
    waiting = [run_tests.Part(name, "airflow-3.3", "", (), waits=True) for name in ("first", "second", "third")]
    with pytest.raises(KeyboardInterrupt):
        run_tests.run_parts([run_tests.Part("unit", "airflow-3.3", "", ()), *waiting], [])
    assert set(begun) <= {"unit", "first"}


def test_a_part_that_cannot_run_beside_others_is_in_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_part(part: run_tests.Part, *_: object) -> run_tests.Outcome:
        if part.name == "broken":
            raise OSError("No space left on device")
        return run_tests.Outcome(part.name, "passed")

    monkeypatch.setattr(run_tests, "set_up", lambda part: run_tests.Outcome(part.name, "passed"))
    monkeypatch.setattr(run_tests, "run_part", run_part)
    parts = [run_tests.Part(name, "airflow-3.3", "", (), waits=True) for name in ("broken", "second")]
    broken, second = run_tests.run_parts(parts, [])
    assert (broken.verdict, broken.notes, second.verdict) == ("FAILED", ["OSError: No space left on device"], "passed")
