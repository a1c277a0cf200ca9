"""Jobs as OAC tells them, in a log and in an XCom, and the requests that ask for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_oac.client.flows.start_run import MOST_TASKS, job_lines, job_summary
from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.client.rest import data_flows, datasets, jobs, sequences
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.manual import response

ID = object_id("admin", "Orders")
JOB = "1234ABCD5678EFGH9012IJKL3456MNOP"
TASK = {
    "taskName": "SALES", "taskStatus": "SUCCEEDED", "taskSourceName": "ADW", "taskTargetName": "OAC",
    "taskRunDuration": "4", "taskDataSizeInBytes": 20480,
    "taskNumberOfSuccessfulRows": 1000, "taskAverageReadThroughput": 12.5, "taskNew": 1,
}  # fmt: skip
BODY = {
    "jobIdentifier": JOB, "jobName": "MySalesDataset", "jobStatus": "succeeded", "jobRunType": "DATASET",
    "jobOriginOfRequest": "Manual", "jobStartTimestamp": "2025-01-01 10:00:00",
    "jobQueuedDuration": "2", "jobRunDuration": "28.5",
    "jobNumberOfTasks": 1, "jobTasks": [TASK], "jobNew": {"x": 1},
}  # fmt: skip


def job(**changes: Any) -> jobs.Job:
    (found,) = jobs.read_jobs(response(200, json.dumps([{**BODY, **changes}])))
    return found


def tasks(*statuses: str) -> list[dict[str, Any]]:
    return [{**TASK, "taskName": f"T{number}", "taskStatus": status} for number, status in enumerate(statuses)]


def test_a_job_is_read_with_its_texts_and_numbers() -> None:
    found = job()
    assert (found.id, found.status, found.requested) == (JOB, "SUCCEEDED", "2025-01-01 10:00:00")
    assert (found.queued_seconds, found.seconds, found.rows, found.size) == (2, 28.5, 1000, 20480)
    assert (found.raw["jobNew"], found.over, found.failed) == ({"x": 1}, True, False)
    (task,) = found.tasks
    assert (task.seconds, task.rows_per_second, task.throughput, task.raw["taskNew"]) == (4, 250, 12.5, 1)


def test_a_job_that_tells_nothing_but_its_id_is_read() -> None:
    (found,) = jobs.read_jobs(response(200, json.dumps([{"jobIdentifier": JOB}])))
    assert (found.status, found.rows, found.seconds, found.tasks) == ("", None, None, ())
    assert (found.over, found.failed) == (False, False)
    assert job_summary(found) == {**job_summary(None), "job_id": JOB, "job_status": ""}


@pytest.mark.parametrize("value", ["many", "", None, True, "NaN", "inf", {}, [1]])
def test_a_number_that_is_none_counts_as_not_told(value: Any) -> None:
    found = job(jobRunDuration=value, jobTasks=[{**TASK, "taskNumberOfSuccessfulRows": value}])
    assert (found.seconds, found.rows, found.tasks[0].rows_per_second) == (None, None, None)


def test_a_job_seen_as_work_names_the_tasks_that_failed() -> None:
    work = job(jobStatus="FAILED", jobTasks=tasks("SUCCEEDED", "FAILED", "CANCELED")).as_work()
    assert (work.id, work.status, work.operation, work.percent) == (JOB, "FAILED", "DATASET", None)
    assert work.errors == ("task 'T1' ended FAILED", "task 'T2' ended CANCELED")


def test_filters_of_the_history_are_sent_as_documented() -> None:
    noon = datetime(2026, 1, 1, 14, 30, 5, 678_000, tzinfo=timezone(timedelta(hours=2)))
    call = datasets.history(ID, since=noon, until=datetime(2026, 2, 1, tzinfo=UTC), status="FAILED", limit=3)
    assert call.query == {
        "fromStartTime": "2026-01-01T12:30:05.6Z", "toStartTime": "2026-02-01T00:00:00.0Z", "jobStatus": "FAILED",
        "numberOfJobs": 3, "includeTasks": True,
    }  # fmt: skip
    assert sequences.latest(ID, tasks=False).query == {"includeTasks": False}


def test_a_body_of_a_form_that_is_not_established_is_sent_as_it_is() -> None:
    several = {"parameters": [{"type": "source"}]}
    assert data_flows.run(ID, several).body == several


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"type": "source", "datasetId": "x"}, "needs parameterName as well"),
        ({"type": "target", "parameterName": "P"}, "needs datasetId as well"),
        ({"type": "cube", "parameterName": "P"}, "An override of a cube has no"),
        ({"type": "both"}, "not 'both'"),
    ],
)
def test_what_cannot_be_replaced_is_caught(override: Any, message: str) -> None:
    with pytest.raises(OACConfigurationError, match=message):
        data_flows.run(ID, override)


def test_a_log_tells_each_task_and_which_of_them_failed() -> None:
    amounts = "1,000 rows, 20,480 bytes, ran 4 s, 250.0 rows/s, read throughput according to OAC 12.5."
    assert job_lines(job(jobStatus="FAILED", jobTasks=tasks("SUCCEEDED", "FAILED"))) == [
        (True, f"Job {JOB} (MySalesDataset): FAILED, 2,000 rows, 40,960 bytes, ran 28.5 s, queued 2 s, 2 tasks."),
        (False, f"Task T0 from ADW to OAC: SUCCEEDED, {amounts}"),
        (True, f"Task T1 from ADW to OAC: FAILED, {amounts}"),
    ]


def test_a_summary_has_what_each_task_took() -> None:
    assert job_summary(job(jobTasks=tasks("SUCCEEDED")))["tasks"] == [{
        "name": "T0", "status": "SUCCEEDED", "source": "ADW", "target": "OAC", "rows": 1000, "bytes": 20480,
        "seconds": 4, "rows_per_second": 250.0, "throughput": 12.5,
    }]  # fmt: skip


def test_a_summary_and_a_log_are_bounded_and_keep_the_failures() -> None:
    many = tasks(*["SUCCEEDED"] * 1000, *["FAILED"] * 3)
    many[0]["taskName"] = "x" * 10_000
    summary = job_summary(job(jobTasks=many))
    assert [task["name"] for task in summary["tasks"][:4]] == ["T1000", "T1001", "T1002", "x" * 199 + "…"]
    assert (len(summary["tasks"]), summary["tasks_left_out"], summary["rows"]) == (MOST_TASKS, 953, 1_003_000)
    assert len(json.dumps(summary)) < 20_000
    for some, more in (
        (many, (False, "953 more tasks, 0 of")),
        (tasks(*["FAILED"] * 60), (True, "10 more tasks, 10 of")),
    ):
        lines = job_lines(job(jobTasks=some))
        assert (len(lines), lines[-1]) == (MOST_TASKS + 2, (more[0], f"{more[1]} them failed."))
