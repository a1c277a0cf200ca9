"""Exporting a workbook: PDF and PNG, joined and split, checked, repeated; in a worker and in the triggerer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdf
import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACContentError,
    OACStorageError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator
from oac_simulator.launch import Simulator
from tests.integration.stores import Bucket, attach_store
from tests.tasks import AUTHOR, Connections, Task

EXPORT = "POST /catalog/workbooks/{urlBase64WorkbookId}/exports"
DOWNLOAD = "GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}"
CANVASES = "POST /catalog/workbooks/{id}/actions/getCanvases"
REVENUE = "/@Catalog/shared/Sales/Revenue by Region"
# What its failure names first.
LABEL = f"{REVENUE} as pdf, canvases 'Overview', 'Europe', 'Americas'"
SEVEN = "/@Catalog/shared/Sales/All Regions"
TWELVE = "/@Catalog/shared/Finance/Twelve Months"

Make = Callable[..., OACExportWorkbookOperator]


@pytest.fixture
def make(connections: Connections, tmp_path: Path) -> Make:
    """Makes the operator; `changes` are its arguments."""
    connections.oac(user=AUTHOR)

    def operator(**changes: Any) -> OACExportWorkbookOperator:
        arguments: dict[str, Any] = {
            "task_id": "export",
            "workbook_path": REVENUE,
            "destination": f"file://{tmp_path}/Revenue.pdf",
            "deferrable": True,
            "poll_interval": 0.05,
        }
        return OACExportWorkbookOperator(**{**arguments, **changes})

    return operator


def pages(path: str | Path) -> list[str]:
    """The texts of the pages of a PDF."""
    return [page.extract_text() for page in pypdf.PdfReader(str(path).removeprefix("file://")).pages]


def ordered(clean: Simulator) -> int:
    return clean.control.calls("dev", EXPORT)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_workbook_goes_to_one_pdf_with_its_canvases_in_order(make: Make, clean: Simulator, tmp_path: Path) -> None:
    result = Task(make).attempt()
    data = (tmp_path / "Revenue.pdf").read_bytes()
    (work,) = clean.control.work_requests("dev")
    assert result["path"] == f"file://{tmp_path}/Revenue.pdf"
    assert (result["size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert result["canvases"] == ["Overview", "Europe", "Americas"]
    assert result["work_request_ids"] == [work["id"]]
    assert (result["format"], result["workbook_id"]) == ("pdf", catalog_id(REVENUE))
    assert result["files"] == [{name: value for name, value in result.items() if name != "files"}]
    texts = pages(tmp_path / "Revenue.pdf")
    assert [canvas in text for canvas, text in zip(result["canvases"], texts, strict=True)] == [True, True, True]
    assert names(tmp_path) == ["Revenue.pdf"]


def test_a_workbook_is_known_by_its_id_and_canvases_by_name_or_id(make: Make, clean: Simulator, tmp_path: Path) -> None:
    chosen = {"workbook_path": None, "workbook_id": catalog_id(REVENUE), "canvases": ["Americas", "snapshot!canvas!1"]}
    result = Task(lambda: make(**chosen)).attempt()
    assert result["canvases"] == ["Americas", "Overview"]
    first, second = pages(result["path"])
    assert "Americas" in first
    assert "Overview" in second


def test_more_than_five_canvases_are_several_exports_joined_in_order(
    make: Make, clean: Simulator, tmp_path: Path
) -> None:
    destination = f"file://{tmp_path}/year.pdf"
    result = Task(lambda: make(workbook_path=TWELVE, destination=destination, max_parallel=2)).attempt()
    assert len(result["work_request_ids"]) == ordered(clean) == 3
    texts = pages(destination)
    assert len(texts) == 12
    for number, text in enumerate(texts, 1):
        assert f"Month {number:02}" in text
    data = (tmp_path / "year.pdf").read_bytes()
    assert (result["size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert names(tmp_path) == ["year.pdf"]


def test_a_png_holds_one_canvas_and_several_canvases_are_several_files(
    make: Make, clean: Simulator, tmp_path: Path
) -> None:
    size = {"screen_width": 640, "screen_height": 480}
    result = Task(lambda: make(file_format="png", destination=f"file://{tmp_path}/", **size)).attempt()
    assert names(tmp_path) == [
        "Revenue_by_Region-01-Overview.png", "Revenue_by_Region-02-Europe.png", "Revenue_by_Region-03-Americas.png",
    ]  # fmt: skip
    assert [Path(file["path"]).name for file in result["files"]] == names(tmp_path)
    assert [file["canvases"] for file in result["files"]] == [["Overview"], ["Europe"], ["Americas"]]
    assert "path" not in result
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (640, 480)


def test_any_store_takes_it_when_it_is_whole(make: Make, clean: Simulator) -> None:
    Bucket.empty()
    attach_store("bucket", Bucket())
    clean.control.settings(export_size=12_000_000)
    result = Task(lambda: make(destination="bucket://b/exports/Revenue.pdf")).attempt()
    assert Bucket.objects.keys() == {"bucket://b/exports/Revenue.pdf"} or Bucket.objects.keys() == {
        "b/exports/Revenue.pdf"
    }
    (data,) = Bucket.objects.values()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (result["size"], result["sha256"])
    Bucket.empty()


@pytest.mark.parametrize(
    ("changes", "says", "asked"),
    [
        ({"canvases": ["No such canvas"]}, "no canvas 'No such canvas'.*'Overview'", 1),
        ({"canvases": []}, "No canvas given", 1),
    ],
)
def test_what_cannot_work_is_refused_before_an_export_is_ordered(
    make: Make, clean: Simulator, changes: dict[str, Any], says: str, asked: int
) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        Task(lambda: make(**changes)).attempt()
    assert (ordered(clean), clean.control.calls("dev", CANVASES)) == (0, asked)


def test_a_store_that_is_not_there_is_found_before_an_export_is_ordered(make: Make, clean: Simulator) -> None:
    with pytest.raises(OACStorageError, match="nowhere"):
        Task(lambda: make(destination="nowhere://bucket/Revenue.pdf")).attempt()
    assert ordered(clean) == 0


def test_an_export_that_nobody_would_fetch_is_refused_when_the_dag_is_read(make: Make) -> None:
    with pytest.raises(OACConfigurationError, match="wait_for_completion=False is not supported"):
        make(wait_for_completion=False)


def test_an_unknown_workbook_is_an_error_in_the_words_of_oac(make: Make, clean: Simulator) -> None:
    with pytest.raises(OACApiError, match=r"Could not list the canvases of workbook .* HTTP 404") as caught:
        Task(lambda: make(workbook_path="/@Catalog/shared/Sales/Nothing")).attempt()
    assert caught.value.status == 404
    assert ordered(clean) == 0


def test_what_oac_itself_refuses_is_told_in_its_words(make: Make, clean: Simulator, tmp_path: Path) -> None:
    clean.control.settings(export_needs_permission=True)
    clean.control.user(AUTHOR, roles=["DV Consumer"])
    with pytest.raises(OACApiError) as caught:
        Task(make).attempt()
    assert caught.value.status in (401, 403)
    assert names(tmp_path) == []


def test_a_failed_export_is_an_error_with_the_errors_of_oac_and_a_retry_orders_it_anew(
    make: Make, clean: Simulator, tmp_path: Path
) -> None:
    clean.control.fault(EXPORT, "fail_work", errors=[{"code": "RenderFailed", "message": "A filter is broken."}])
    task = Task(make)
    with pytest.raises(
        OACWorkRequestError, match=rf"^The export of {LABEL}, work request .*RenderFailed: A filter is broken"
    ):
        task.attempt()
    assert names(tmp_path) == []
    assert task.attempt()["size"] > 0
    assert ordered(clean) == 2


def test_the_file_of_before_stays_until_the_new_one_is_whole(make: Make, clean: Simulator, tmp_path: Path) -> None:
    (tmp_path / "Revenue.pdf").write_bytes(b"the old one")
    clean.control.fault(DOWNLOAD, "short", times=None)
    task = Task(make)
    with pytest.raises(OACContentError, match=rf"^{LABEL}: Could not download export"):
        task.attempt()
    assert names(tmp_path) == ["Revenue.pdf"]
    assert (tmp_path / "Revenue.pdf").read_bytes() == b"the old one"
    clean.control.clear_faults()
    task.attempt()
    assert names(tmp_path) == ["Revenue.pdf"]
    assert (tmp_path / "Revenue.pdf").read_bytes().startswith(b"%PDF-")
    assert ordered(clean) == 2, "an export whose file is spoiled is made anew"


def test_an_export_that_oac_forgot_is_ordered_anew_by_the_next_try(make: Make, clean: Simulator) -> None:
    """The try after a lost process finds the work request, which succeeded, but not its file any more."""
    task = Task(lambda: make(deferrable=True))
    task.start()
    clean.control.fault(DOWNLOAD, "status", status=410, body={"code": "Gone", "message": "Expired."})
    with pytest.raises(OACApiError, match="Expired"):
        task.attempt()
    assert task.attempt()["size"] > 0
    assert ordered(clean) == 2
