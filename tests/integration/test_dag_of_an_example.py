"""The tests of docs/testing-your-dags.md run as an author runs them, with the `conftest.py` of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing-your-dags.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    assert len(tests) == 3
    (tmp_path / "conftest.py").write_text("\n\n".join(block for block in blocks if block not in tests))
    (tmp_path / "test_page.py").write_text("\n\n".join(tests))
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags" / "oac_nightly_backup.py", tmp_path / "dags")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )

    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "3 passed" in run.stdout
