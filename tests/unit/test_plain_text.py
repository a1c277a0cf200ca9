"""What of a text reaches a log or a terminal."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_oac.cli import process
from airflow_provider_oac.client.errors import api_error
from airflow_provider_oac.client.flows import start_run
from airflow_provider_oac.client.flows.acl_changes import difference
from airflow_provider_oac.client.rest import acl, work_requests
from airflow_provider_oac.client.rest.jobs import read_jobs
from airflow_provider_oac.client.rest.snapshots import list_all
from airflow_provider_oac.client.rest.system import get
from airflow_provider_oac.client.rest.workbooks import Canvas, chosen
from airflow_provider_oac.exceptions import OACConfigurationError, OACResponseError, OACTransportError
from airflow_provider_oac.plain_text import plain
from tests.manual import response

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
EVIL = f"a\x1b[2J\x1b[31mred\x1b]0;title\x07b\x9b1mc\x00\r\u202edcba\u2066 {JWT}"


def is_plain(text: str) -> bool:
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_is_left_that_is_not_only_read(text: str) -> None:
    assert is_plain(plain(text))
    assert plain(plain(text)) == plain(text)


#: What people write, which stays.
WRITTEN = (
    "", "two\n\tlines", "売上\u3000レポート", "ガバナンス", unicodedata.normalize("NFD", "ガバナンス é"), "नहीं\u200c",
    "👩\u200d💻", "שלום", "[31m",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\ufffdb"),
        ("a\x1b]8;;https://elsewhere.example\x1b\\link", "a\ufffdlink"),
        ("a\x9b2Jb", "a\ufffdb"),
        ("a\x1b]0;no end", "a\ufffd0;no end"),
        ("a\x1bcb", "a\ufffdb"),
        ("one\r\ntwo", "one\ufffd\ntwo"),
        ("in\u202evoice", "in\ufffdvoice"),
        *((text, text) for text in WRITTEN),
    ],
)
def test_an_escape_sequence_goes_as_a_whole_and_nothing_else(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_what_oac_says_is_plain_and_holds_no_token() -> None:
    errors = [{"code": EVIL, "message": EVIL}, EVIL, {"error": {"a": EVIL}}]
    body = {"id": "w", "status": EVIL, "operationType": EVIL, "errors": errors}
    work = work_requests.WorkRequest.parse(body, "A work request")
    assert len(work.errors) == 3
    assert "RED" in work.status
    task = {f"task{name}": EVIL for name in ("Name", "Status", "SourceName", "TargetName")}
    told = [{f"job{name}": EVIL for name in ("Identifier", "Name", "Status")} | {"jobTasks": [task]}]
    (job,) = read_jobs(response(200, json.dumps(told)))
    assert job.name == EVIL
    said = [work.status, work.operation, *work.errors, *(line for _failed, line in start_run.job_lines(job))]
    assert [text for text in said if not is_plain(text) or JWT in text] == []
    system = get().read(response(200, b'{"description": "a\\u001b[31m %b", "owners": ["\\u202ex"]}' % JWT.encode()))
    assert (system.description, system.owners) == ("a\ufffd ***", ("\ufffdx",))


def test_ids_and_names_that_logs_show_are_on_one_line() -> None:
    text = f"{EVIL}\n2026-01-01 ERROR of somebody else"
    snapshots = [{"id": text, "name": text, "timeCreated": text, "createdByUser": text, "bar": {"uri": text}}]
    (snapshot,) = list_all().read(response(200, json.dumps({"items": snapshots})))
    (job,) = read_jobs(response(200, json.dumps([{"jobIdentifier": text}])))
    entry = acl.Access(text, text, frozenset({text}), text)
    with pytest.raises(OACConfigurationError) as caught:
        chosen([Canvas(text, text, "visualize", True, {})], ["another"])
    shown = [
        snapshot.id, snapshot.name, snapshot.created, snapshot.created_by, snapshot.bar_uri, job.id, str(caught.value),
        work_requests.accepted_id(response(202, json.dumps({"workRequestId": text}))),
        work_requests.accepted_id(response(202, json.dumps({"resourceUri": f"/x/{quote(text, safe='')}"}))),
        work_requests.WorkRequest.parse({"id": text, "status": "SUCCEEDED"}, "A work request").id,
        *difference((entry,), ()), *difference((entry,), (replace(entry, permissions=frozenset()),)),
    ]  # fmt: skip
    assert [line for line in shown if not is_plain(line) or "\n" in line or "\t" in line] == []


def test_what_a_server_says_in_an_error_is_plain() -> None:
    answer = response(400, b'{"code": "\\u009b1m", "message": "a\\u001b[2Jb"}', {"ecid": "x\x1b[1m"})
    error = api_error(list_all(), answer, 0.0)
    assert is_plain(str(error))
    assert (error.code, error.detail, error.request_id) == ("\ufffd", "a\ufffdb", "x\ufffd")


@pytest.mark.parametrize("kind", [OACResponseError, lambda text: OACTransportError(text, sent=True)])
def test_every_error_is_plain(kind: type[Exception]) -> None:
    assert str(kind(f"The item {EVIL}\nis there.")).count("\n") == 1
    assert is_plain(str(kind(EVIL)))


def test_what_a_command_prints_is_plain(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_answer", sys.stdout)
    process.say(EVIL)
    process.tell(EVIL)
    assert all(map(is_plain, capsys.readouterr()))
