"""Jobs as OAC tells them, in a log and in an XCom, and the requests that ask for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.flows.start_run import MOST_TASKS, job_lines, job_summary
from airflow_provider_oac.client.ids import object_id
from airflow_provider_oac.client.rest import data_flows, datasets, jobs, sequences
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError
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


def query(call: Call[Any]) -> dict[str, list[str]]:
    url = call.request("https://oac.example.com", Token("t", 0.0, 100.0)).url
    return parse_qs(urlsplit(url).query)


def test_a_job_is_read_with_its_texts_and_numbers() -> None:
    found = job()
    assert (found.id, found.status, found.requested) == (JOB, "SUCCEEDED", "2025-01-01 10:00:00")
    assert (found.queued_seconds, found.seconds, found.rows, found.size) == (2, 28.5, 1000, 20480)
    (task,) = found.tasks
    assert (task.seconds, task.rows_per_second, task.throughput) == (4, 250, 12.5)
    assert (found.raw["jobNew"], task.raw["taskNew"]) == ({"x": 1}, 1)
    assert (found.over, found.failed) == (True, False)


def test_a_job_that_tells_nothing_but_its_id_is_read() -> None:
    (found,) = jobs.read_jobs(response(200, json.dumps([{"jobIdentifier": JOB}])))
    assert (found.status, found.rows, found.seconds, found.tasks) == ("", None, None, ())
    assert (found.over, found.failed) == (False, False)
    assert job_summary(found) == {**job_summary(None), "job_id": JOB, "job_status": ""}


@pytest.mark.parametrize("value", ["many", "", None, True, "NaN", "inf", {}, [1]])
def test_a_number_that_is_none_counts_as_not_told(value: Any) -> None:
    found = job(jobRunDuration=value, jobTasks=[{**TASK, "taskNumberOfSuccessfulRows": value}])
    assert (found.seconds, found.rows, found.tasks[0].rows_per_second) == (None, None, None)


@pytest.mark.parametrize("body", ["{}", '"x"', "[1]", "[{}]", '[{"jobIdentifier": ""}]', '[{"jobIdentifier": {}}]'])
def test_what_is_no_list_of_jobs_is_an_error(body: str) -> None:
    with pytest.raises(OACResponseError):
        jobs.read_jobs(response(200, body))


def test_a_job_that_is_not_the_one_asked_for_is_an_error() -> None:
    with pytest.raises(OACResponseError, match="does not contain job"):
        datasets.job(ID, "another").read(response(200, json.dumps([BODY])))
    with pytest.raises(OACResponseError, match="does not contain job"):
        datasets.job(ID, JOB).read(response(200, "[]"))


def test_a_job_seen_as_work_names_the_tasks_that_failed() -> None:
    work = job(jobStatus="FAILED", jobTasks=tasks("SUCCEEDED", "FAILED", "CANCELED")).as_work()
    assert (work.id, work.status, work.operation, work.percent) == (JOB, "FAILED", "DATASET", None)
    assert work.errors == ("task 'T1' ended FAILED", "task 'T2' ended CANCELED")


def test_filters_of_the_history_are_sent_as_documented() -> None:
    noon = datetime(2026, 1, 1, 14, 30, 5, 678_000, tzinfo=timezone(timedelta(hours=2)))
    call = datasets.history(ID, since=noon, until=datetime(2026, 2, 1, tzinfo=UTC), status="FAILED", limit=3)
    assert query(call) == {
        "fromStartTime": ["2026-01-01T12:30:05.6Z"], "toStartTime": ["2026-02-01T00:00:00.0Z"],
        "jobStatus": ["FAILED"], "numberOfJobs": ["3"], "includeTasks": ["true"],
    }  # fmt: skip
    assert query(sequences.latest(ID, tasks=False)) == {"includeTasks": ["false"]}


@pytest.mark.parametrize(
    "override",
    [
        {"type": "source", "parameterName": "P", "datasetId": "'a'.'b'"},
        {"type": "cube", "appParameterName": "A", "appName": "App", "cubeParameterName": "C", "cubeName": "Cube"},
        # The form for several parameters is not established.
        {"parameters": [{"type": "source"}]},
        None,
    ],
)
def test_what_may_be_replaced_is_sent(override: Any) -> None:
    body = data_flows.run(ID, override).request("https://x.example.com", Token("t", 0.0, 100.0)).body
    assert bool(body) is (override is not None)


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
    told = job_lines(job(jobStatus="FAILED", jobTasks=tasks("SUCCEEDED", "FAILED")))
    assert [failed for failed, _ in told] == [True, False, True]
    assert told[0][1] == (
        f"Job {JOB} (MySalesDataset): FAILED, 2,000 rows, 40,960 bytes, ran 28.5 s, queued 2 s, 2 tasks."
    )
    assert told[2][1] == (
        "Task T1 from ADW to OAC: FAILED, 1,000 rows, 20,480 bytes, ran 4 s, 250.0 rows/s, "
        "read throughput according to OAC 12.5."
    )


def test_a_summary_is_bounded_and_keeps_the_failures() -> None:
    many = tasks(*["SUCCEEDED"] * 1000, *["FAILED"] * 3)
    many[0]["taskName"] = "x" * 10_000
    told = job_summary(job(jobTasks=many))
    assert len(told["tasks"]) == MOST_TASKS
    assert [task["name"] for task in told["tasks"][:4]] == ["T1000", "T1001", "T1002", "x" * 199 + "…"]
    assert told["tasks_left_out"] == 953
    assert told["rows"] == 1_003_000
    assert len(json.dumps(told)) < 20_000


def test_a_log_of_many_tasks_counts_what_it_does_not_show() -> None:
    told = job_lines(job(jobTasks=tasks(*["FAILED"] * 60)))
    assert len(told) == MOST_TASKS + 2
    assert told[-1] == (True, "10 more tasks, 10 of them failed.")
