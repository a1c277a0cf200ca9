"""Finding a Chromium to test with, and installing Debian's where that is possible. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


class NoChromium(RuntimeError):
    """There is none, and it cannot be installed; the message says why and what to do."""


def installed() -> str | None:
    """The path of the program, if there is one on PATH."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def chromium() -> str:
    """The path of the program; as root on Debian it is installed if need be.

    Raises NoChromium.
    """
    if found := installed():
        return found
    advice = "Install it (on Debian: apt-get install chromium), or run `make test-browser` as root."
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoChromium(f"The browser tests need Chromium, and there is none on PATH. {advice}")
    print("[setup] installing the Debian package chromium", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-yq", "--no-install-recommends", "chromium"],
    ):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            said = f"{done.stdout[-1000:]}\n{done.stderr[-1000:]}"
            raise NoChromium(f"Chromium cannot be installed. {advice} `{' '.join(command)}` failed:\n{said}")
    if found := installed():
        return found
    raise NoChromium(f"The package chromium brought no program {NAMES[0]}. {advice}")
