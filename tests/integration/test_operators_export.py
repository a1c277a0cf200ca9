"""Exporting a workbook, and many in one task: joined and split, partial results kept, and made anew where needed."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import tracemalloc
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
    OACError,
    OACStorageError,
    OACWorkRequestError,
)
from airflow_provider_oac.hooks import defer_decision
from airflow_provider_oac.operators import base
from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator, OACExportWorkbooksOperator
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Connections, Task, first_event

EXPORT = "POST /catalog/workbooks/{urlBase64WorkbookId}/exports"
DOWNLOAD = "GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}"
REVENUE = "/@Catalog/shared/Sales/Revenue by Region"
# What its failure names first.
LABEL = f"{REVENUE} as pdf, canvases 'Overview', 'Europe', 'Americas'"
SALES, TWELVE = "/@Catalog/shared/Sales", "/@Catalog/shared/Finance/Twelve Months"
SEVEN, PIPELINE, NOTHING = f"{SALES}/All Regions", f"{SALES}/Pipeline", f"{SALES}/Nothing"
THREE = ["Pipeline", "Revenue_by_Region", "All_Regions"]
WAITS: dict[str, Any] = {"task_id": "export", "deferrable": True, "poll_interval": 0.05}

Make = Callable[..., Any]


@pytest.fixture
def make(connections: Connections, tmp_path: Path) -> Make:
    """Makes the operator for one workbook; `changes` are its arguments."""
    connections.oac(user=AUTHOR)
    wanted = {"workbook_path": REVENUE, "destination": f"file://{tmp_path}/Revenue.pdf"}
    return lambda **changes: OACExportWorkbookOperator(**{**WAITS, **wanted, **changes})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def make_many(connections: Connections, out: Path) -> Make:
    """Makes the operator for several workbooks; `changes` are its arguments."""
    connections.oac(user=AUTHOR)
    wanted = {"workbooks": [PIPELINE, REVENUE, SEVEN], "destination": f"file://{out}", "max_parallel": 2}
    return lambda **changes: OACExportWorkbooksOperator(**{**WAITS, **wanted, **changes})


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
    file = {
        "path": f"file://{tmp_path}/Revenue.pdf", "size": len(data), "sha256": hashlib.sha256(data).hexdigest(),
        "canvases": ["Overview", "Europe", "Americas"], "work_request_ids": [work["id"]], "format": "pdf",
        "workbook_id": catalog_id(REVENUE),
    }  # fmt: skip
    assert {name: result[name] for name in file} == file
    assert result["files"] == [{name: value for name, value in result.items() if name != "files"}]
    texts = pages(tmp_path / "Revenue.pdf")
    assert [canvas in text for canvas, text in zip(result["canvases"], texts, strict=True)] == [True, True, True]
    assert names(tmp_path) == ["Revenue.pdf"]


def test_more_exports_than_may_run_at_a_time_are_joined_in_order(make: Make, clean: Simulator) -> None:
    result = Task(lambda: make(workbook_path=TWELVE, max_parallel=2)).attempt()
    assert len(result["work_request_ids"]) == ordered(clean) == 3
    assert [f"Month {number:02}" in text for number, text in enumerate(pages(result["path"]), 1)] == [True] * 12


def test_a_png_holds_one_canvas_and_several_canvases_are_several_files(make: Make, tmp_path: Path) -> None:
    chosen = {"workbook_path": None, "workbook_id": catalog_id(REVENUE), "canvases": ["Americas", "snapshot!canvas!1"]}
    size = {"screen_width": 640, "screen_height": 480}
    result = Task(lambda: make(file_format="png", destination=f"file://{tmp_path}/", **size, **chosen)).attempt()
    assert names(tmp_path) == ["Revenue_by_Region-01-Americas.png", "Revenue_by_Region-02-Overview.png"]
    assert [Path(file["path"]).name for file in result["files"]] == names(tmp_path)
    assert [file["canvases"] for file in result["files"]] == [["Americas"], ["Overview"]]
    assert "path" not in result
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (640, 480)


def test_96_mib_pass_through_a_task_in_less_than_40_mib(make: Make, clean: Simulator, tmp_path: Path) -> None:
    size = 96 * 1024 * 1024
    # What a task loads on its first use does not count.
    Task(make).attempt()
    clean.control.settings(export_size=size)
    tracemalloc.start()
    try:
        result = Task(make).attempt()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    file = tmp_path / "Revenue.pdf"
    assert file.stat().st_size == result["size"] == size
    with file.open("rb") as data:
        assert hashlib.file_digest(data, "sha256").hexdigest() == result["sha256"]
    file.unlink()
    assert peak < 40 * 1024 * 1024


def test_an_export_that_nobody_would_fetch_is_refused_when_the_dag_is_read(make: Make) -> None:
    with pytest.raises(OACConfigurationError, match="wait_for_completion=False is not supported"):
        make(wait_for_completion=False)


def test_a_store_that_is_not_there_is_found_before_an_export_is_ordered(make: Make, clean: Simulator) -> None:
    with pytest.raises(OACStorageError, match="nowhere"):
        Task(lambda: make(destination="nowhere://bucket/Revenue.pdf")).attempt()
    assert ordered(clean) == 0


@pytest.mark.parametrize(
    ("endpoint", "fault", "error", "says"),
    [
        (EXPORT, {"fault": "fail_work", "errors": [{"code": "RenderFailed", "message": "A filter is broken."}]},
         OACWorkRequestError, rf"^The export of {LABEL}, work request .*RenderFailed: A filter is broken"),
        (DOWNLOAD, {"fault": "short", "times": None}, OACContentError, rf"^{LABEL}: Could not download export"),
        (DOWNLOAD, {"fault": "status", "status": 410, "body": {"code": "Gone", "message": "Expired."}},
         OACApiError, "Expired"),
    ],
    ids=["fails", "is spoiled", "is gone"],
)  # fmt: skip
def test_an_export_that_comes_to_nothing_leaves_the_file_of_before_and_is_ordered_anew_by_a_retry(
    make: Make, clean: Simulator, tmp_path: Path, endpoint: str, fault: dict[str, Any], error: Any, says: str
) -> None:
    (tmp_path / "Revenue.pdf").write_bytes(b"the old one")
    clean.control.fault(endpoint, **fault)
    task = Task(make)
    with pytest.raises(error, match=says):
        task.attempt()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("Revenue.pdf", b"the old one")]
    clean.control.clear_faults()
    assert task.attempt()["size"] == (tmp_path / "Revenue.pdf").stat().st_size > 20
    assert ordered(clean) == 2


# --------------------------------------------------------------------------------------------- many in one task


def made(out: Path) -> dict[str, int]:
    """The files that are there, and when they were written; without the manifest."""
    return {path.stem: path.stat().st_mtime_ns for path in out.glob("[!.]*.pdf")}


def test_formats_canvases_and_names_are_those_of_each_workbook(make_many: Make, out: Path) -> None:
    workbooks = [
        PIPELINE,
        {"workbook_id": catalog_id(REVENUE), "canvases": ["Europe", "Americas"], "formats": ["png"], "name": "Abroad"},
        {"workbook_path": REVENUE, "canvases": ["Overview"], "formats": "pdf"},
    ]
    result = Task(lambda: make_many(workbooks=workbooks, formats=["pdf", "png"])).attempt()
    assert names(out) == [
        "Abroad-01-Europe.png", "Abroad-02-Americas.png", "Pipeline-01-Canvas_1.png", "Pipeline-02-Canvas_2.png",
        "Pipeline.pdf", "Revenue_by_Region.pdf",
    ]  # fmt: skip
    assert [file["format"] for file in result["files"]] == ["pdf", "png", "png", "png", "png", "pdf"]
    assert len(pages(out / "Revenue_by_Region.pdf")) == 1


def test_a_retry_makes_only_what_is_missing(make_many: Make, clean: Simulator, out: Path, store: bool) -> None:
    clean.control.fault(EXPORT, "fail_work", errors=[{"code": "Broken", "message": "No data."}], after=1)
    task = Task(make_many, store=store)
    says = r"1 exports failed; 2 files are complete.*\n- The export of /@Catalog.* as pdf, canvas.*Broken: No data"
    with pytest.raises(OACError, match=says):
        task.attempt()
    before, first = made(out), ordered(clean)
    assert len(before) == 2
    result = task.attempt()
    assert [Path(file["path"]).stem for file in result["files"]] == THREE
    sums = [hashlib.sha256((out / f"{name}.pdf").read_bytes()).hexdigest() for name in THREE]
    assert [file["sha256"] for file in result["files"]] == sums
    assert [len(file["work_request_ids"]) for file in result["files"]] == [1, 1, 2]
    assert len(pages(out / "All_Regions.pdf")) == 7
    assert names(out) == sorted(f"{name}.pdf" for name in THREE), "and the manifest is gone"
    assert ordered(clean) == first + 1
    assert before.items() < made(out).items()


def test_what_is_gone_changed_or_wanted_otherwise_is_made_anew(
    make_many: Make, clean: Simulator, out: Path, store: bool
) -> None:
    workbooks: list[Any] = [
        NOTHING, PIPELINE, REVENUE, SEVEN, {"workbook_path": PIPELINE, "canvases": ["None"], "name": "P"},
    ]  # fmt: skip
    task = Task(lambda: make_many(workbooks=workbooks), store=store)
    with pytest.raises(OACError) as caught:
        task.attempt()
    for line in (
        "2 exports failed; 3 files are complete",
        f"- {NOTHING} as pdf: Could not list the canvases",
        f"- {PIPELINE} as pdf: The workbook has no canvas 'None'",
    ):
        assert line in str(caught.value)
    assert sorted(made(out)) == sorted(THREE)
    first = ordered(clean)
    (out / "Pipeline.pdf").unlink()
    (out / "Revenue_by_Region.pdf").write_bytes(b"half")
    workbooks = [PIPELINE, REVENUE, {"workbook_path": SEVEN, "canvases": ["Region 2"]}]
    task.attempt()
    assert [len(pages(out / f"{name}.pdf")) for name in THREE] == [2, 3, 1]
    assert ordered(clean) == first + 3


def test_a_retry_after_a_lost_process_finds_exports_and_files(
    make_many: Make, clean: Simulator, out: Path, store: bool
) -> None:
    """The process of the first try ends after its first round, when two of three files are there."""
    task = Task(make_many, store=store)
    task.start()
    assert task.deferred is not None
    task.execute_complete(asyncio.run(first_event(task.deferred.trigger)))
    before = made(out)
    assert sorted(before) == ["Pipeline", "Revenue_by_Region"]
    assert len(task.attempt()["files"]) == 3
    assert before.items() < made(out).items()
    # With a store, the exports of the second round are found as well.
    assert ordered(clean) == (4 if store else 6)


def test_exports_run_side_by_side_but_not_all_at_once(make_many: Make, clean: Simulator) -> None:
    clean.control.settings(work_seconds=0.5)
    workbooks = [{"workbook_path": REVENUE, "name": f"copy {number}"} for number in range(6)]
    Task(lambda: make_many(workbooks=workbooks, max_parallel=3)).attempt()
    works = clean.control.work_requests("dev")
    begins = [work["timeAccepted"] for work in works]
    running = [sum(work["timeAccepted"] <= moment < work["timeFinished"] for work in works) for moment in begins]
    assert (len(works), 1 < max(running) <= 3) == (6, True)


def test_many_short_rounds_do_not_reach_the_recursion_limit(make_many: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that are over soon follow each other in one process; the stack must not grow with them."""
    depths: list[int] = []
    monkeypatch.setattr(base, "push_work_link", lambda *_: depths.append(len(inspect.stack(0))))
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 60.0)
    workbooks = [PIPELINE, REVENUE, {"workbook_path": REVENUE, "name": "again"}]
    Task(lambda: make_many(workbooks=workbooks, max_parallel=1)).attempt()
    assert depths == depths[:1] * 3
