"""Asset events of snapshots and exports, in every mode, and what OpenLineage is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_provider_oac._compat import Asset, AssetAlias
from airflow_provider_oac.assets import catalog_uri, convert_asset_to_openlineage, openlineage_dataset
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator
from oac_simulator.launch import Simulator
from tests.tasks import Connections, Task, backup_operator

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # Airflow 2.11
    from airflow.utils.context import OutletEventAccessors

BOARD = "/@Catalog/shared/Sales/Pipeline"
MODES = pytest.mark.parametrize("deferrable", [False, True])


class EventfulTask(Task):
    """A task whose outlets' events can be looked at."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.made: list[Any] = []

        def kept() -> Any:
            self.made.append(make())
            return self.made[-1]

        super().__init__(kept)
        self.events: Any = None

    def context(self, task_id: str = "a_task") -> dict[str, Any]:
        # A resumption is a new process, and has new accessors.
        self.events = OutletEventAccessors()
        return {**super().context(task_id), "outlet_events": self.events}


def of_alias(accessor: Any) -> list[tuple[str, dict[str, Any]]]:
    """URIs and extras of the events that an alias got."""
    if hasattr(accessor, "asset_alias_events"):
        return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
    return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]


@MODES
def test_a_snapshot(connections: Connections, clean: Simulator, deferrable: bool) -> None:
    connections.oac()
    connections.seal()
    series, alias = Asset("oac://dev.example.com/snapshots/nightly"), AssetAlias("backups")
    task = EventfulTask(lambda: backup_operator(deferrable=deferrable, outlets=[series, alias]))
    result = task.attempt()
    assert task.events[series].extra == result
    assert result["work_request_id"]
    host = urlsplit(connections.ready["instances"]["dev"]["url"]).netloc
    assert of_alias(task.events[alias]) == [(f"oac://{host}/snapshots/nightly", result)]


@pytest.mark.usefixtures("openlineage")
@pytest.mark.parametrize("name", ["Report #1", "Why? 2", "100% of it", "a%20b"])
def test_each_file_name_is_an_asset_of_its_own(connections: Connections, tmp_path: Path, name: str) -> None:
    connections.oac()
    alias = AssetAlias("reports")
    task = EventfulTask(
        lambda: OACExportWorkbookOperator(
            task_id="export", workbook_path=BOARD, destination=f"file://{tmp_path}/{name}.pdf", poll_interval=0.05,
            outlets=[alias],
        )
    )  # fmt: skip
    task.attempt()
    ((uri, _),) = of_alias(task.events[alias])
    assert uri.endswith(f"/{quote(name)}.pdf")
    (made,) = task.made[-1]._reported
    assert named([openlineage_dataset(made.flow[1])]) == [("file", f"{tmp_path}/{name}.pdf")]


@MODES
def test_an_export(connections: Connections, tmp_path: Path, deferrable: bool) -> None:
    connections.oac()
    report, alias = Asset("file://localhost/reports"), AssetAlias("reports")

    def export() -> OACExportWorkbookOperator:
        return OACExportWorkbookOperator(
            task_id="export", workbook_path=BOARD, destination=f"file://{tmp_path}/a b.pdf", poll_interval=0.05,
            deferrable=deferrable, outlets=[report, alias],
        )  # fmt: skip

    task = EventfulTask(export)
    made = task.attempt()
    address = connections.ready["instances"]["dev"]["url"]
    extra = {name: made[name] for name in ("size", "sha256", "format", "work_request_ids")}
    assert task.events[report].extra == {**extra, "workbook": catalog_uri(address, BOARD)}
    ((uri, told),) = of_alias(task.events[alias])
    assert (uri.endswith("/a%20b.pdf"), told["sha256"]) == (True, made["sha256"])


def test_several_files_are_one_event_of_an_asset_and_several_of_an_alias(
    connections: Connections, tmp_path: Path
) -> None:
    connections.oac()
    report, alias = Asset("file://localhost/reports"), AssetAlias("reports")

    def export() -> OACExportWorkbooksOperator:
        return OACExportWorkbooksOperator(
            task_id="export", workbooks=[BOARD], formats=["pdf"], destination=f"file://{tmp_path}", poll_interval=0.05,
            outlets=[report, alias],
        )  # fmt: skip

    two = [BOARD, {"workbook_path": BOARD, "name": "again"}]
    task = EventfulTask(lambda: vars(made := export()).update(workbooks=two) or made)
    made = task.attempt()
    told = task.events[report].extra["files"]
    assert [file["sha256"] for file in told] == [file["sha256"] for file in made["files"]]
    assert [uri for uri, _ in of_alias(task.events[alias])] == [file["uri"] for file in told]


def test_the_asset_of_a_snapshot_is_the_series_that_was_submitted(connections: Connections) -> None:
    connections.oac()
    connections.seal()
    alias, label = AssetAlias("backups"), ["before"]
    task = EventfulTask(lambda: backup_operator(snapshot_label=label[0], deferrable=True, outlets=[alias]))
    task.start()
    label[0] = "after"
    task.execute_complete({"outcome": "ended", "message": "", "carried": task.deferred.trigger.carried})  # type: ignore[union-attr]
    ((uri, _),) = of_alias(task.events[alias])
    assert uri.endswith("/snapshots/before")


def test_a_failed_task_tells_nothing(connections: Connections, clean: Simulator) -> None:
    connections.oac()
    connections.seal()
    clean.control.fault("POST /snapshots", "fail_work")
    series = Asset("oac://dev.example.com/snapshots/nightly")
    task = EventfulTask(lambda: backup_operator(outlets=[series]))
    with pytest.raises(Exception, match="ended FAILED"):
        task.attempt()
    assert len(task.events) == 0
    assert task.made[-1].get_openlineage_facets_on_complete(None) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("oac://OAC.example.com/snapshots/nightly/", "oac://oac.example.com/snapshots/nightly"),
        ("oac://oac.example.com/catalog/shared/Sales", "oac://oac.example.com/catalog/shared/Sales"),
    ],
)
def test_airflow_knows_the_scheme(given: str, kept: str) -> None:
    assert Asset(given).uri == kept


@pytest.mark.parametrize("given", ["oac:///snapshots/nightly", "oac://oac.example.com/"])
def test_a_uri_that_names_nothing_is_refused(given: str) -> None:
    from airflow_provider_oac.assets import sanitize_uri

    with pytest.raises(ValueError, match="An oac:// URI names"):
        sanitize_uri(urlsplit(given))


# ------------------------------------------------------------------------------------------------- OpenLineage


def named(datasets: list[Any]) -> list[tuple[str, str]]:
    return [(item.namespace, item.name) for item in datasets]


@pytest.mark.usefixtures("openlineage")
@MODES
def test_lineage_leads_from_the_series_to_the_file_of_the_snapshot(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    connections.oac()
    connections.seal()
    task = EventfulTask(lambda: backup_operator(deferrable=deferrable))
    result = task.attempt()
    told = task.made[-1].get_openlineage_facets_on_complete(task.ti)
    host = urlsplit(connections.ready["instances"]["dev"]["url"]).netloc
    assert named(told.inputs) == [(f"oac://{host}", "snapshots/nightly")]
    assert named(told.outputs) == [("oci://oac-backups", result["bar_uri"].removeprefix("file:///"))]


@pytest.mark.usefixtures("openlineage")
def test_lineage_leads_from_the_workbook_to_its_file(connections: Connections, tmp_path: Path) -> None:
    connections.oac()
    task = EventfulTask(
        lambda: OACExportWorkbookOperator(
            task_id="export", workbook_path=BOARD, destination=f"file://{tmp_path}/a.pdf", poll_interval=0.05
        )
    )
    task.attempt()
    told = task.made[-1].get_openlineage_facets_on_complete(task.ti)
    host = urlsplit(connections.ready["instances"]["dev"]["url"]).netloc
    assert named(told.inputs) == [(f"oac://{host}", "catalog/shared/Sales/Pipeline")]
    assert named(told.outputs) == [("file", f"{tmp_path}/a.pdf")]


@pytest.mark.usefixtures("openlineage")
def test_an_asset_has_a_name_in_openlineage() -> None:
    found = convert_asset_to_openlineage(Asset("oac://oac.example.com/snapshots/nightly"))
    assert (found.namespace, found.name) == ("oac://oac.example.com", "snapshots/nightly")
    assert named([openlineage_dataset("s3://aws_default@reports/a.pdf")]) == [("s3://reports", "a.pdf")]
    assert named([openlineage_dataset("s3://reports/Report%20%231.pdf")]) == [("s3://reports", "Report #1.pdf")]
