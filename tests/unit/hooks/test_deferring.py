"""What decides whether a sensor defers."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_oac.exceptions import OACKilledError
from airflow_provider_oac.hooks.deferring import needs_no_trigger


def failing(error: BaseException) -> Any:
    def watch() -> Any:
        raise error

    return watch


def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert needs_no_trigger("oac_prod", failing(LookupError("no such thing")))
    assert "Connection 'oac_prod': the first poll failed" in caplog.text
    assert "LookupError: no such thing" in caplog.text


def test_a_task_that_is_told_to_stop_stops() -> None:
    with pytest.raises(OACKilledError):
        needs_no_trigger("oac_prod", failing(OACKilledError("stop")))
