"""What the tests of registering and restoring share: a backup of `dev`, registered in `prod`, to be restored there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import OACRegisterSnapshotOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, backup_operator

POST, LOOK = "POST /snapshots", "GET /workRequests/{id}"
RESTORE, SYSTEM = "POST /system/actions/restoreSnapshot", "GET /system"


def host(connections: Connections, instance: str = "prod") -> str:
    """Host and port of a simulated instance."""
    return str(connections.ready["instances"][instance]["url"]).partition("://")[2]


def register_operator(snapshot: dict[str, Any] | None = None, **changes: Any) -> OACRegisterSnapshotOperator:
    """A registration in `prod` that looks often."""
    arguments: dict[str, Any] = {
        "task_id": "register",
        "oac_conn_id": "oac_prod",
        "snapshot": snapshot,
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return OACRegisterSnapshotOperator(**{**arguments, **changes})


def restore_operator(connections: Connections, snapshot: Any, **changes: Any) -> OACRestoreSnapshotOperator:
    """A restore into `prod` that looks often."""
    arguments: dict[str, Any] = {
        "task_id": "restore",
        "oac_conn_id": "oac_prod",
        "expected_host": host(connections),
        "snapshot": snapshot,
        "safety_bucket": "oac-backups",
        "safety_seal_conn_id": "oac_seal",
        "poll_interval": 0.05,
        "confirmation_timeout": 0.4,
    }
    return OACRestoreSnapshotOperator(**{**arguments, **changes})


def registered(connections: Connections, **changes: Any) -> dict[str, Any]:
    """Back up `dev` and register that in `prod` (Connection `oac_prod`); the result of the registration."""
    connections.oac("oac_prod", "prod")
    backup = Task(lambda: backup_operator(**changes)).attempt()
    found: dict[str, Any] = Task(lambda: register_operator(backup)).attempt()
    return found


def restoring(
    connections: Connections, snapshot: Any, store: bool = True, run_type: str = "manual", **changes: Any
) -> tuple[Task, Callable[..., None]]:
    """A task that restores, and what changes its operator's arguments from now on."""
    arguments = {"snapshot": snapshot, **changes}
    task = Task(lambda: restore_operator(connections, **arguments), store=store, run_type=run_type)
    return task, arguments.update


def restores(simulator: Simulator, instance: str = "prod") -> int:
    """How often a restore was sent to an instance."""
    return simulator.control.calls(instance, RESTORE)


def safety_snapshots(simulator: Simulator, instance: str = "prod") -> list[str]:
    """Names of the safety snapshots of an instance."""
    return [
        item["name"] for item in simulator.control.snapshots(instance) if item["name"].startswith("before-restore--")
    ]
