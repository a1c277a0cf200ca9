"""Work requests on the page "Oracle Analytics", over HTTP: which are shown, and to whom; what OAC says of one."""

from __future__ import annotations

from collections.abc import Iterator
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
from tests.integration.servers import unused_port
from tests.integration.web_page import Server, api_server, forget, leave_work, rows, silent, work_request
from tests.tasks import Connections, Task, backup_operator

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow 2.11 has no such pages")

DAG = {"dag_id": "oac_nightly", "run_id": "run"}
LOOK = "GET /workRequests/{id}"
BACKUP = {**DAG, "task_id": "backup"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with api_server(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(autouse=True)
def database(server: Server) -> Iterator[None]:
    yield
    forget()


@pytest.fixture
def boss(server: Server) -> requests.Session:
    return server.session("boss", "ADMIN")


@pytest.fixture
def reader(server: Server) -> requests.Session:
    """A user who may see all DAGs and edit no Connection."""
    return server.session("reader", "VIEWER")


def only_see(monkeypatch: pytest.MonkeyPatch, *dag_ids: str) -> None:
    """Nobody may see other DAGs than these."""
    from airflow.api_fastapi.app import get_auth_manager

    kind = type(get_auth_manager())
    monkeypatch.setattr(kind, "is_authorized_dag", lambda *_, details=None, **__: details and details.id in dag_ids)


def shown(session: requests.Session, server: Server, **wanted: object) -> list[str]:
    page = session.get(f"{server.url}/oac/", params=wanted, timeout=60)
    assert page.status_code == 200
    return rows(page.text)


def test_recent_work_requests_are_those_that_tasks_told_airflow(server: Server, reader: requests.Session) -> None:
    leave_work("oac_nightly", "backup", "deferred", work_request("lfc-cc:17-c9:3"))
    leave_work("oac_nightly", "export", "success", work_request("12345", oac_conn_id="oac_export"))
    leave_work("oac_nightly", "next", None, work_request("5"))
    found = shown(reader, server)
    assert len(found) == 3
    assert all("oac_nightly" in row for row in found)
    assert [row for row in found if "12345" in row and "state-success" in row and "<td>oac_export</td>" in row]
    assert [row for row in found if "lfc-cc:17-c9:3" in row and ">deferred<" in row and "tasks/backup" in row]
    assert [row for row in found if "tasks/next" in row and ">none<" in row]


def test_xcoms_that_are_no_work_requests_are_left_out_and_counted(server: Server, boss: requests.Session) -> None:
    good = work_request("12345")
    strange = [
        "", "x", 5, True, 1e300, [], {}, {"work_request_id": "1"}, {**good, "address": None},
        {**good, "oac_conn_id": ""}, {**good, "work_request_id": 5}, {**good, "work_request_id": "1" * 5000},
        "json:no JSON", "json:" + "[" * 3000, 'json:"http://h/1', "json:NaN", "json:null",
    ]  # fmt: skip
    for number, value in enumerate(strange):
        leave_work("oac_strange", f"task_{number}", "success", value)
    leave_work("oac_strange", "good", "success", good)
    # Readable, and no text of UTF-8.
    leave_work("oac_strange", "surrogate", "success", work_request("\ud800"))
    page = boss.get(f"{server.url}/oac/", timeout=60)
    assert page.status_code == 200
    assert len(rows(page.text)) == 2
    assert f"unreadable XComs: {len(strange)}." in page.text


def test_they_are_filtered_and_more_are_shown_on_demand(server: Server, boss: requests.Session) -> None:
    for number in range(25):
        leave_work("oac_nightly", f"task_{number}", "success", work_request(f"of-nightly-{number}"))
    leave_work("oac_weekly", "a", "failed", work_request("of-weekly"))
    leave_work("oac_weekly", "c", None, work_request("of-a-task-that-waits"))
    leave_work("oac_weekly", "b", "success", work_request("of-another", oac_conn_id="oac_other"))
    page = boss.get(f"{server.url}/oac/", timeout=60).text
    assert (len(rows(page)), "There may be more" in page) == (20, True)
    page = boss.get(f"{server.url}/oac/?rows=100", timeout=60).text
    assert (len(rows(page)), "There may be more" in page) == (28, False)
    assert len(shown(boss, server, dag_id="oac_nightly", rows=100)) == 25
    assert len(shown(boss, server, dag_id="oac_weekly")) == 3
    assert ["of-a-task-that-waits" in row for row in shown(boss, server, state="none")] == [True]
    assert ["of-weekly" in row for row in shown(boss, server, state="failed")] == [True]
    assert ["of-another" in row for row in shown(boss, server, oac_conn_id="oac_other")] == [True]
    assert shown(boss, server, dag_id="oac_nightly", state="failed") == []
    assert boss.get(f"{server.url}/oac/?rows=100000", timeout=60).status_code == 422


def test_a_user_sees_those_of_the_dags_that_the_auth_manager_shows(
    server: Server, reader: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_work("oac_nightly", "backup", "success", work_request("1"))
    leave_work("oac_secret", "backup", "success", work_request("2"))
    only_see(monkeypatch, "oac_nightly")
    assert ["oac_nightly" in row for row in shown(reader, server)] == [True]
    assert shown(reader, server, dag_id="oac_secret") == []
    secret = {**BACKUP, "dag_id": "oac_secret"}
    for method in ("GET", "POST"):
        # The answer is the same whether there is such a task or not.
        answers = [
            reader.request(method, f"{server.url}/oac/work", params=task, timeout=60)
            for task in (secret, {**secret, "task_id": "nothing"}, {**secret, "dag_id": "nothing"})
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({answer.text for answer in answers}) == 1
    assert reader.get(f"{server.url}/oac/work", params=BACKUP, timeout=60).status_code == 200
    assert requests.get(f"{server.url}/oac/work", params=BACKUP, timeout=60).status_code == 401


def entries(session: requests.Session, server: Server) -> list[str]:
    """What the plugin puts into the menu."""
    found = session.get(f"{server.url}/api/v2/plugins", timeout=60).json()["plugins"]
    (ours,) = [plugin for plugin in found if plugin["name"] == "oracle_analytics"]
    return [view["href"] for view in ours["external_views"]]


def test_the_menu_has_an_entry_for_users_who_would_see_something(
    server: Server, boss: requests.Session, reader: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (entries(boss, server), entries(reader, server)) == (["oac/"], [])
    leave_work("oac_nightly", "backup", "success", work_request("1"))
    assert entries(reader, server) == ["oac/"]
    only_see(monkeypatch, "another")
    assert entries(reader, server) == []
    assert requests.get(f"{server.url}/api/v2/plugins", timeout=60).status_code == 401
    # An unforeseen failure of the page hides nothing.
    from airflow.api_fastapi.app import get_auth_manager

    def fails(*_arguments: object, **_options: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_connection", fails)
    assert entries(boss, server) == ["oac/"]


# -- the page of one


@pytest.fixture
def backup(connections: Connections, clean: Simulator) -> dict[str, Any]:
    """What a task has told Airflow of its work request, which is done."""
    connections.oac()
    connections.seal()
    task = Task(lambda: backup_operator(deferrable=True))
    task.start()
    known: dict[str, Any] = task.ti.xcoms["oac_work_request"]
    leave_work("oac_nightly", "backup", "deferred", known)
    OACHook("oac_default").wait(known["work_request_id"])
    return known


def ask(session: requests.Session, server: Server, task_id: str = "backup") -> requests.Response:
    return session.post(f"{server.url}/oac/work", params={**BACKUP, "task_id": task_id}, timeout=60)


def test_a_work_request_has_a_page_that_asks_oac(
    server: Server, reader: requests.Session, backup: dict[str, Any], clean: Simulator
) -> None:
    page = reader.get(f"{server.url}/oac/work", params=BACKUP, timeout=60)
    assert page.status_code == 200
    for text in ("oac_nightly", "backup", backup["work_request_id"], "oac_default", 'id="answer" role="status"'):
        assert text in page.text
    before = clean.control.calls("dev", LOOK)
    answer = ask(reader, server)
    assert answer.status_code == 200
    assert "data-ended" in answer.text
    assert ">SUCCEEDED</b>, CREATE_SNAPSHOT" in answer.text
    assert clean.control.calls("dev", LOOK) == before + 1


def test_its_address_is_the_one_that_operators_link(server: Server, backup: dict[str, Any]) -> None:
    of = SimpleNamespace(**BACKUP, map_index=-1)
    page = server.session("reader", "VIEWER").get(f"{server.url}/{work_request_page(of)}", timeout=60)
    assert backup["work_request_id"] in page.text


@pytest.mark.parametrize("told", [True, False])
def test_airflows_interface_is_put_around_a_window_of_its_own(
    server: Server, reader: requests.Session, backup: dict[str, Any], monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    if not frames_have_addresses():
        pytest.skip("before Airflow 3.3 a frame has no address")
    reader.headers["Sec-Fetch-Dest"] = "document" if told else "iframe"
    answer = reader.get(f"{server.url}/oac/work", params=BACKUP, timeout=60, allow_redirects=False)
    assert answer.status_code == (307 if told else 200)
    if told:
        at = urlsplit(urljoin(answer.url, answer.headers["location"]))
        assert (at.netloc, at.path) == (urlsplit(server.url).netloc, "/plugin/oac/oac/work")
        assert parse_qs(at.query) == {name: [value] for name, value in BACKUP.items()}


def test_the_gate_for_credentials_holds_for_work_requests(
    server: Server, boss: requests.Session, backup: dict[str, Any], clean: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    clean.control.reset_counters()
    answer = ask(boss, server)
    assert (answer.status_code, "[core] test_connection" in answer.json()["detail"]) == (403, True)
    page = boss.get(f"{server.url}/oac/work", params=BACKUP, timeout=60).text
    assert "call --oac-conn-id oac_default GET /workRequests/" in page
    assert clean.control.calls("dev", LOOK) == clean.control.calls("identity", "token") == 0


def test_oac_is_asked_by_airflows_own_pages_only(
    server: Server, boss: requests.Session, backup: dict[str, Any], clean: Simulator
) -> None:
    clean.control.reset_counters()
    for origin in (None, "null", "https://evil.example", "http://["):
        boss.headers["Origin"] = origin  # type: ignore[assignment]
        assert ask(boss, server).status_code == 403
    assert clean.control.calls("dev", LOOK) == 0


def test_a_connection_that_leads_elsewhere_by_now_is_not_asked(
    server: Server, boss: requests.Session, reader: requests.Session, backup: dict[str, Any], connections: Connections
) -> None:
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    assert "but the work request is at" in ask(boss, server).text
    # What is wrong with a Connection is for those who may edit it.
    assert "Its editors see the reason" in ask(reader, server).text
    assert "127.0.0.1" not in ask(reader, server).text


def test_what_oac_answers_is_for_all_who_may_see_the_task(
    server: Server, reader: requests.Session, backup: dict[str, Any]
) -> None:
    leave_work("oac_nightly", "unknown", "success", {**backup, "work_request_id": "12345"})
    answer = ask(reader, server, "unknown")
    assert (answer.status_code, "HTTP 404" in answer.text) == (200, True)
    assert "data-ended" not in answer.text


def test_few_work_requests_are_asked_for_at_a_time_and_each_once(
    server: Server, boss: requests.Session, reader: requests.Session, connections: Connections
) -> None:
    with silent() as (url, arrived, let_go), ThreadPoolExecutor(5) as pool:
        connections.oac("oac_silent", host=url)
        for number in range(5):
            known = work_request(str(number), oac_conn_id="oac_silent", address=url)
            leave_work("oac_nightly", f"task_{number}", "deferred", known)
        running = []
        for number in range(4):
            running.append(pool.submit(ask, boss, server, f"task_{number}"))
            arrived()
        refused = ask(boss, server, "task_4")
        running.append(pool.submit(ask, reader, server, "task_0"))
        let_go()
        assert [answer.result().status_code for answer in running] == [200] * 5
    assert (refused.status_code, "4 work requests" in refused.json()["detail"]) == (429, True)


@pytest.mark.usefixtures("teams")
def test_a_connection_of_another_team_than_the_dags_is_not_asked(
    server: Server, boss: requests.Session, backup: dict[str, Any], clean: Simulator
) -> None:
    clean.control.reset_counters()
    leave_work("oac_nightly", "theirs", "success", {**backup, "oac_conn_id": "oac_of_us"})
    leave_work("oac_nightly", "nobodys", "success", {**backup, "oac_conn_id": "oac_not_us"})
    assert "it does not exist, or Airflow cannot read it" in ask(boss, server, "theirs").text
    # A user of another team does not learn that there is such a Connection.
    other = server.session("other", "OP", teams=["them"])
    theirs, nobodys = (ask(other, server, task_id).text for task_id in ("theirs", "nobodys"))
    assert theirs.replace("oac_of_us", "") == nobodys.replace("oac_not_us", "")
    assert clean.control.calls("dev", LOOK) == 0
