"""Exports in processes of their own: how much memory they take."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections

LARGE = 96 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


def outcome(mode: str, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.integration.exporting_task", mode, url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("mode", ["blocking", "asynchronous"])
def test_96_mib_pass_through_a_task_in_less_than_40_mib(
    connections: Connections, clean: Simulator, tmp_path: Path, mode: str
) -> None:
    connections.oac(user=AUTHOR)
    clean.control.settings(export_size=LARGE)
    target = tmp_path / "large.pdf"
    try:
        idle = outcome("idle", f"file://{target}")["peak_kib"]
        export = outcome(mode, f"file://{target}")
        above = (export["peak_kib"] - idle) / 1024
        print(f"{mode}: idle {idle / 1024:.1f} MiB, {above:.1f} MiB above it for {export['result']['size']} bytes")
        assert target.stat().st_size == export["result"]["size"] == LARGE
        with target.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == export["result"]["sha256"]
        assert above < 40
    finally:
        target.unlink(missing_ok=True)
