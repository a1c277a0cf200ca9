"""What the tests in a real Airflow do again and again."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from oac_simulator.launch import Simulator
from tools.stack import AirflowStack


def taken(simulator: Simulator, label: str, instance: str = "dev") -> list[str]:
    """Names of the snapshots of a series that the simulated OAC made, whatever became of them."""
    return [item["name"] for item in simulator.control.snapshots(instance) if item["name"].startswith(f"{label}--")]


def over(stack: AirflowStack, dag_id: str, run_id: str, state: str = "success", timeout: float = 240) -> str:
    """Wait for the end of a run and check how it ended; returns its id."""
    assert stack.wait_run(dag_id, run_id, timeout=timeout) == state, stack.report(dag_id, run_id)
    return run_id


def ran(stack: AirflowStack, dag_id: str, **conf: Any) -> str:
    """Trigger a run, wait for its end, which must be a success; returns the run id."""
    return over(stack, dag_id, stack.trigger(dag_id, conf))


def local(result: Any) -> Path:
    """The file that a task's result names."""
    return Path(result["path"].removeprefix("file://"))


def with_passphrase(connection: dict[str, Any]) -> dict[str, Any]:
    """The same Connection, its key protected by a passphrase."""
    extra = connection["extra"]
    passphrase = f"Pass+{secrets.token_hex(8)}/=&"
    key = load_pem_private_key(extra["private_key"].encode(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    changed = {"private_key": pem.decode(), "private_key_passphrase": passphrase}
    return {**connection, "extra": {**extra, **changed}}
