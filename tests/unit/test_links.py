"""The links. That Airflow shows it is tested in a real Airflow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_oac import links
from airflow_provider_oac.links import OACInstanceLink, OACWorkbookLink, OACWorkRequestLink, workbook_url
from airflow_provider_oac.operators.api import OACApiOperator
from airflow_provider_oac.operators.base import OACBaseOperator, OACWorkOperator
from airflow_provider_oac.operators.export_base import ExportingOperator
from airflow_provider_oac.operators.snapshots import OACDeleteSnapshotOperator
from airflow_provider_oac.provider_info import get_provider_info


@pytest.mark.parametrize(("pushed", "link"), [("https://oac/ui/", "https://oac/ui/"), (None, ""), ("", "")])
def test_it_is_what_the_operator_pushed(monkeypatch: pytest.MonkeyPatch, pushed: str | None, link: str) -> None:
    asked: list[tuple[Any, str]] = []

    def xcom_value(ti_key: Any, key: str) -> Any:
        asked.append((ti_key, key))
        return pushed

    monkeypatch.setattr(links, "xcom_value", xcom_value)
    # Neither operator nor Connection are there where Airflow's web server asks.
    assert OACInstanceLink().get_link(None, ti_key="a task instance") == link
    assert asked == [("a task instance", "oac_instance_url")]


def test_every_operator_has_those_that_lead_somewhere() -> None:
    instance, work, workbook = OACInstanceLink, OACWorkRequestLink, OACWorkbookLink
    call, waits = (OACApiOperator(task_id="x", call="x", wait_for_completion=waits) for waits in (False, True))
    for owner, links_of_it in (
        (OACBaseOperator, [instance]),
        (OACWorkOperator, [instance, work]),
        (ExportingOperator, [instance, work, workbook]),
        (call, [instance]),
        (waits, [instance, work]),
    ):
        assert [type(link) for link in owner.operator_extra_links] == links_of_it
    # Airflow 2 shows only what is named there.
    named = [f"{kind.__module__}.{kind.__name__}" for kind in (instance, work, workbook)]
    assert get_provider_info()["extra-links"] == named


def test_at_its_end_a_task_neither_looks_up_nor_pushes_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow 3 does at the end of each try: it pushes what the links of the operator return."""
    task_runner = pytest.importorskip("airflow.sdk.execution_time.task_runner")
    import structlog
    from airflow.sdk import TaskInstanceState

    asked: list[Any] = []
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=asked.append), raising=False)
    operator = OACDeleteSnapshotOperator(task_id="delete", snapshot_id="1")
    assert operator.operator_extra_links, "Airflow finds them when it parses the DAG"
    operator.pre_execute({})
    of = {"dag_id": "a_dag", "run_id": "a_run", "task_id": "delete", "map_index": -1}
    ti = SimpleNamespace(task=operator, start_date=None, end_date=None, **of)
    task_runner.finalize(ti, TaskInstanceState.SUCCESS, {}, structlog.get_logger())
    assert asked == []


@pytest.mark.parametrize("path", ["/@Catalog/shared/All Regions", "/shared/All Regions"])
def test_a_workbook_is_named_as_people_share_it(path: str) -> None:
    assert workbook_url("https://oac", path) == (
        "https://oac/ui/dv/?pageid=visualAnalyzer&reportmode=full&reportpath=%2F%40Catalog%2Fshared%2FAll%20Regions"
    )
