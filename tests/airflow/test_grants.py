"""The nightly backup by every grant, in a real Airflow whose tasks and triggers share their tokens in Redis."""

from __future__ import annotations

import re
import subprocess

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.stack import AirflowStack


def log_in(stack: AirflowStack, simulator: Simulator) -> None:
    """Sign a person in with our command, which shows a code."""
    python = str(stack.venv / "bin" / "python")
    command = [python, "-m", "airflow_provider_oac", "login", "--oac-conn-id", "oac_device_code"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=stack.env, text=True, **pipes) as login:
        assert login.stderr is not None
        code = next(found[1] for line in login.stderr if (found := re.search(r"enter the code +(\w+)", line)))
        simulator.control.approve_device(code, user="oac.federated@example.com")
        said, complained = login.communicate(timeout=120)
    assert (login.returncode, "as oac.federated@example.com" in said) == (0, True), complained


@pytest.mark.parametrize(
    ("grant", "sent"),
    [
        ("jwt_assertion", "jwt-bearer"), ("password", "password"), ("refresh_token", "refresh_token"),
        ("device_code", "refresh_token"),
    ],
)  # fmt: skip
def test_tasks_and_triggers_share_tokens(stack: AirflowStack, simulator: Simulator, grant: str, sent: str) -> None:
    dag_id, label = f"nightly_by_{grant}", f"by-{grant.replace('_', '-')}"
    if grant == "device_code":
        log_in(stack, simulator)
    for number in (1, 2):
        simulator.control.end_tokens()
        asked = simulator.control.grants(sent)
        result = stack.xcom(dag_id, ran(stack, dag_id), "backup")
        assert result["verified"] is True
        assert result["name"] in taken(simulator, label)
        assert len(taken(simulator, label)) == number
        # Three tasks and a trigger, each in its own process; the tokens live for 100 s. A refresh token is used up.
        assert 1 <= simulator.control.grants(sent) - asked <= 2
