"""Event counters, which the hooks connect to Airflow's metrics; without hooks, nothing is counted."""

from __future__ import annotations

from collections.abc import Callable


def _nowhere(_name: str) -> None:
    pass


receiver: Callable[[str], None] = _nowhere


def count(name: str) -> None:
    """Count one event.

    :param name: name of the counter, without the prefix ``oac.``.
    """
    receiver(f"oac.{name}")
