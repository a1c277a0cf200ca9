"""The page "Oracle Analytics" over HTTP: what it shows, what it does, and for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from oac_simulator.launch import Simulator
from tests.integration.web_page import (
    Server,
    api_server,
    audit,
    card,
    commands_of,
    events,
    forget,
    leave_work,
    note,
    secrets_of,
    sign_in,
    silent,
)
from tests.redis_server import redis_server
from tests.tasks import Connections
from tools.stack import until

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


@pytest.fixture
def database(server: Server) -> Iterator[None]:
    """What a test leaves in the audit log and among the XComs is gone after it."""
    yield
    forget()


def test_the_page_shows_each_connection_and_no_secret(
    server: Server, boss: requests.Session, connections: Connections, person: str
) -> None:
    connections.oac("oac_broken", scope=None)
    answer = boss.get(f"{server.url}/oac/", timeout=60)
    assert answer.status_code == 200
    assert "jwt_assertion" in card(answer.text, "oac_default")
    assert "No user has signed in yet" in card(answer.text, person)
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


@pytest.mark.parametrize("path", ["", "static/page.js", "static/nothing", "nothing", "check/oac_default"])
def test_no_answer_is_without_these_headers(server: Server, path: str) -> None:
    for session in (server.session("boss", "ADMIN"), server.session("reader", "VIEWER"), requests.Session()):
        headers = session.get(f"{server.url}/oac/{path}", timeout=60).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_what_people_wrote_is_text(
    server: Server, boss: requests.Session, connections: Connections, database: None
) -> None:
    markup = "\"'><img src=x onerror=alert(1)>{{ 1111 * 1111 }}"
    connections.oac(user=markup, grant=markup)
    connections.oac("oac_marked", user=markup)
    note(
        "oac.check",
        {"connection_id": "oac_marked", "works": False, "failed": markup, "token_lifetime": None, "reason": markup},
        markup,
    )
    names = dict.fromkeys(("work_request_id", "oac_conn_id", "address"), markup)
    leave_work(f"dag {markup}", f"task {markup}", "success", names)
    script = "<script>alert(1)</script>"
    asked = dict.fromkeys(("connection", "oac_conn_id", "state"), script)
    page = boss.get(f"{server.url}/oac/", params=asked, timeout=60).text
    for shown in (page, boss.get(f"{server.url}/oac/", timeout=60).text):
        assert "<img" not in shown
        assert "<script>alert" not in shown
    assert "1234321" not in card(page, "oac_marked")
    assert card(page, "oac_marked").count("&lt;img") == 4
    assert "&lt;script&gt;" in page


def test_what_cannot_be_seen_is_shown_as_a_mark(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    connections.oac(user="oac\u202egpj\x1b[2J.admin\u3000売上")
    assert "oac\ufffdgpj\ufffd[2J.admin\u3000売上" in boss.get(f"{server.url}/oac/", timeout=60).text


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_who_may_not_edit_connections_does_not_learn_which_there_are(
    server: Server, connections: Connections, order: str
) -> None:
    reader = server.session("reader", "VIEWER")
    answers = [reader.post(f"{server.url}/oac/{order}/{name}", timeout=60) for name in ("oac_default", "oac_nothing")]
    texts = [answer.text.replace("oac_nothing", "oac_default") for answer in answers]
    assert (texts[0], [answer.status_code for answer in answers]) == (texts[1], [403, 403])
    pages = [reader.get(f"{server.url}/oac/?connection={name}", timeout=60) for name in ("oac_default", "oac_nothing")]
    assert (pages[0].text, pages[0].status_code) == (pages[1].text, 200)
    assert not re.search("oac_default|oac_nothing|secrets backend", pages[0].text)
    nobody = requests.post(f"{server.url}/oac/{order}/oac_default", headers=reader.headers, timeout=60)
    assert (nobody.status_code, requests.get(f"{server.url}/oac/", timeout=60).status_code) == (401, 401)


def test_who_may_edit_connections_without_being_admin_may_use_it(server: Server, connections: Connections) -> None:
    answer = server.session("operator", "OP").get(f"{server.url}/oac/", timeout=60)
    assert 'data-connection="oac_default"' in answer.text


def origins(own: str) -> list[str | None]:
    """Whatever an ``Origin`` may be that is not Airflow's; ``None``: not sent."""
    host = own.removeprefix("http://")
    name, port = host.split(":")
    return [
        None, "", "null", "None", "*", "about:blank", "data:", "blob:null", "file://", "http://", "https://", "http:",
        host, f"//{host}", name, f"http://{name}", f"http://{name}:1", f"http://{host}.evil.example",
        f"http://{host}@evil.example", f"http://evil.example@{host}", f"http://evil.example#{host}",
        f"http://evil.example/{host}", f"http://evil.example?{host}", f"http://evil.example\\@{host}",
        f"http://{name}.:{port}", f"http://localhost:{port}", f"http://[::1]:{port}", "https://evil.example",
        f"ftp://{host}", f"ws://{host}", f"javascript://{host}", f"chrome-extension://{host}", f"http://{host}, {own}",
        f"{own} https://evil.example", f"http://{name}:{port}0", f"http://x{host}", "http://[", "http://]", "http://[::1",
        "http://[x]", f"http://{name}:port", "http://\xe9.example",
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_an_order_from_another_page_is_refused(
    server: Server, boss: requests.Session, connections: Connections, order: str
) -> None:
    # Each kind with one order; each order with the kinds that end a parser, or that a browser sends by itself.
    kinds = origins(server.url) if order == "state" else [None, "null", "https://evil.example", "http://["]
    for origin in kinds:
        boss.headers["Origin"] = origin.encode("latin-1") if origin is not None else None  # type: ignore[assignment]
        answer = boss.post(f"{server.url}/oac/{order}/oac_default", timeout=60)
        assert (origin, answer.status_code) == (origin, 403)
        assert "does not come from an Airflow page" in answer.json()["detail"]


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_orders_are_given_by_post_only(
    server: Server, boss: requests.Session, connections: Connections, order: str
) -> None:
    before = audit("oac.check"), audit("oac.sign_in")
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert boss.request(method, f"{server.url}/oac/{order}/oac_default", timeout=60).status_code == 405
    assert (audit("oac.check"), audit("oac.sign_in")) == before


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
        "by": "boss", "connection_id": "oac_default", "works": True, "failed": None, "reason": None,
        "token_lifetime": entry["token_lifetime"],
    }  # fmt: skip
    later = card(boss.get(f"{server.url}/oac/", timeout=60).text, "oac_default")
    assert re.search(
        r'worked, <time datetime="[-:T.\d]+\+00:00">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</time>, by boss', later
    )


def test_a_check_that_fails_says_where_and_the_page_says_why_afterwards(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    connections.oac("oac_wrong", certificate_alias="not-imported")
    shown = card(boss.post(f"{server.url}/oac/check/oac_wrong", timeout=60).text, "oac_wrong")
    assert "level-bad" in shown
    assert "failed at sign-in" in shown
    assert 'class="step-failed"' in shown
    later = card(boss.get(f"{server.url}/oac/", timeout=60).text, "oac_wrong")
    assert re.search(r'<p class="problem reason">[^<]*certificate_alias', later)
    assert not [secret for secret in secrets_of(connections.ready) if secret in later]


@pytest.mark.parametrize("order", ["check", "sign-in"])
def test_a_deployment_that_forbids_tests_of_connections_sends_no_credentials(
    server: Server, boss: requests.Session, person: str, quick: Simulator, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    answer = boss.post(f"{server.url}/oac/{order}/{person}", timeout=60)
    assert answer.status_code == 403
    assert "[core] test_connection" in answer.json()["detail"]
    assert quick.control.calls("identity", "token") == quick.control.calls("identity", "device") == 0
    shown = card(boss.get(f"{server.url}/oac/", timeout=60).text, person)
    assert f'<button data-do="{order}" disabled ' in shown


def test_a_person_signs_in_and_a_task_goes_on_from_there(
    server: Server, boss: requests.Session, person: str, quick: Simulator
) -> None:
    from airflow_provider_oac.client.rest import system
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
    kept = hook.store_entry and hook.store_entry.read()
    assert kept
    assert kept.record.refresh_token
    assert kept.record.refresh_token not in shown.text
    assert str(kept.record.access_token) not in shown.text


def test_who_closes_the_page_gives_up(server: Server, boss: requests.Session, person: str, quick: Simulator) -> None:
    with boss.post(f"{server.url}/oac/sign-in/{person}", stream=True, timeout=60) as answer:
        name, data = next(events(answer))
        assert name == "code"
        # The device code itself stays on the server.
        assert sorted(data) == ["address", "left", "link", "user_code"]
    while not any(entry["connection_id"] == person for entry in audit("oac.sign_in")):
        pass
    assert audit("oac.sign_in")[-1]["outcome"] == "given up"
    quick.control.approve_device(data["user_code"], user=PERSON)
    assert "No user has signed in yet" in boss.post(f"{server.url}/oac/state/{person}", timeout=60).text


def test_without_a_store_a_sign_in_is_refused(
    server: Server, boss: requests.Session, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "memory")
    name, text = sign_in(boss, server, person, lambda code: pytest.fail("a code was asked for"))
    assert (name, "[oac] store is memory" in text) == ("failed", True)
    shown = card(boss.get(f"{server.url}/oac/", timeout=60).text, person)
    assert '<button data-do="sign-in" disabled ' in shown
    assert "[oac] store is memory" in shown


def test_a_grant_without_a_person_has_nothing_to_sign_in(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    name, text = sign_in(boss, server, "oac_default", lambda code: pytest.fail("a code was asked for"))
    assert (name, "needs no person" in text) == ("failed", True)
    assert "sign-in" not in card(boss.get(f"{server.url}/oac/", timeout=60).text, "oac_default")


@pytest.mark.parametrize("order", ["check", "state", "sign-in"])
def test_another_spelling_of_a_connection_of_the_environment_gives_no_other_right(
    server: Server, boss: requests.Session, connections: Connections, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    connections.oac("sys_prod")
    manager = get_auth_manager()
    monkeypatch.setattr(
        type(manager), "is_authorized_connection", lambda *_, details, **__: details.conn_id != "sys_prod"
    )
    # The last one begins with a long s, whose upper case is S.
    for spelling in ("sys_prod", "SYS_PROD", "Sys_Prod", "\u017fys_prod"):
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


@pytest.mark.usefixtures("database")
def test_entries_of_the_audit_log_that_are_no_checks_are_left_out_and_counted(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    good = {"connection_id": "oac_default", "works": True, "failed": None, "token_lifetime": 100}
    note("oac.check", good)
    strange = [
        None, "", "no JSON", "[" * 3000, [], 5, {}, {**good, "connection_id": 5}, {**good, "failed": {}},
        {**good, "token_lifetime": "long"}, {**good, "token_lifetime": 10**400}, {"connection_id": "oac_default"},
        {**good, "reason": ["long"]},
    ]  # fmt: skip
    for entry in strange:
        note("oac.check", entry)
    # Members that are ours are not an entry's to say.
    note("oac.check", {**good, "at": "never", "by": "somebody else", "works": False})
    page = boss.get(f"{server.url}/oac/", timeout=60)
    assert page.status_code == 200
    assert re.search(r"failed at an unknown step, <time .* UTC</time>, by boss", card(page.text, "oac_default"))
    assert f"unreadable entries of the audit log: {len(strange)}." in page.text


@pytest.mark.parametrize(
    ("table", "said", "still"),
    [
        ("connection", "Airflow&#39;s Connections cannot be read", "Recent work requests"),
        ("log", "audit log with the last checks cannot be read", 'data-connection="oac_default"'),
        ("xcom", "tasks and XComs cannot be read", 'data-connection="oac_default"'),
    ],
)
def test_an_airflow_with_other_tables_is_said_and_the_rest_is_shown(
    server: Server, boss: requests.Session, connections: Connections, table: str, said: str, still: str
) -> None:
    from airflow.utils.session import create_session
    from sqlalchemy import text

    def rename(before: str, after: str) -> None:
        with create_session() as session:
            session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    rename(table, f"{table}_of_tomorrow")
    try:
        page = boss.get(f"{server.url}/oac/", timeout=60)
    finally:
        rename(f"{table}_of_tomorrow", table)
    assert page.status_code == 200
    assert said in page.text
    assert "Only this page is affected" in page.text
    assert still in page.text


def test_what_was_not_foreseen_is_an_error_page_with_the_same_headers(
    server: Server, boss: requests.Session, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    def fails(*_arguments: object, **_options: object) -> bool:
        raise RuntimeError("a secret")

    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_connection", fails)
    for answer in (boss.get(f"{server.url}/oac/", timeout=60), boss.post(f"{server.url}/oac/state/x", timeout=60)):
        assert answer.status_code == 500
        assert "does not support this Airflow version" in answer.text
        assert "a secret" not in answer.text
        assert "content-security-policy" in answer.headers


def test_checks_have_limits_and_hold_up_nobody(
    server: Server, boss: requests.Session, connections: Connections
) -> None:
    with silent() as (url, arrived, let_go), ThreadPoolExecutor(5) as pool:
        for number in range(5):
            connections.oac(f"oac_silent_{number}", host=url, read_timeout=900000, connect_timeout=900000)
        running = []
        for number in range(4):
            running.append(pool.submit(boss.post, f"{server.url}/oac/check/oac_silent_{number}", timeout=60))
            arrived()
        same = boss.post(f"{server.url}/oac/check/OAC_silent_0", timeout=60)
        another = boss.post(f"{server.url}/oac/check/oac_silent_4", timeout=60)
        page = boss.get(f"{server.url}/oac/", timeout=60)
        let_go()
        assert [answer.result().status_code for answer in running] == [200] * 4
    assert (same.status_code, "already being checked" in same.json()["detail"]) == (429, True)
    assert (another.status_code, "4 Connections" in another.json()["detail"]) == (429, True)
    assert page.status_code == 200
    assert boss.post(f"{server.url}/oac/check/oac_default", timeout=60).status_code == 200


def test_sign_ins_have_a_limit(server: Server, boss: requests.Session, person: str, quick: Simulator) -> None:
    from airflow_provider_oac.web.sign_in import MOST_OF_A_USER, MOST_SIGN_INS, _running

    # A sign-in whose browser is gone, such as that of an earlier test, ends before its next poll.
    until(lambda: not _running or None, 60, lambda: f"{len(_running)} sign-ins of earlier tests are in progress")
    before = len(audit("oac.sign_in"))
    # Kept, since a reader that is collected closes its connection, and its sign-in ends.
    readers = []
    with ExitStack() as stack:
        for number in range(MOST_SIGN_INS // MOST_OF_A_USER):
            user = server.session(f"boss-{number}", "admin")
            for _ in range(MOST_OF_A_USER):
                answer = user.post(f"{server.url}/oac/sign-in/{person}", stream=True, timeout=60)
                stack.enter_context(answer)
                readers.append(events(answer))
                assert next(readers[-1])[0] == "code"
            name, text = sign_in(user, server, person, lambda code: pytest.fail("a code was asked for"))
            assert (name, "You have 2 sign-ins in progress" in text) == ("failed", True)
        name, text = sign_in(boss, server, person, lambda code: pytest.fail("a code was asked for"))
        assert (name, "Try again in a few minutes" in text) == ("failed", True)
    while len(audit("oac.sign_in")) < before + MOST_SIGN_INS:
        pass
    with boss.post(f"{server.url}/oac/sign-in/{person}", stream=True, timeout=60) as answer:
        assert next(events(answer))[0] == "code"


def test_a_page_asks_the_token_store_once_and_waits_a_few_seconds_for_it(
    server: Server, boss: requests.Session, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "redis")
    for number in range(5):
        connections.oac(f"oac_stored_{number}")
    with redis_server() as redis:
        monkeypatch.setenv("AIRFLOW__OAC__REDIS_URL", redis.url)
        page = boss.get(f"{server.url}/oac/", timeout=60).text
        calls = commands_of(redis.url)
    assert "level-bad" not in page
    assert (calls["mget"], "get" in calls) == (1, False)
    with silent() as (url, _arrived, let_go):
        monkeypatch.setenv("AIRFLOW__OAC__REDIS_URL", url.replace("http:", "redis:"))
        page = boss.get(f"{server.url}/oac/", timeout=60).text
        let_go()
    for number in range(5):
        assert "did not answer within 3 s" in card(page, f"oac_stored_{number}")


@pytest.mark.usefixtures("teams")
def test_a_connection_of_a_team_is_the_teams(server: Server) -> None:
    we, they = (server.session(name, "OP", teams=[name]) for name in ("us", "them"))
    assert "127.0.0.1" in card(we.get(f"{server.url}/oac/", timeout=60).text, "oac_of_us")
    checked = we.post(f"{server.url}/oac/check/oac_of_us", timeout=60).text
    assert "level-good" in card(checked, "oac_of_us")
    assert "oac_of_us" not in they.get(f"{server.url}/oac/", timeout=60).text
    for order in ("check", "state", "sign-in"):
        theirs, nobodys = (
            they.post(f"{server.url}/oac/{order}/{name}", timeout=60) for name in ("oac_of_us", "oac_not_us")
        )
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text.replace("oac_of_us", "") == nobodys.text.replace("oac_not_us", "")
    theirs, nobodys = (
        they.get(f"{server.url}/oac/?connection={name}", timeout=60).text for name in ("oac_of_us", "oac_not_us")
    )
    assert theirs.replace("oac_of_us", "") == nobodys.replace("oac_not_us", "")
