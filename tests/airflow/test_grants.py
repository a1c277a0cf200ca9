"""The nightly backup by every grant, in a real Airflow whose tasks and triggers share their tokens in Redis."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.stack import AirflowStack


def backed_up(stack: AirflowStack, simulator: Simulator, grant: str) -> None:
    """Run the nightly backup with the Connection of a grant and check that it made what it says."""
    before = taken(simulator, f"by-{grant.replace('_', '-')}")
    run_id = ran(stack, f"nightly_by_{grant}")
    result = stack.xcom(f"nightly_by_{grant}", run_id, "backup")
    assert result["verified"] is True
    assert [name for name in taken(simulator, f"by-{grant.replace('_', '-')}") if name not in before] == [
        result["name"]
    ]


def test_by_a_refresh_token_that_each_renewal_uses_up(stack: AirflowStack, simulator: Simulator) -> None:
    renewals = simulator.control.grants("refresh_token")
    backed_up(stack, simulator, "refresh_token")
    simulator.control.end_tokens()
    backed_up(stack, simulator, "refresh_token")
    # Every task and trigger is a process of its own, and all of them used one chain.
    assert 2 <= simulator.control.grants("refresh_token") - renewals <= 4


def test_by_a_device_code_after_somebody_has_signed_in(stack: AirflowStack, simulator: Simulator) -> None:
    command = [
        str(stack.venv / "bin" / "python"),
        "-m",
        "airflow_provider_oac",
        "login",
        "--oac-conn-id",
        "oac_device_code",
    ]
    login = subprocess.Popen(
        command, env=stack.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert login.stderr is not None
    shown = ""
    until = time.monotonic() + 120
    while not (code := re.search(r"enter the code +(\w+)", shown)):
        assert login.poll() is None, shown
        assert time.monotonic() < until, shown
        shown += login.stderr.readline()
    simulator.control.approve_device(code[1], user="oac.federated@example.com")
    said, complained = login.communicate(timeout=120)
    assert login.returncode == 0, complained
    assert "as oac.federated@example.com" in said
    backed_up(stack, simulator, "device_code")


@pytest.mark.parametrize("grant", ["password", "jwt_assertion"])
def test_by_a_credential_whose_tokens_are_shared(stack: AirflowStack, simulator: Simulator, grant: str) -> None:
    backed_up(stack, simulator, grant)
    signed_in = simulator.control.grants("jwt-bearer" if grant == "jwt_assertion" else grant)
    backed_up(stack, simulator, grant)
    # Three tasks and a trigger, each a process of its own; the tokens live for 100 s.
    assert simulator.control.grants("jwt-bearer" if grant == "jwt_assertion" else grant) - signed_in <= 2


def test_no_token_stands_in_a_log(stack: AirflowStack) -> None:
    assert not [path for path, text in stack.all_logs() if re.search(r"eyJ[\w-]{20,}|AgAg\+", text)]
