"""Leak detection for long-lived processes: samples from /proc, and a check of their trend."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

#: Growth after the warm-up that does not count as a leak: memory settles slowly, and open files vary.
BOUNDS: Mapping[str, float] = {"sockets": 6, "descriptors": 8, "threads": 4, "MiB": 24, "files": 6}
#: Fraction of the samples that is the warm-up.
WARM_UP = 0.4


@dataclass(frozen=True)
class Growth:
    """The growth of one number after the warm-up.

    :param before: median of the first third of the samples.
    :param after: median of the last third.
    :param bound: maximum allowed growth.
    """

    name: str
    before: float
    after: float
    bound: float

    @property
    def is_leak(self) -> bool:
        """Whether the growth exceeds the bound."""
        return self.after - self.before > self.bound


def sample(pid: int, folders: Sequence[Path] = ()) -> dict[str, float]:
    """Sample the resources that a process holds now.

    :param pid: process ID.
    :param folders: folders of its lock files and temporary files.
    :raises OSError: if the process does not exist or has just ended.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if "VmRSS" not in status:
        raise ProcessLookupError(f"process {pid} has ended")
    links = []
    for link in os.listdir(f"/proc/{pid}/fd"):
        # It may have just been closed.
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/{pid}/fd/{link}"))
    return {
        "sockets": sum(link.startswith("socket:") for link in links),
        "descriptors": len(links),
        "threads": int(status["Threads"]),
        "MiB": int(status["VmRSS"].split()[0]) / 1024,
        "files": sum(len(files) for folder in folders for _, _, files in os.walk(folder)),
    }


def judged(samples: Sequence[Mapping[str, float]], bounds: Mapping[str, float] = BOUNDS) -> list[Growth]:
    """Return the growth of each number.

    :raises ValueError: if there are too few samples.
    """
    settled = samples[int(len(samples) * WARM_UP) :]
    third = len(settled) // 3
    if third < 3:
        raise ValueError(f"{len(samples)} samples are too few to tell a trend")
    return [
        Growth(name, median(one[name] for one in settled[:third]), median(one[name] for one in settled[-third:]), bound)
        for name, bound in bounds.items()
    ]
