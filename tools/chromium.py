"""Find a Chromium for tests, or install Debian's. Standard library only."""

from __future__ import annotations

import shutil

from tools import debian

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def installed() -> str | None:
    """Return the path of the program if it is on PATH."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def chromium() -> str:
    """Return the path of the program; as root on Debian, install it if necessary.

    Raises debian.NotInstalled.
    """
    return debian.found(installed, "chromium", "A test with a browser")
