"""Install Debian packages. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInstalled(RuntimeError):
    """A required program is missing and cannot be installed; the message gives the reason and the next step."""


def install(package: str, purpose: str) -> None:
    """Install a package, as root on Debian.

    :param purpose: the purpose of the program, for the message.

    Raises NotInstalled.
    """
    advice = f"{purpose} needs the Debian package {package} or the same program from elsewhere."
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstalled(f"{advice} It can be installed by root on Debian only: apt-get install {package}")
    print(f"[setup] installing the Debian package {package}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-yq", "--no-install-recommends", package],
    ):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            said = f"{done.stdout[-1000:]}\n{done.stderr[-1000:]}"
            raise NotInstalled(f"{advice} `{' '.join(command)}` failed:\n{said}")


def found(find: Callable[[], T | None], package: str, purpose: str) -> T:
    """Return the result of `find`, after installing its package if necessary.

    Raises NotInstalled.
    """
    if (there := find()) is not None:
        return there
    install(package, purpose)
    if (there := find()) is not None:
        return there
    raise NotInstalled(f"The Debian package {package} did not bring what {purpose[0].lower()}{purpose[1:]} needs.")
