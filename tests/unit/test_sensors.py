"""What a sensor does before it defers."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACKilledError
from airflow_provider_oac.sensors.snapshots import OACSnapshotSensor


def test_a_poll_that_fails_before_the_deferral_is_logged_and_its_error_is_raised(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = OACSnapshotSensor(
        task_id="wait", snapshot_name="x", oac_conn_id="oac_nowhere", deferrable=True, poke_interval=0.01, timeout=0.1
    )
    with caplog.at_level(logging.INFO), pytest.raises(Exception, match="oac_nowhere"):
        sensor.execute({})
    said = "".join([caplog.text, *capsys.readouterr()])
    assert "The first poll failed, so this sensor polls in the worker" in said


class Stopped(OACSnapshotSensor):
    def trigger(self, deadline: float) -> Any:
        raise OACKilledError("stop")


def test_one_that_is_told_to_stop_does_not_poll_again() -> None:
    with pytest.raises(OACKilledError):
        Stopped(task_id="wait", snapshot_name="x", oac_conn_id="oac_nowhere", deferrable=True).execute({})
