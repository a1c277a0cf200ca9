"""Type checkers, and so editors, know the arguments of each operator and sensor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_mypy_knows_good_arguments_from_bad_ones() -> None:
    pytest.importorskip("mypy")
    snippet = Path(__file__).with_name("typed_arguments.py")
    root = snippet.parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(snippet.relative_to(root))],
        cwd=root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
