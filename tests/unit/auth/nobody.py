"""A user without any rights, and a folder that this user can get to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[int]:
    """For the duration of a `with` block, root has no rights: it may read everything otherwise. Give the user's id."""
    user = os.geteuid()
    os.seteuid(user or NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(user)


@pytest.fixture(name="anybodys")
def folder_of_anybody() -> Iterator[Path]:
    """A folder that everybody can get to, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="oac-store-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
