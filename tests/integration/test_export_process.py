"""An export in a process of its own: how much memory it takes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections

LARGE = 96 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


def test_96_mib_pass_through_a_task_in_less_than_40_mib(
    connections: Connections, clean: Simulator, tmp_path: Path
) -> None:
    connections.oac(user=AUTHOR)
    clean.control.settings(export_size=LARGE)
    target = tmp_path / "large.pdf"
    command = [sys.executable, "-m", "tests.integration.exporting_task", f"file://{target}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        above, result = json.loads(done.stdout.splitlines()[-1])
        assert target.stat().st_size == result["size"] == LARGE
        with target.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == result["sha256"]
        assert above < 40
    finally:
        target.unlink(missing_ok=True)
