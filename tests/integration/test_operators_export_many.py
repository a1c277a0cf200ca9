"""Exporting many workbooks in one task: side by side, partial results kept, a retry makes only what is missing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.hooks import defer_decision
from airflow_provider_oac.operators.workbooks import OACExportWorkbooksOperator
from oac_simulator.launch import Simulator
from tests.integration.test_operators_export import (
    EXPORT,
    REVENUE,
    SEVEN,
    names,
    ordered,
    pages,
)
from tests.tasks import AUTHOR, Connections, Task, first_event

PIPELINE = "/@Catalog/shared/Sales/Pipeline"
NOTHING = "/@Catalog/shared/Sales/Nothing"
ALL = ["All_Regions.pdf", "Pipeline.pdf", "Revenue_by_Region.pdf"]

Make = Callable[..., OACExportWorkbooksOperator]


@pytest.fixture
def make(connections: Connections, tmp_path: Path) -> Make:
    """Makes the operator; `changes` are its arguments."""
    connections.oac(user=AUTHOR)

    def operator(**changes: Any) -> OACExportWorkbooksOperator:
        arguments: dict[str, Any] = {
            "task_id": "exports",
            "workbooks": [PIPELINE, REVENUE, SEVEN],
            "destination": f"file://{tmp_path}/out",
            "deferrable": True,
            "poll_interval": 0.05,
            "max_parallel": 2,
        }
        return OACExportWorkbooksOperator(**{**arguments, **changes})

    return operator


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_every_workbook_gets_its_file_and_nothing_else_stays(
    make: Make, clean: Simulator, out: Path, store: bool
) -> None:
    result = Task(make, store=store).attempt()
    assert names(out) == ALL
    assert [Path(file["path"]).stem for file in result["files"]] == ["Pipeline", "Revenue_by_Region", "All_Regions"]
    assert [len(file["work_request_ids"]) for file in result["files"]] == [1, 1, 2]
    assert len(pages(out / "All_Regions.pdf")) == 7
    assert ordered(clean) == 4


def test_formats_canvases_and_names_are_those_of_each_workbook(make: Make, clean: Simulator, out: Path) -> None:
    workbooks = [
        PIPELINE,
        {"workbook_id": catalog_id(REVENUE), "canvases": ["Europe", "Americas"], "formats": ["png"], "name": "Abroad"},
        {"workbook_path": REVENUE, "canvases": ["Overview"], "formats": "pdf"},
    ]
    result = Task(lambda: make(workbooks=workbooks, formats=["pdf", "png"])).attempt()
    assert names(out) == [
        "Abroad-01-Europe.png", "Abroad-02-Americas.png", "Pipeline-01-Canvas_1.png", "Pipeline-02-Canvas_2.png",
        "Pipeline.pdf", "Revenue_by_Region.pdf",
    ]  # fmt: skip
    assert [file["format"] for file in result["files"]] == ["pdf", "png", "png", "png", "png", "pdf"]
    assert len(pages(out / "Revenue_by_Region.pdf")) == 1


def test_one_that_fails_does_not_stop_the_others_and_each_is_named(
    make: Make, clean: Simulator, out: Path, store: bool
) -> None:
    workbooks = [NOTHING, PIPELINE, {"workbook_path": REVENUE, "canvases": ["No such canvas"]}, SEVEN]
    with pytest.raises(OACError) as caught:
        Task(lambda: make(workbooks=workbooks), store=store).attempt()
    said = str(caught.value)
    assert "2 exports failed; 2 files are complete" in said
    assert f"- {NOTHING} as pdf: Could not list the canvases" in said
    assert f"- {REVENUE} as pdf: The workbook has no canvas 'No such canvas'" in said
    assert [name for name in names(out) if not name.startswith(".")] == ["All_Regions.pdf", "Pipeline.pdf"]


def test_a_retry_makes_only_what_is_missing(make: Make, clean: Simulator, out: Path, store: bool) -> None:
    clean.control.fault(EXPORT, "fail_work", errors=[{"code": "Broken", "message": "No data."}], after=1)
    task = Task(make, store=store)
    with pytest.raises(
        OACError,
        match=r"1 exports failed; 2 files are complete.*\n- The export of /@Catalog.* as pdf, canvas.*Broken: No data",
    ):
        task.attempt()
    assert len([name for name in names(out) if not name.startswith(".")]) == 2
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pdf")}
    first = ordered(clean)
    result = task.attempt()
    assert names(out) == ALL, "and the manifest is gone"
    assert [Path(file["path"]).stem for file in result["files"]] == ["Pipeline", "Revenue_by_Region", "All_Regions"]
    assert ordered(clean) == first + 1
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_what_was_made_and_is_gone_again_or_changed_is_made_anew(
    make: Make, clean: Simulator, out: Path, store: bool
) -> None:
    workbooks = [PIPELINE, REVENUE, NOTHING]
    task = Task(lambda: make(workbooks=workbooks), store=store)
    with pytest.raises(OACError):
        task.attempt()
    (out / "Pipeline.pdf").unlink()
    (out / "Revenue_by_Region.pdf").write_bytes(b"half")
    workbooks = [PIPELINE, REVENUE]
    assert len(task.attempt()["files"]) == 2
    assert len(pages(out / "Pipeline.pdf")) == 2
    assert len(pages(out / "Revenue_by_Region.pdf")) == 3
    assert ordered(clean) == 4


def test_what_was_made_otherwise_is_made_anew(make: Make, clean: Simulator, out: Path, store: bool) -> None:
    first: list[Any] = [REVENUE, NOTHING]
    then = [{"workbook_path": REVENUE, "canvases": ["Europe"]}]
    workbooks = first
    task = Task(lambda: make(workbooks=workbooks), store=store)
    with pytest.raises(OACError):
        task.attempt()
    workbooks = then
    task.attempt()
    assert len(pages(out / "Revenue_by_Region.pdf")) == 1


def test_a_retry_after_a_lost_process_finds_its_exports_and_its_files(
    make: Make, clean: Simulator, out: Path, store: bool
) -> None:
    """The process of the first try ends after its first round, when two of three files are there."""
    task = Task(lambda: make(deferrable=True), store=store)
    task.start()
    assert task.deferred is not None
    task.execute_complete(asyncio.run(first_event(task.deferred.trigger)))
    made = [name for name in names(out) if not name.startswith(".")]
    assert made == ["Pipeline.pdf", "Revenue_by_Region.pdf"]
    before = {name: (out / name).stat().st_mtime_ns for name in made}
    assert len(task.attempt()["files"]) == 3
    assert {name: (out / name).stat().st_mtime_ns for name in made} == before
    # With a store, the exports of the second round are found as well.
    assert ordered(clean) == (4 if store else 6)


def test_exports_run_side_by_side_but_not_all_at_once(make: Make, clean: Simulator, out: Path) -> None:
    clean.control.settings(work_seconds=0.5)
    workbooks = [PIPELINE, REVENUE, *[{"workbook_path": REVENUE, "name": f"copy {number}"} for number in range(4)]]
    Task(lambda: make(workbooks=workbooks, max_parallel=3)).attempt()
    assert len(names(out)) == 6
    works = clean.control.work_requests("dev")
    assert len(works) == 6
    begins = [work["timeAccepted"] for work in works]
    running = [sum(work["timeAccepted"] <= moment < work["timeFinished"] for work in works) for moment in begins]
    assert 1 < max(running) <= 3


class MeasuredTask(Task):
    """A task that records how deep the stack is when it pushes the link to a work request."""

    def context(self, task_id: str = "a_task") -> dict[str, Any]:
        context, self.depths = super().context(task_id), list[int]()
        push = self.ti.xcom_push

        def measured(key: str, value: Any) -> None:
            if key == "oac_work_request":
                self.depths.append(len(inspect.stack(0)))
            push(key, value)

        self.ti.xcom_push = measured  # type: ignore[method-assign]
        return context


def test_many_short_rounds_do_not_reach_the_recursion_limit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that are over soon follow each other in one process; the stack must not grow with them."""
    monkeypatch.setattr(defer_decision, "WORKER_SECONDS", 60.0)
    workbooks = [PIPELINE, REVENUE, {"workbook_path": REVENUE, "name": "again"}]
    task = MeasuredTask(lambda: make(workbooks=workbooks, max_parallel=1))
    task.attempt()
    first, *others = task.depths
    assert others == [first, first]
