"""Finding a Chromium to test with, and installing Debian's where that is possible. Standard library only."""

from __future__ import annotations

import shutil

from tools import debian

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def installed() -> str | None:
    """The path of the program, if there is one on PATH."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def chromium() -> str:
    """The path of the program; as root on Debian it is installed if need be.

    Raises debian.NotInstalled.
    """
    return debian.found(installed, "chromium", "A test with a browser")
