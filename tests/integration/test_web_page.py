"""The page "Oracle Analytics" over HTTP: what it shows, what it does, and for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from airflow_provider_oac.auth.device import DeviceCode
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.simulator.launch import Simulator
from tests.integration.web_page import (
    Server,
    api_server,
    audit,
    card,
    events,
    leave_work,
    secrets_of,
    sign_in,
    work_request,
)
from tests.tasks import Connections

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow 2.11 has no such pages")

PERSON = "oac.admin@example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with api_server(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def boss(server: Server) -> requests.Session:
    return server.session("boss", "ADMIN")


@pytest.fixture
def quick(clean: Simulator) -> Simulator:
    clean.control.settings(device_interval=1, device_send_interval=True)
    return clean


@pytest.fixture
def person(connections: Connections, quick: Simulator, request: pytest.FixtureRequest) -> str:
    """A Connection that a person signs in for. Each test has one of its own, as the store outlives them."""
    conn_id = f"person_{request.node.name}".lower()
    connections.oac(conn_id, grant="device_code", user=None)
    return conn_id


def test_the_page_shows_each_connection_and_no_secret(
    server: Server, boss: requests.Session, connections: Connections, person: str
) -> None:
    connections.oac("oac_broken", scope=None)
    answer = boss.get(f"{server.url}/oac/", timeout=60)
    assert answer.status_code == 200
    assert "jwt_assertion" in card(answer.text, "oac_default")
    assert "Nobody has signed in yet" in card(answer.text, person)
    assert "level-bad" in card(answer.text, "oac_broken")
    assert "scope" in card(answer.text, "oac_broken")
    assert 'data-connection="oac_seal"' not in answer.text
    assert not [secret for secret in secrets_of(connections.ready) if secret in answer.text]
    assert "PRIVATE KEY" not in answer.text


def test_a_browser_is_told_to_do_little_with_it(server: Server, boss: requests.Session) -> None:
    answer = boss.get(f"{server.url}/oac/", timeout=60)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"
    assert answer.headers["cache-control"] == "no-store"
    # No address of elsewhere, no inline script or style: all that the policy forbids is not there.
    assert not re.findall(r'(?:src|href)="(?:https?:)?//|<script>|<style|\son\w+=|\sstyle=', answer.text)
    for name in ("page.js", "page.css"):
        assert boss.get(f"{server.url}/oac/static/{name}", timeout=60).status_code == 200


def test_what_people_wrote_is_text(server: Server, boss: requests.Session, connections: Connections) -> None:
    connections.oac(user="<img src=x onerror=alert(1)>")
    answer = boss.get(f"{server.url}/oac/", params={"connection": "<script>alert(1)</script>"}, timeout=60)
    assert "<img" not in answer.text
    assert "<script>alert" not in answer.text
    assert "&lt;img" in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("path", ["", "check/oac_default", "state/oac_default", "sign-in/oac_default"])
def test_who_may_not_edit_connections_sees_and_does_nothing(
    server: Server, connections: Connections, path: str
) -> None:
    reader = server.session("reader", "VIEWER")
    answer = reader.request("POST" if path else "GET", f"{server.url}/oac/{path}", timeout=60)
    assert answer.status_code == 403
    assert "oac_default" not in answer.text or "no right to edit" in answer.text
    nobody = requests.request("POST" if path else "GET", f"{server.url}/oac/{path}", headers=reader.headers, timeout=60)
    assert nobody.status_code == 401
    assert not [entry for entry in audit("oac.check") + audit("oac.sign_in") if entry["by"] == "reader"]


def test_who_may_edit_connections_without_being_admin_may_use_it(server: Server, connections: Connections) -> None:
    answer = server.session("operator", "OP").get(f"{server.url}/oac/", timeout=60)
    assert 'data-connection="oac_default"' in answer.text


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_an_order_from_another_page_is_refused(
    server: Server, boss: requests.Session, connections: Connections, order: str, origin: str | None
) -> None:
    boss.headers["Origin"] = origin  # type: ignore[assignment]  (None: not sent)
    answer = boss.post(f"{server.url}/oac/{order}/oac_default", timeout=60)
    assert answer.status_code == 403
    assert "does not come from Airflow's own page" in answer.json()["detail"]


def test_behind_a_proxy_the_address_that_airflow_is_told_counts(
    server: Server, boss: requests.Session, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/here")
    boss.headers["Origin"] = "https://airflow.example.com"
    assert boss.post(f"{server.url}/oac/state/oac_default", timeout=60).status_code == 200


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
@pytest.mark.parametrize("conn_id", ["not_there", "oac_seal"])
def test_a_connection_that_is_not_there_or_not_ours(
    server: Server, boss: requests.Session, connections: Connections, order: str, conn_id: str
) -> None:
    answer = boss.post(f"{server.url}/oac/{order}/{conn_id}", timeout=60)
    assert answer.status_code == 404
    assert conn_id in answer.json()["detail"]


def test_a_check_is_shown_kept_and_in_the_audit_log(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    answer = boss.post(f"{server.url}/oac/check/oac_default", timeout=60)
    assert answer.status_code == 200
    shown = card(answer.text, "oac_default")
    assert "level-good" in shown
    assert "Signed in at" in shown
    assert not [secret for secret in secrets_of(connections.ready) if secret in answer.text]
    entry = audit("oac.check")[-1]
    assert entry == {
        "by": "boss", "connection_id": "oac_default", "works": True, "failed": None,
        "token_lifetime": entry["token_lifetime"],
    }  # fmt: skip
    later = card(boss.get(f"{server.url}/oac/", timeout=60).text, "oac_default")
    assert re.search(r"works, \d{4}-\d\d-\d\d \d\d:\d\d UTC, by boss", later)


def test_a_check_that_fails_says_where(server: Server, boss: requests.Session, connections: Connections) -> None:
    connections.oac("oac_wrong", certificate_alias="not-imported")
    shown = card(boss.post(f"{server.url}/oac/check/oac_wrong", timeout=60).text, "oac_wrong")
    assert "level-bad" in shown
    assert "failed at sign-in" in shown
    assert 'class="step-failed"' in shown


def test_a_deployment_that_forbids_tests_of_connections_forbids_the_check(
    server: Server, boss: requests.Session, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    answer = boss.post(f"{server.url}/oac/check/oac_default", timeout=60)
    assert answer.status_code == 403
    assert "[core] test_connection" in answer.json()["detail"]
    assert '<button data-do="check" disabled>' in boss.get(f"{server.url}/oac/", timeout=60).text


def test_a_person_signs_in_and_a_task_goes_on_from_there(
    server: Server, boss: requests.Session, person: str, quick: Simulator
) -> None:
    from airflow_provider_oac.client import system
    from airflow_provider_oac.hooks.oac import OACHook

    name, text = sign_in(boss, server, person, lambda code: quick.control.approve_device(code, user=PERSON))
    assert (name, f"Signed in as {PERSON}" in text) == ("done", True)
    shown = boss.post(f"{server.url}/oac/state/{person}", timeout=60)
    assert "level-good" in card(shown.text, person)
    assert PERSON in card(shown.text, person)
    assert audit("oac.sign_in")[-1] == {
        "by": "boss", "connection_id": person, "outcome": "signed in", "owner": PERSON,
    }  # fmt: skip
    hook = OACHook(person)
    assert hook.run(system.get()).service_instance_key == "dev"
    kept = hook.slot and hook.slot.read()
    assert kept
    assert kept.record.refresh_token
    assert kept.record.refresh_token not in shown.text
    assert str(kept.record.access_token) not in shown.text


def test_a_person_who_denies_it_is_told_and_nothing_is_kept(
    server: Server, boss: requests.Session, person: str, quick: Simulator
) -> None:
    name, text = sign_in(boss, server, person, lambda code: quick.control.approve_device(code, approve=False))
    assert (name, "the person denied the request" in text) == ("failed", True)
    assert "Nobody has signed in yet" in boss.post(f"{server.url}/oac/state/{person}", timeout=60).text
    assert audit("oac.sign_in")[-1]["outcome"] == "failed"


def test_who_closes_the_page_gives_up(server: Server, boss: requests.Session, person: str, quick: Simulator) -> None:
    with boss.post(f"{server.url}/oac/sign-in/{person}", stream=True, timeout=60) as answer:
        name, data = next(events(answer))
        assert name == "code"
    while not any(entry["connection_id"] == person for entry in audit("oac.sign_in")):
        pass
    assert audit("oac.sign_in")[-1]["outcome"] == "given up"
    quick.control.approve_device(data["user_code"], user=PERSON)
    assert "Nobody has signed in yet" in boss.post(f"{server.url}/oac/state/{person}", timeout=60).text


def test_the_device_code_itself_stays_on_the_server(
    server: Server, boss: requests.Session, person: str, quick: Simulator
) -> None:
    with boss.post(f"{server.url}/oac/sign-in/{person}", stream=True, timeout=60) as answer:
        _, data = next(events(answer))
    assert sorted(data) == ["address", "left", "link", "user_code"]


def test_without_a_store_a_sign_in_is_refused(
    server: Server, boss: requests.Session, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "memory")
    name, text = sign_in(boss, server, person, lambda code: pytest.fail("a code was asked for"))
    assert (name, "[oac] store is memory" in text) == ("failed", True)
    shown = card(boss.get(f"{server.url}/oac/", timeout=60).text, person)
    assert '<button data-do="sign-in" disabled>' in shown
    assert "[oac] store is memory" in shown


def test_a_grant_without_a_person_has_nothing_to_sign_in(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    name, text = sign_in(boss, server, "oac_default", lambda code: pytest.fail("a code was asked for"))
    assert (name, "needs no person" in text) == ("failed", True)
    assert "sign-in" not in card(boss.get(f"{server.url}/oac/", timeout=60).text, "oac_default")


@pytest.mark.parametrize(
    ("address", "complete", "link"),
    [
        (
            "https://idcs.example.com/device",
            "https://idcs.example.com/device?c=1",
            "https://idcs.example.com/device?c=1",
        ),
        ("http://127.0.0.1:9/device", None, "http://127.0.0.1:9/device"),
        ("https://idcs.example.com/device", "javascript:alert(1)", "https://idcs.example.com/device"),
        ("https://idcs.example.com/device", "http://idcs.example.com/d", "https://idcs.example.com/device"),
        ("http://idcs.example.com/device", None, None),
        ("javascript:alert(1)", None, None),
    ],
)
def test_only_safe_addresses_are_offered(address: str, complete: str | None, link: str | None) -> None:
    from airflow_provider_oac.web.signing_in import shown

    code = DeviceCode("secret", "ABCD", address, complete, expires_at=0.0, interval=5.0)
    if link:
        assert shown(code)["link"] == link
    else:
        with pytest.raises(OACConfigurationError, match="The address where the code is to be entered"):
            shown(code)


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_another_spelling_of_a_connection_of_the_environment_gives_no_other_right(
    server: Server, boss: requests.Session, connections: Connections, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    connections.oac("oac_prod")
    manager = get_auth_manager()
    monkeypatch.setattr(
        type(manager), "is_authorized_connection", lambda *_, details, **__: details.conn_id != "oac_prod"
    )
    for spelling in ("oac_prod", "OAC_PROD", "Oac_Prod"):
        assert boss.post(f"{server.url}/oac/{order}/{spelling}", timeout=60).status_code == 404
        page = boss.get(f"{server.url}/oac/", params={"connection": spelling}, timeout=60).text
        assert f'data-connection="{spelling}"' not in page
    assert "oac_default" in page


def test_a_connection_of_another_fernet_key_fails_its_check(server: Server, boss: requests.Session) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from cryptography.fernet import Fernet
    from sqlalchemy import delete, insert

    table = Connection.__table__
    secret = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    row = {"conn_id": "oac_other_key", "conn_type": "oac", "host": "oac.example.com", "extra": secret}
    with create_session() as session:
        session.execute(insert(table).values(**row, is_encrypted=True, is_extra_encrypted=True))
    try:
        answer = boss.post(f"{server.url}/oac/check/oac_other_key", timeout=60)
    finally:
        with create_session() as session:
            session.execute(delete(table).where(table.c.conn_id == "oac_other_key"))
    assert answer.status_code == 200, answer.text
    assert "Airflow cannot read it" in card(answer.text, "oac_other_key")
    entry = audit("oac.check")[-1]
    assert (entry["connection_id"], entry["works"], entry["failed"]) == ("oac_other_key", False, "connection")


def test_recent_work_requests_are_those_that_tasks_told_airflow(server: Server, boss: requests.Session) -> None:
    leave_work("oac_nightly", "backup", "deferred", work_request("lfc-cc:17-c9:3"))
    leave_work("oac_nightly", "export", "success", work_request("12345"))
    # What Airflow leaves by itself for a task that gave OAC no work.
    leave_work("oac_nightly", "find", "success", "")
    page = boss.get(f"{server.url}/oac/", timeout=60).text
    rows = re.findall(r"<tr>\s*<td>.*?</tr>", page, re.DOTALL)
    assert len(rows) == 2
    assert all("oac_nightly" in row and "<td>oac.example.com</td>" in row for row in rows)
    assert [row for row in rows if "12345" in row and "state-success" in row and "tasks/export" in row]
    assert [row for row in rows if "lfc-cc:17-c9:3" in row and "state-deferred" in row and "tasks/backup" in row]
