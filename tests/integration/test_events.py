"""Asset events of snapshots and exports, in every mode, and what OpenLineage is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_provider_oac._compat import Asset, AssetAlias
from airflow_provider_oac.assets import convert_asset_to_openlineage, openlineage_dataset, sanitize_uri
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator
from oac_simulator.launch import Simulator
from tests.tasks import Task, backup_operator

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2.11
    from airflow.utils.context import OutletEventAccessors

BOARD = "/@Catalog/shared/Sales/Pipeline"
ASSET, ALIAS = Asset("oac://dev.example.com/snapshots/nightly"), AssetAlias("all")

pytestmark = pytest.mark.usefixtures("connections", "openlineage")


class EventfulTask(Task):
    """A task whose outlets' events can be looked at."""

    def __init__(self, make: Callable[..., Any], **arguments: Any) -> None:
        self.operator: Any = None
        self.arguments = {"outlets": [ASSET, ALIAS], **arguments}

        def kept() -> Any:
            self.operator = make(**self.arguments)
            return self.operator

        super().__init__(kept)
        self.events: Any = None

    def context(self, task_id: str = "a_task") -> dict[str, Any]:
        # A resumption is a new process, and has new accessors.
        self.events = OutletEventAccessors()
        return {**super().context(task_id), "outlet_events": self.events}

    @property
    def of_alias(self) -> list[tuple[str, dict[str, Any]]]:
        """URIs and extras of the events that the alias got."""
        accessor = self.events[ALIAS]
        if hasattr(accessor, "asset_alias_events"):
            return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
        return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]

    @property
    def lineage(self) -> list[tuple[str, str]]:
        """Namespaces and names of what was read and written."""
        found = self.operator.get_openlineage_facets_on_complete(self.ti)
        return [(item.namespace, item.name) for item in (*found.inputs, *found.outputs)]


def export(**changes: Any) -> OACExportWorkbookOperator:
    return OACExportWorkbookOperator(task_id="export", workbook_path=BOARD, poll_interval=0.05, **changes)


@pytest.fixture
def host(clean: Simulator) -> str:
    """Host of the instance."""
    return urlsplit(clean.ready["instances"]["dev"]["url"]).netloc


def test_a_snapshot(host: str, deferrable: bool) -> None:
    task = EventfulTask(backup_operator, deferrable=deferrable)
    result = task.attempt()
    assert result["work_request_id"]
    assert task.events[ASSET].extra == result
    assert task.of_alias == [(f"oac://{host}/snapshots/nightly", result)]
    file = ("oci://oac-backups", result["bar_uri"].removeprefix("file:///"))
    assert task.lineage == [(f"oac://{host}", "snapshots/nightly"), file]


@pytest.mark.parametrize("name", ["a b", "Report #1", "Why? 2", "100% of it", "a%20b"])
def test_an_export_whatever_the_name_of_its_file(host: str, tmp_path: Path, deferrable: bool, name: str) -> None:
    task = EventfulTask(export, destination=f"file://{tmp_path}/{name}.pdf", deferrable=deferrable)
    made = task.attempt()
    extra = {name: made[name] for name in ("size", "sha256", "format", "work_request_ids")}
    assert task.events[ASSET].extra == {**extra, "workbook": f"oac://{host}/catalog/shared/Sales/Pipeline"}
    ((uri, told),) = task.of_alias
    assert (uri.endswith(f"/{quote(name)}.pdf"), told["sha256"]) == (True, made["sha256"])
    assert task.lineage == [(f"oac://{host}", "catalog/shared/Sales/Pipeline"), ("file", f"{tmp_path}/{name}.pdf")]


def test_several_files_are_one_event_of_an_asset_and_several_of_an_alias(tmp_path: Path) -> None:
    two = [BOARD, {"workbook_path": BOARD, "name": "again"}]
    arguments = {"task_id": "exports", "destination": f"file://{tmp_path}", "poll_interval": 0.05}
    task = EventfulTask(OACExportWorkbooksOperator, workbooks=two, **arguments)
    made = task.attempt()
    told = task.events[ASSET].extra["files"]
    assert [file["sha256"] for file in told] == [file["sha256"] for file in made["files"]]
    assert [uri for uri, _ in task.of_alias] == [file["uri"] for file in told]


def test_the_asset_of_a_snapshot_is_the_series_that_was_submitted() -> None:
    task = EventfulTask(backup_operator, snapshot_label="before", deferrable=True)
    task.start()
    task.arguments["snapshot_label"] = "after"
    task.execute_complete({"outcome": "ended", "message": "", "carried": task.deferred.trigger.carried})  # type: ignore[union-attr]
    ((uri, _),) = task.of_alias
    assert uri.endswith("/snapshots/before")


def test_a_failed_task_tells_nothing(clean: Simulator) -> None:
    clean.control.fault("POST /snapshots", "fail_work")
    task = EventfulTask(backup_operator)
    with pytest.raises(Exception, match="ended FAILED"):
        task.attempt()
    assert len(task.events) == 0
    assert task.operator.get_openlineage_facets_on_complete(None) is None


def test_airflow_knows_the_scheme() -> None:
    assert Asset("oac://OAC.example.com/catalog/shared/Sales/").uri == "oac://oac.example.com/catalog/shared/Sales"
    for given in ("oac:///snapshots/nightly", "oac://oac.example.com/"):
        with pytest.raises(ValueError, match="An oac:// URI names"):
            sanitize_uri(urlsplit(given))


def test_an_asset_has_a_name_in_openlineage() -> None:
    for found, named in (
        (convert_asset_to_openlineage(ASSET), ("oac://dev.example.com", "snapshots/nightly")),
        (openlineage_dataset("s3://aws_default@reports/Report%20%231.pdf"), ("s3://reports", "Report #1.pdf")),
    ):
        assert (found.namespace, found.name) == named
