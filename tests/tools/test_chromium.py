"""A machine without Chromium is told what to do; nothing is installed without the right to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.chromium import chromium
from tools.debian import NotInstalled


def test_without_chromium_and_without_root_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotInstalled, match="apt-get install chromium"):
        chromium()


def test_the_one_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium() == str(program)
