"""The nightly backup by several grants, in a real Airflow whose tasks and triggers share their tokens in Redis."""

from __future__ import annotations

import pytest

from oac_simulator.launch import Simulator
from tests.airflow.scenario import ran, taken
from tools.stack import AirflowStack


@pytest.mark.parametrize(
    ("grant", "sent"),
    [("jwt_assertion", "jwt-bearer"), ("password", "password"), ("refresh_token", "refresh_token")],
)
def test_tasks_and_triggers_share_tokens(stack: AirflowStack, simulator: Simulator, grant: str, sent: str) -> None:
    dag_id, label = f"nightly_by_{grant}", f"by-{grant.replace('_', '-')}"
    for number in (1, 2):
        simulator.control.end_tokens()
        asked = simulator.control.grants(sent)
        result = stack.xcom(dag_id, ran(stack, dag_id), "backup")
        assert result["verified"] is True
        assert result["name"] in taken(simulator, label)
        assert len(taken(simulator, label)) == number
        # Three tasks and a trigger, each a process of its own; the tokens live for 100 s. A refresh token is used up.
        assert 1 <= simulator.control.grants(sent) - asked <= 2
