"""Work requests on the page "Oracle Analytics", over HTTP: which are shown, and to whom; what OAC says of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from airflow_provider_oac._compat import frames_have_addresses
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.links import work_request_page
from oac_simulator.launch import Simulator
from tests.integration import web_page as web
from tests.integration.servers import unused_port
from tests.integration.web_page import Browser, Server, a_boss, a_database, a_reader, api_server  # noqa: F401 (fixtures)
from tests.tasks import Connections, Task, backup_operator

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow 2.11 has no such pages")
pytestmark = pytest.mark.usefixtures("database")

LOOK = "GET /workRequests/{id}"
BACKUP = {"dag_id": "oac_nightly", "run_id": "run", "task_id": "backup"}


def shown(browser: Browser, **wanted: object) -> list[str]:
    page = browser.get("", params=wanted)
    assert page.status_code == 200
    return web.rows(page.text)


def test_recent_work_requests_are_those_that_tasks_told_airflow(reader: Browser) -> None:
    web.leave_work("oac_nightly", "backup", "deferred", web.work_request("lfc-cc:17-c9:3"))
    web.leave_work("oac_nightly", "export", "success", web.work_request("12345", oac_conn_id="oac_export"))
    web.leave_work("oac_nightly", "next", None, web.work_request("5"))
    found = shown(reader)
    assert len(found) == 3
    for texts in (
        ("12345", "state-success", "<td>oac_export</td>"), ("lfc-cc:17-c9:3", ">deferred<", "tasks/backup"),
        ("tasks/next", ">none<"),
    ):  # fmt: skip
        assert len([row for row in found if all(text in row for text in ("oac_nightly", *texts))]) == 1


def test_xcoms_that_are_no_work_requests_are_left_out_and_counted(boss: Browser) -> None:
    good = web.work_request("12345")
    strange = [
        "", "x", 5, True, 1e300, [], {}, {"work_request_id": "1"}, {**good, "address": None},
        {**good, "oac_conn_id": ""}, {**good, "work_request_id": 5}, {**good, "work_request_id": "1" * 5000},
        "json:no JSON", "json:" + "[" * 3000, 'json:"http://h/1', "json:NaN", "json:null",
    ]  # fmt: skip
    # The last one is readable, and no text of UTF-8.
    for number, value in enumerate([*strange, good, web.work_request("\ud800")]):
        web.leave_work("oac_strange", f"task_{number}", "success", value)
    page = boss.get("")
    assert page.status_code == 200
    assert len(web.rows(page.text)) == 2
    assert f"unreadable XComs: {len(strange)}." in page.text


def test_they_are_filtered_and_more_are_shown_on_demand(boss: Browser) -> None:
    for number in range(25):
        web.leave_work("oac_nightly", f"task_{number}", "success", web.work_request(f"of-nightly-{number}"))
    web.leave_work("oac_weekly", "a", "failed", web.work_request("of-weekly"))
    web.leave_work("oac_weekly", "c", None, web.work_request("of-a-task-that-waits"))
    web.leave_work("oac_weekly", "b", "success", web.work_request("of-another", oac_conn_id="oac_other"))
    for address, count in (("", 20), ("?rows=100", 28)):
        page = boss.get(address).text
        assert (len(web.rows(page)), "There may be more" in page) == (count, count == 20)
    assert len(shown(boss, dag_id="oac_nightly", rows=100)) == 25
    assert len(shown(boss, dag_id="oac_weekly")) == 3
    assert ["of-a-task-that-waits" in row for row in shown(boss, state="none")] == [True]
    assert ["of-weekly" in row for row in shown(boss, state="failed")] == [True]
    assert ["of-another" in row for row in shown(boss, oac_conn_id="oac_other")] == [True]
    assert shown(boss, dag_id="oac_nightly", state="failed") == []
    assert boss.get("?rows=100000").status_code == 422


def test_a_user_sees_those_of_the_dags_that_the_auth_manager_shows(
    server: Server, reader: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.leave_work("oac_nightly", "backup", "success", web.work_request("1"))
    web.leave_work("oac_secret", "backup", "success", web.work_request("2"))
    web.deciding(monkeypatch, "dag", lambda dag_id: dag_id == "oac_nightly")
    assert ["oac_nightly" in row for row in shown(reader)] == [True]
    assert shown(reader, dag_id="oac_secret") == []
    tasks = [{**BACKUP, "dag_id": "oac_secret", **other} for other in ({}, {"task_id": "x"}, {"dag_id": "x"})]
    for method in ("GET", "POST"):
        # The answer is the same whether there is such a task or not.
        answers = [reader.request(method, "work", params=task) for task in tasks]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({answer.text for answer in answers}) == 1
    assert reader.get("work", params=BACKUP).status_code == 200
    assert server.nobody().get("work", params=BACKUP).status_code == 401


def entries(browser: Browser) -> list[str]:
    """What the plugin puts into the menu."""
    found = browser.get("/api/v2/plugins").json()["plugins"]
    (ours,) = [plugin for plugin in found if plugin["name"] == "oracle_analytics"]
    return [view["href"] for view in ours["external_views"]]


def test_the_menu_has_an_entry_for_users_who_would_see_something(
    server: Server, boss: Browser, reader: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (entries(boss), entries(reader)) == (["oac/"], [])
    web.leave_work("oac_nightly", "backup", "success", web.work_request("1"))
    assert entries(reader) == ["oac/"]
    web.deciding(monkeypatch, "dag", lambda dag_id: dag_id == "another")
    assert entries(reader) == []
    assert server.nobody().get("/api/v2/plugins").status_code == 401
    # An unforeseen failure of the page hides nothing.
    web.deciding(monkeypatch, "connection", web.fails)
    assert entries(boss) == ["oac/"]


# -- the page of one


@pytest.fixture
def backup(connections: Connections, clean: Simulator) -> dict[str, Any]:
    """What a task has told Airflow of its work request, which is done; calls are counted from here on."""
    task = Task(lambda: backup_operator(deferrable=True))
    task.start()
    known: dict[str, Any] = task.ti.xcoms["oac_work_request"]
    web.leave_work("oac_nightly", "backup", "deferred", known)
    OACHook("oac_default").wait(known["work_request_id"])
    clean.control.reset_counters()
    return known


def ask(browser: Browser, task_id: str = "backup") -> requests.Response:
    return browser.post("work", params={**BACKUP, "task_id": task_id})


def test_a_work_request_has_a_page_that_asks_oac(reader: Browser, backup: dict[str, Any], clean: Simulator) -> None:
    page = reader.get("work", params=BACKUP)
    assert page.status_code == 200
    for text in ("oac_nightly", "backup", backup["work_request_id"], "oac_default", 'id="answer" role="status"'):
        assert text in page.text
    # Its address is the one that operators link.
    assert reader.get(f"/{work_request_page(SimpleNamespace(**BACKUP, map_index=-1))}").text == page.text
    answer = ask(reader)
    assert answer.status_code == 200
    assert "data-ended" in answer.text
    assert ">SUCCEEDED</b>, CREATE_SNAPSHOT" in answer.text
    assert clean.control.calls("dev", LOOK) == 1


@pytest.mark.usefixtures("backup")
def test_airflows_interface_is_put_around_a_window_of_its_own(reader: Browser) -> None:
    if not frames_have_addresses():
        pytest.skip("before Airflow 3.3 a frame has no address")
    in_frame, in_window = (
        reader.get("work", params=BACKUP, headers={"Sec-Fetch-Dest": kind}, allow_redirects=False)
        for kind in ("iframe", "document")
    )
    assert (in_frame.status_code, in_window.status_code) == (200, 307)
    at = urlsplit(urljoin(in_window.url, in_window.headers["location"]))
    assert (f"http://{at.netloc}", at.path) == (reader.url, "/plugin/oac/oac/work")
    assert parse_qs(at.query) == {name: [value] for name, value in BACKUP.items()}


@pytest.mark.usefixtures("backup")
def test_the_gate_for_credentials_holds_for_work_requests(
    boss: Browser, clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for origin in (None, "null", "https://evil.example", "http://["):
        boss.headers["Origin"] = origin  # type: ignore[assignment]
        assert ask(boss).status_code == 403
    boss.headers["Origin"] = boss.url
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    answer = ask(boss)
    assert (answer.status_code, "[core] test_connection" in answer.json()["detail"]) == (403, True)
    assert "call --oac-conn-id oac_default GET /workRequests/" in boss.get("work", params=BACKUP).text
    assert clean.control.calls("dev", LOOK) == clean.control.calls("identity", "token") == 0


def test_what_oac_answers_is_for_all_who_may_see_the_task_and_what_is_wrong_with_a_connection_for_its_editors(
    boss: Browser, reader: Browser, backup: dict[str, Any], connections: Connections
) -> None:
    web.leave_work("oac_nightly", "unknown", "success", {**backup, "work_request_id": "12345"})
    answer = ask(reader, "unknown")
    assert (answer.status_code, "HTTP 404" in answer.text, "data-ended" in answer.text) == (200, True, False)
    # It leads elsewhere by now, and is not asked.
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    assert "but the work request is at" in ask(boss).text
    said = ask(reader).text
    assert ("Its editors see the reason" in said, "127.0.0.1" in said) == (True, False)


def test_few_work_requests_are_asked_for_at_a_time_and_each_once(
    boss: Browser, reader: Browser, connections: Connections
) -> None:
    with web.silent() as (url, arrived, let_go), ThreadPoolExecutor(5) as pool:
        connections.oac("oac_silent", host=url)
        for number in range(5):
            known = web.work_request(str(number), oac_conn_id="oac_silent", address=url)
            web.leave_work("oac_nightly", f"task_{number}", "deferred", known)
        running = []
        for number in range(4):
            running.append(pool.submit(ask, boss, f"task_{number}"))
            arrived()
        refused = ask(boss, "task_4")
        running.append(pool.submit(ask, reader, "task_0"))
        let_go()
        assert [answer.result().status_code for answer in running] == [200] * 5
    assert (refused.status_code, "4 work requests" in refused.json()["detail"]) == (429, True)


@pytest.mark.usefixtures("teams")
def test_a_connection_of_another_team_than_the_dags_is_not_asked(
    server: Server, boss: Browser, backup: dict[str, Any], clean: Simulator
) -> None:
    web.leave_work("oac_nightly", "theirs", "success", {**backup, "oac_conn_id": "oac_of_us"})
    web.leave_work("oac_nightly", "nobodys", "success", {**backup, "oac_conn_id": "oac_not_us"})
    assert "it does not exist, or Airflow cannot read it" in ask(boss, "theirs").text
    # A user of another team does not learn that there is such a Connection.
    other = server.session("other", "OP", teams=["them"])
    assert ask(other, "theirs").text.replace("oac_of_us", "") == ask(other, "nobodys").text.replace("oac_not_us", "")
    assert clean.control.calls("dev", LOOK) == 0
