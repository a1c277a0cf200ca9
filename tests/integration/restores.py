"""What the tests of registering and restoring share: a backup of `dev`, registered in `prod`, to be restored there."""

from __future__ import annotations

from typing import Any

from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.snapshots import OACRegisterSnapshotOperator
from tests.tasks import Connections, Task, backup_operator

# What a task made, as its result tells it.
Made = dict[str, Any]
QUICK: dict[str, Any] = {"oac_conn_id": "oac_prod", "poll_interval": 0.05, "confirmation_timeout": 0.4}


def host(conn_id: str = "oac_prod") -> str:
    """Host and port of the instance of a Connection."""
    return OACHook(conn_id).settings.address.partition("://")[2]


def register(snapshot: Made | None = None, **changes: Any) -> Task:
    """A task that registers in `prod`, and looks often."""
    arguments = {"task_id": "register", "snapshot": snapshot, **QUICK, **changes}
    return Task(lambda: OACRegisterSnapshotOperator(**arguments))


def registered(connections: Connections, **changes: Any) -> Made:
    """Back up `dev` and register that in `prod` (Connection `oac_prod`); the result of the registration."""
    connections.oac("oac_prod", "prod")
    backup = Task(lambda: backup_operator(**changes)).attempt()
    found: Made = register(backup).attempt()
    return found
