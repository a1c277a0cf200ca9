"""What Airflow's metrics are told."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac import _compat
from airflow_provider_oac.exceptions import OACWaitTimeoutError
from oac_simulator.launch import Simulator
from tests.integration.test_operators_runs_once import make
from tests.tasks import Connections, Task

stats = pytest.importorskip("airflow.sdk.observability.stats", reason="set up otherwise before Airflow 3.3")


@pytest.fixture
def counted() -> Iterator[Counter[str]]:
    """Names of counters and what they show."""
    if not hasattr(stats, "initialize"):
        pytest.skip("set up otherwise before Airflow 3.3")
    found: Counter[str] = Counter()
    nowhere = import_module("airflow.sdk._shared.observability.metrics.base_stats_logger").NoStatsLogger

    class Backend(nowhere):  # type: ignore[misc]
        @staticmethod
        def incr(name: str, **_: Any) -> None:
            found[name] += 1

    stats.initialize(factory=Backend, export_legacy_names=False)
    yield found
    stats.initialize(factory=nowhere, export_legacy_names=False)


def test_a_wait_that_times_out_and_the_retry_that_reattaches_are_counted(
    connections: Connections, clean: Simulator, counted: Counter[str]
) -> None:
    clean.control.settings(work_seconds=2.0)
    timeout = 0.2
    task = Task(lambda: make(deferrable=False, timeout=timeout))
    with pytest.raises(OACWaitTimeoutError):
        task.attempt()
    assert counted.pop("oac.polls") >= 1
    assert counted == {"oac.token_calls": 1, "oac.waits.timed_out": 1}
    timeout = 60.0
    task.attempt()
    assert counted["oac.reattached"] == counted["oac.waits.succeeded"] == 1


def test_the_triggerer_counts_by_its_own_copy_of_airflows_module(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test may have imported it.
    monkeypatch.delitem(sys.modules, "airflow.jobs.triggerer_job_runner", raising=False)
    for in_triggerer in (False, True):
        if in_triggerer:
            monkeypatch.setitem(sys.modules, "airflow.jobs.triggerer_job_runner", SimpleNamespace())
        _compat._metrics.cache_clear()
        assert (".sdk." in _compat._metrics().incr.__module__) is not in_triggerer
    _compat._metrics.cache_clear()
