"""What the tests of registering and restoring share: a backup of `dev`, registered in `prod`, to be restored there."""

from __future__ import annotations

from typing import Any

from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.restore import OACRestoreSnapshotOperator
from airflow_provider_oac.operators.snapshots import OACRegisterSnapshotOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, backup_operator

POST, LOOK = "POST /snapshots", "GET /workRequests/{id}"
RESTORE, SYSTEM = "POST /system/actions/restoreSnapshot", "GET /system"
QUICK: dict[str, Any] = {"oac_conn_id": "oac_prod", "poll_interval": 0.05, "confirmation_timeout": 0.4}


def host(conn_id: str = "oac_prod") -> str:
    """Host and port of the instance of a Connection."""
    return OACHook(conn_id).settings.address.partition("://")[2]


def register(snapshot: dict[str, Any] | None = None, **changes: Any) -> Task:
    """A task that registers in `prod`, and looks often."""
    arguments = {"task_id": "register", "snapshot": snapshot, **QUICK, **changes}
    return Task(lambda: OACRegisterSnapshotOperator(**arguments))


def registered(connections: Connections, **changes: Any) -> dict[str, Any]:
    """Back up `dev` and register that in `prod` (Connection `oac_prod`); the result of the registration."""
    connections.oac("oac_prod", "prod")
    backup = Task(lambda: backup_operator(**changes)).attempt()
    found: dict[str, Any] = register(backup).attempt()
    return found


class RestoreTask(Task):
    """A task that restores into `prod`, and looks often.

    :param arguments: of its operator; `arguments` may be changed between two tries.
    """

    def __init__(
        self, snapshot: Any, *, store: bool = True, run_type: str = "manual", run_id: str = "a_run", **arguments: Any
    ) -> None:
        safety = {"safety_bucket": "oac-backups", "safety_seal_conn_id": "oac_seal"}
        self.arguments = {**QUICK, **safety, "snapshot": snapshot, "expected_host": host(), **arguments}
        super().__init__(
            lambda: OACRestoreSnapshotOperator(task_id="restore", **self.arguments),
            store=store, run_type=run_type, run_id=run_id,
        )  # fmt: skip


def restores(simulator: Simulator, instance: str = "prod") -> int:
    """How often a restore was sent to an instance."""
    return simulator.control.calls(instance, RESTORE)


def safety_snapshots(simulator: Simulator, instance: str = "prod") -> list[str]:
    """Names of the safety snapshots of an instance."""
    names = [item["name"] for item in simulator.control.snapshots(instance)]
    return [name for name in names if name.startswith("before-restore--")]
