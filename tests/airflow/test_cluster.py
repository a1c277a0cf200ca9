"""The services of docker-compose.yml, started without containers: what only several workers and triggerers can show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.cluster import Cluster

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("service", ["api-server", "scheduler", "dag-processor", "triggerer"])
def test_the_health_checks_find_their_services_well(stack: Cluster, service: str) -> None:
    stack.health_check(service)


def test_both_workers_work_with_one_token(stack: Cluster, simulator: Simulator) -> None:
    """The nightly backup by a refresh token that lies in Redis: each renewal uses it up, whichever worker asks."""
    assert stack.workers() == ["worker-1", "worker-2"]
    for _ in range(3):
        ran(stack, "nightly_by_refresh_token")
    busy = Counter(name for name in ("worker-1", "worker-2") if "succeeded in" in stack.process_log(name).read_text())
    assert set(busy) == {"worker-1", "worker-2"}


def test_connections_of_the_database_as_the_demo_stores_them(stack: Cluster, simulator: Simulator) -> None:
    stack.store_connections(Path(simulator.state / "ready.json"))
    stored = {row["conn_id"]: row for row in stack._rows("SELECT conn_id, is_encrypted, password FROM connection")}
    assert {"oac_default", "oac_seal", "oac_prod"} <= set(stored)
    assert stored["oac_default"]["is_encrypted"]


def test_another_triggerer_takes_over(stack: Cluster, simulator: Simulator) -> None:
    dag_id = "case_oaccreatesnapshotoperator_deferred"
    before = taken(simulator, "oaccreatesnapshotoperator-deferred")
    simulator.control.settings(work_seconds=45.0)
    # While it is alone, the first triggerer gets the trigger for certain.
    stack.kill_component("triggerer-2")
    run_id = stack.trigger(dag_id)
    stack.wait_task_state(dag_id, run_id, "backup", "deferred")
    stack.start_component("triggerer-2")
    stack.wait_ready()
    stack.kill_component("triggerer-1")
    simulator.control.settings(work_seconds=5.0)
    assert stack.wait_run(dag_id, run_id, timeout=240) == "success", stack.report(dag_id, run_id)
    result = stack.xcom(dag_id, run_id, "backup")
    new = [name for name in taken(simulator, "oaccreatesnapshotoperator-deferred") if name not in before]
    assert new == [result["name"]]
    assert result["verified"] is True
    stack.start_component("triggerer-1")
