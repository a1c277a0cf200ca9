"""The page "Oracle Analytics" over HTTP: what it shows, what it does, and for whom."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from airflow.models import Connection
from airflow.utils.session import create_session
from cryptography.fernet import Fernet
from sqlalchemy import delete, insert, text

from airflow_provider_oac.client.rest import system
from airflow_provider_oac.hooks.oac import OACHook
from oac_simulator.launch import Simulator
from tests.integration import web_page as web
from tests.integration.web_page import Browser, Server, a_boss, a_database, a_reader, api_server  # noqa: F401 (fixtures)
from tests.redis_server import redis_server
from tests.tasks import ADMIN, Connections
from tools.stack import until

pytest.importorskip("airflow.api_fastapi.core_api.security", reason="Airflow 2.11 has no such pages")

pytestmark = pytest.mark.usefixtures("connections")
ORDERS = ("check", "state", "sign-in")
EACH_ORDER = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture
def person(connections: Connections, quick: Simulator, request: pytest.FixtureRequest) -> str:
    """A Connection that a person signs in for. Each test has one of its own, as the store outlives them."""
    conn_id = f"person_{request.node.name}".lower()
    connections.oac(conn_id, grant="device_code", user=None)
    return conn_id


def secrets_in(shown: str, connections: Connections) -> list[str]:
    ready = connections.ready
    key = Path(ready["private_key_file"]).read_text().splitlines()[1]
    return [secret for secret in (key, ready["client_secret"], *ready["users"].values()) if secret in shown]


def test_the_page_shows_each_connection_and_no_secret(boss: Browser, connections: Connections, person: str) -> None:
    connections.oac("oac_broken", scope=None)
    connections.oac("oac_hidden", user="oac\u202egpj\x1b[2J.admin\u3000売上")
    answer = boss.get("")
    assert answer.status_code == 200
    assert "jwt_assertion" in web.card(answer.text, "oac_default")
    assert "No user has signed in yet" in web.card(answer.text, person)
    assert re.search("level-bad.*scope", web.card(answer.text, "oac_broken"), re.DOTALL)
    # What cannot be seen is shown as a mark.
    assert "oac\ufffdgpj\ufffd[2J.admin\u3000売上" in web.card(answer.text, "oac_hidden")
    assert 'data-connection="oac_seal"' not in answer.text
    assert not secrets_in(answer.text, connections)
    assert "PRIVATE KEY" not in answer.text


def test_a_browser_is_told_to_do_little_with_any_answer(server: Server, boss: Browser, reader: Browser) -> None:
    for path in ("", "static/page.js", "static/nothing", "nothing", "check/oac_default"):
        for browser in (boss, reader, server.nobody()):
            headers = browser.get(path).headers
            policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
            ours = ("script-src", "style-src", "connect-src", "frame-ancestors")
            assert policy.items() >= {"default-src": "'none'", **dict.fromkeys(ours, "'self'")}.items()
            assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    # No address of elsewhere, no inline script or style: all that the policy forbids is not there.
    assert not re.findall(r'(?:src|href)="(?:https?:)?//|<script>|<style|\son\w+=|\sstyle=', boss.get("").text)
    assert [boss.get(f"static/{name}").status_code for name in ("page.js", "page.css")] == [200, 200]


@pytest.mark.usefixtures("database")
def test_what_people_wrote_is_text(boss: Browser, connections: Connections) -> None:
    markup = "\"'><img src=x onerror=alert(1)>{{ 1111 * 1111 }}"
    connections.oac(user=markup, grant=markup)
    connections.oac("oac_marked", user=markup)
    failed = {"works": False, "failed": markup, "token_lifetime": None, "reason": markup}
    web.note("oac.check", {"connection_id": "oac_marked", **failed}, markup)
    names = dict.fromkeys(("work_request_id", "oac_conn_id", "address"), markup)
    web.leave_work(f"dag {markup}", f"task {markup}", "success", names)
    asked = dict.fromkeys(("connection", "oac_conn_id", "state"), "<script>alert(1)</script>")
    page = boss.get("", params=asked).text
    for shown in (page, boss.get("").text):
        assert "<img" not in shown
        assert "<script>alert" not in shown
    assert "1234321" not in web.card(page, "oac_marked")
    assert web.card(page, "oac_marked").count("&lt;img") == 4
    assert "&lt;script&gt;" in page


# ------------------------------------------------------------------------------------------------ who may do what


def alike(browser: Browser, method: str, address: str, conn_id: str) -> int:
    """The status of the answer about a Connection, which is that about one that is not there."""
    about, about_none = (browser.request(method, address + name) for name in (conn_id, "oac_nothing"))
    assert about.text.replace(conn_id, "") == about_none.text.replace("oac_nothing", "")
    assert about.status_code == about_none.status_code
    return about.status_code


@EACH_ORDER
def test_who_may_not_edit_connections_does_not_learn_which_there_are(
    order: str, server: Server, reader: Browser
) -> None:
    assert alike(reader, "POST", f"{order}/", "oac_default") == 403
    assert alike(reader, "GET", "?connection=", "oac_default") == 200
    assert not re.search("oac_default|oac_nothing|secrets backend", reader.get("?connection=oac_default").text)
    nobody = server.nobody()
    assert (nobody.post(f"{order}/oac_default").status_code, nobody.get("").status_code) == (401, 401)


def test_who_may_edit_connections_without_being_admin_may_use_it(server: Server) -> None:
    assert 'data-connection="oac_default"' in server.session("operator", "OP").get("").text


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


@EACH_ORDER
def test_an_order_is_given_by_post_and_from_airflows_own_page_only(order: str, server: Server, boss: Browser) -> None:
    before = web.audit("oac.check"), web.audit("oac.sign_in")
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert boss.request(method, f"{order}/oac_default").status_code == 405
    # Each kind with one order; each order with the kinds that end a parser, or that a browser sends by itself.
    for origin in origins(server.url) if order == "state" else [None, "null", "https://evil.example", "http://["]:
        boss.headers["Origin"] = origin.encode("latin-1") if origin is not None else None  # type: ignore[assignment]
        answer = boss.post(f"{order}/oac_default")
        assert (origin, answer.status_code) == (origin, 403)
        assert "does not come from an Airflow page" in answer.json()["detail"]
    assert (web.audit("oac.check"), web.audit("oac.sign_in")) == before


def test_behind_a_proxy_the_address_that_airflow_is_told_counts(boss: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/here")
    boss.headers["Origin"] = "https://airflow.example.com"
    assert boss.post("state/oac_default").status_code == 200


@EACH_ORDER
def test_a_connection_that_is_not_there_or_not_ours(order: str, boss: Browser) -> None:
    for conn_id in ("not_there", "oac_seal"):
        answer = boss.post(f"{order}/{conn_id}")
        assert (answer.status_code, conn_id in answer.json()["detail"]) == (404, True)


@EACH_ORDER
def test_another_spelling_of_a_connection_of_the_environment_gives_no_other_right(
    order: str, boss: Browser, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections.oac("sys_prod")
    web.deciding(monkeypatch, "connection", lambda conn_id: conn_id != "sys_prod")
    # The last one begins with a long s, whose upper case is S.
    for spelling in ("sys_prod", "SYS_PROD", "Sys_Prod", "\u017fys_prod"):
        assert boss.post(f"{order}/{spelling}").status_code == 404
        page = boss.get("", params={"connection": spelling}).text
        assert f'data-connection="{spelling}"' not in page
        assert "oac_default" in page


@pytest.mark.usefixtures("teams")
def test_a_connection_of_a_team_is_the_teams(server: Server) -> None:
    we, they = (server.session(name, "OP", teams=[name]) for name in ("us", "them"))
    assert "127.0.0.1" in web.card(we.get("").text, "oac_of_us")
    assert "level-good" in web.card(we.post("check/oac_of_us").text, "oac_of_us")
    assert "oac_of_us" not in they.get("").text
    assert [alike(they, "POST", f"{order}/", "oac_of_us") for order in ORDERS] == [404] * 3
    assert alike(they, "GET", "?connection=", "oac_of_us") == 200


# ---------------------------------------------------------------------------------------------------------- checks


def test_a_check_is_shown_kept_and_in_the_audit_log(boss: Browser, connections: Connections) -> None:
    answer = boss.post("check/oac_default")
    assert answer.status_code == 200
    assert re.search("level-good.*Signed in at", web.card(answer.text, "oac_default"), re.DOTALL)
    assert not secrets_in(answer.text, connections)
    entry = web.audit("oac.check")[-1]
    assert entry == {
        "by": "boss", "connection_id": "oac_default", "works": True, "failed": None, "reason": None,
        "token_lifetime": entry["token_lifetime"],
    }  # fmt: skip
    shown = r'worked, <time datetime="[-:T.\d]+\+00:00">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</time>, by boss'
    assert re.search(shown, web.card(boss.get("").text, "oac_default"))


def test_a_check_that_fails_says_where_and_the_page_says_why_afterwards(
    boss: Browser, connections: Connections
) -> None:
    connections.oac("oac_wrong", certificate_alias="not-imported")
    shown = web.card(boss.post("check/oac_wrong").text, "oac_wrong")
    for said in ("level-bad", "failed at sign-in", 'class="step-failed"'):
        assert said in shown
    later = web.card(boss.get("").text, "oac_wrong")
    assert re.search(r'<p class="problem reason">[^<]*certificate_alias', later)
    assert not secrets_in(later, connections)


def test_a_connection_of_another_fernet_key_fails_its_check(boss: Browser) -> None:
    table = Connection.__table__
    secret = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    row = {"conn_id": "oac_other_key", "conn_type": "oac", "host": "oac.example.com", "extra": secret}
    with create_session() as session:
        session.execute(insert(table).values(**row, is_encrypted=True, is_extra_encrypted=True))
    try:
        answer = boss.post("check/oac_other_key")
    finally:
        with create_session() as session:
            session.execute(delete(table).where(table.c.conn_id == "oac_other_key"))
    assert answer.status_code == 200, answer.text
    assert "Airflow cannot read it" in web.card(answer.text, "oac_other_key")
    entry = web.audit("oac.check")[-1]
    assert (entry["connection_id"], entry["works"], entry["failed"]) == ("oac_other_key", False, "connection")


@pytest.mark.usefixtures("database")
def test_entries_of_the_audit_log_that_are_no_checks_are_left_out_and_counted(
    boss: Browser, connections: Connections
) -> None:
    good = {"connection_id": "oac_default", "works": True, "failed": None, "token_lifetime": 100}
    strange = [
        None, "", "no JSON", "[" * 3000, [], 5, {}, {**good, "connection_id": 5}, {**good, "failed": {}},
        {**good, "token_lifetime": "long"}, {**good, "token_lifetime": 10**400}, {"connection_id": "oac_default"},
        {**good, "reason": ["long"]},
    ]  # fmt: skip
    # Members that are ours are not an entry's to say.
    for entry in (good, *strange, {**good, "at": "never", "by": "somebody else", "works": False}):
        web.note("oac.check", entry)
    page = boss.get("")
    assert page.status_code == 200
    assert re.search(r"failed at an unknown step, <time .* UTC</time>, by boss", web.card(page.text, "oac_default"))
    assert f"unreadable entries of the audit log: {len(strange)}." in page.text


def test_checks_have_limits_and_hold_up_nobody(boss: Browser, connections: Connections) -> None:
    with web.silent() as (url, arrived, let_go), ThreadPoolExecutor(5) as pool:
        for number in range(5):
            connections.oac(f"oac_silent_{number}", host=url, read_timeout=900000, connect_timeout=900000)
        running = []
        for number in range(4):
            running.append(pool.submit(boss.post, f"check/oac_silent_{number}"))
            arrived()
        same, another, page = boss.post("check/OAC_silent_0"), boss.post("check/oac_silent_4"), boss.get("")
        let_go()
        assert [answer.result().status_code for answer in running] == [200] * 4
    assert (same.status_code, "already being checked" in same.json()["detail"]) == (429, True)
    assert (another.status_code, "4 Connections" in another.json()["detail"]) == (429, True)
    assert page.status_code == 200
    assert boss.post("check/oac_default").status_code == 200


# -------------------------------------------------------------------------------------------------------- sign-ins


@pytest.mark.parametrize("order", ["check", "sign-in"])
def test_a_deployment_that_forbids_tests_of_connections_sends_no_credentials(
    order: str, boss: Browser, person: str, quick: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Disabled")
    answer = boss.post(f"{order}/{person}")
    assert (answer.status_code, "[core] test_connection" in answer.json()["detail"]) == (403, True)
    assert quick.control.calls("identity", "token") == quick.control.calls("identity", "device") == 0
    assert f'<button data-do="{order}" disabled ' in web.card(boss.get("").text, person)


def test_a_person_signs_in_and_a_task_goes_on_from_there(boss: Browser, person: str, quick: Simulator) -> None:
    name, said = web.sign_in(boss, person, lambda code: quick.control.approve_device(code, user=ADMIN))
    assert (name, f"Signed in as {ADMIN}" in said) == ("done", True)
    shown = boss.post(f"state/{person}").text
    assert "level-good" in web.card(shown, person)
    assert ADMIN in web.card(shown, person)
    entry = {"by": "boss", "connection_id": person, "outcome": "signed in", "owner": ADMIN}
    assert web.audit("oac.sign_in")[-1] == entry
    hook = OACHook(person)
    assert hook.run(system.get()).service_instance_key == "dev"
    kept = hook.store_entry and hook.store_entry.read()
    assert kept
    assert kept.record.refresh_token
    assert not [token for token in (kept.record.refresh_token, str(kept.record.access_token)) if token in shown]


def test_who_closes_the_page_gives_up(boss: Browser, person: str, quick: Simulator) -> None:
    with boss.post(f"sign-in/{person}", stream=True) as answer:
        name, data = next(web.events(answer))
        # The device code itself stays on the server.
        assert (name, sorted(data)) == ("code", ["address", "left", "link", "user_code"])
    while not any(entry["connection_id"] == person for entry in web.audit("oac.sign_in")):
        pass
    assert web.audit("oac.sign_in")[-1]["outcome"] == "given up"
    quick.control.approve_device(data["user_code"], user=ADMIN)
    assert "No user has signed in yet" in boss.post(f"state/{person}").text


def no_code(_code: str) -> None:
    pytest.fail("a code was asked for")


def test_a_sign_in_that_cannot_serve_is_refused(boss: Browser, person: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, said = web.sign_in(boss, "oac_default", no_code)
    assert (name, "needs no person" in said) == ("failed", True)
    assert "sign-in" not in web.card(boss.get("").text, "oac_default")
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "memory")
    name, said = web.sign_in(boss, person, no_code)
    assert (name, "[oac] store is memory" in said) == ("failed", True)
    shown = web.card(boss.get("").text, person)
    assert '<button data-do="sign-in" disabled ' in shown
    assert "[oac] store is memory" in shown


def test_sign_ins_have_a_limit(server: Server, boss: Browser, person: str, quick: Simulator) -> None:
    from airflow_provider_oac.web.sign_in import MOST_OF_A_USER, MOST_SIGN_INS, _running

    # A sign-in whose browser is gone, such as that of an earlier test, ends before its next poll.
    until(lambda: not _running or None, 60, lambda: f"{len(_running)} sign-ins of earlier tests are in progress")
    before = len(web.audit("oac.sign_in"))
    # Kept, since a reader that is collected closes its connection, and its sign-in ends.
    readers = []
    with ExitStack() as stack:
        for number in range(MOST_SIGN_INS // MOST_OF_A_USER):
            user = server.session(f"boss-{number}", "admin")
            for _ in range(MOST_OF_A_USER):
                readers.append(web.events(stack.enter_context(user.post(f"sign-in/{person}", stream=True))))
                assert next(readers[-1])[0] == "code"
            name, said = web.sign_in(user, person, no_code)
            assert (name, "You have 2 sign-ins in progress" in said) == ("failed", True)
        name, said = web.sign_in(boss, person, no_code)
        assert (name, "Try again in a few minutes" in said) == ("failed", True)
    while len(web.audit("oac.sign_in")) < before + MOST_SIGN_INS:
        pass
    with boss.post(f"sign-in/{person}", stream=True) as answer:
        assert next(web.events(answer))[0] == "code"


# --------------------------------------------------------------------------------------------- what is out of order


@pytest.mark.parametrize(
    ("table", "said", "still"),
    [
        ("connection", "Airflow&#39;s Connections cannot be read", "Recent work requests"),
        ("log", "audit log with the last checks cannot be read", 'data-connection="oac_default"'),
        ("xcom", "tasks and XComs cannot be read", 'data-connection="oac_default"'),
    ],
)
def test_an_airflow_with_other_tables_is_said_and_the_rest_is_shown(
    table: str, said: str, still: str, boss: Browser
) -> None:
    def rename(before: str, after: str) -> None:
        with create_session() as session:
            session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    rename(table, f"{table}_of_tomorrow")
    try:
        page = boss.get("")
    finally:
        rename(f"{table}_of_tomorrow", table)
    assert page.status_code == 200
    for shown in (said, "Only this page is affected", still):
        assert shown in page.text


def test_what_was_not_foreseen_is_an_error_page_with_the_same_headers(
    boss: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.deciding(monkeypatch, "connection", web.fails)
    for answer in (boss.get(""), boss.post("state/x")):
        assert answer.status_code == 500
        assert "does not support this Airflow version" in answer.text
        assert "a secret" not in answer.text
        assert "content-security-policy" in answer.headers


def test_a_page_asks_the_token_store_once_and_waits_a_few_seconds_for_it(
    boss: Browser, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    monkeypatch.setenv("AIRFLOW__OAC__STORE", "redis")
    for number in range(5):
        connections.oac(f"oac_stored_{number}")
    with redis_server() as store, redis.Redis.from_url(store.url) as client:
        monkeypatch.setenv("AIRFLOW__OAC__REDIS_URL", store.url)
        page = boss.get("").text
        calls = client.info("commandstats")
    assert "level-bad" not in page
    assert (calls["cmdstat_mget"]["calls"], "cmdstat_get" in calls) == (1, False)
    with socket.create_server(("127.0.0.1", 0)) as silent_one:
        monkeypatch.setenv("AIRFLOW__OAC__REDIS_URL", f"redis://127.0.0.1:{silent_one.getsockname()[1]}")
        page = boss.get("").text
    for number in range(5):
        assert "did not answer within 3 s" in web.card(page, f"oac_stored_{number}")
