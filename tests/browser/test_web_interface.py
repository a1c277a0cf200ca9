"""The way of an admin through Airflow's web interface, in order: each test goes on where the one before it ended."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from oac_simulator.launch import Simulator
from tests.browser.conftest import DAG, PATIENCE, Picture
from tests.browser.pages import ConnectionForm, OraclePage, approve
from tests.leaks import Search
from tools.stack import AirflowStack, until

PERSON = "oac_person"


def test_a_connection_is_made_by_the_form(form: ConnectionForm, wanted: dict[str, Any], picture: Picture) -> None:
    form.add("oac_default")
    form.fill(wanted)
    form.open("Sign in")
    picture("connection-form")
    form.save()


def test_it_is_tested_what_was_saved_survives_an_edit_and_a_wrong_value_is_told(
    form: ConnectionForm, page: Page, stack: AirflowStack, wanted: dict[str, Any]
) -> None:
    page.goto(f"{stack.url}/connections")
    assert form.test("oac_default").startswith("True: "), "before the edit"
    for edit in range(2):
        form.edit("oac_default")
        # What people paste.
        form.standard("host").fill(f"{wanted['host']}/ui/?edit={edit}")
        form.open("JWT assertion")
        assert form.field("private_key").input_value() == "***"
        form.save()
        assert form.test("oac_default").startswith("True: "), f"after edit {edit}"
    form.add("oac_wrong")
    form.fill({**wanted, "extra": {**wanted["extra"], "certificate_alias": "not-imported"}})
    form.save()
    said = form.test("oac_wrong")
    assert said.startswith("False: ")
    assert "alias" in said


def test_the_page_checks_it(oracle: OraclePage, picture: Picture) -> None:
    oracle.open()
    oracle.press("oac_default", "Check")
    card = oracle.card("oac_default")
    expect(card.get_by_role("listitem").filter(has_text="The user may administer it")).to_be_visible()
    expect(card).to_have_class(re.compile("level-good"))
    expect(card).to_contain_text("✓ works")
    oracle.press("oac_wrong", "Check")
    wrong = oracle.card("oac_wrong")
    expect(wrong).to_have_class(re.compile("level-bad"))
    expect(wrong).to_contain_text("✗ needs attention")
    oracle.open()
    expect(wrong).to_contain_text("Compare certificate_alias")


def test_the_page_works_by_keyboard_alone_and_says_what_came_of_it(oracle: OraclePage, page: Page) -> None:
    oracle.open()
    button = oracle.frame.get_by_role("button", name="Check oac_default", exact=True)
    oracle.tab_to(button)
    page.keyboard.press("Enter")
    said = oracle.frame.get_by_role("article", name="Connection oac_default").get_by_role("status")
    expect(said).to_contain_text("Check of oac_default: it works.")
    expect(button).to_be_focused()
    oracle.tab_to(oracle.frame.get_by_label("DAG", exact=True))
    page.keyboard.type("no_such_dag")
    page.keyboard.press("Enter")
    expect(oracle.frame.get_by_label("DAG", exact=True)).to_have_value("no_such_dag")
    expect(oracle.frame.get_by_text("No matching work requests")).to_be_visible()


def test_a_person_signs_in_on_the_page(
    oracle: OraclePage, page: Page, stack: AirflowStack, simulator: Simulator, wanted: dict[str, Any], picture: Picture
) -> None:
    extra = {**wanted["extra"], "grant": "device_code", "user": None}
    body = {"connection_id": PERSON, "conn_type": "oac", "extra": json.dumps(extra)}
    stack._http("POST", "/api/v2/connections", body | {name: wanted[name] for name in ("host", "login", "password")})
    oracle.open()
    card = oracle.card(PERSON)
    expect(card).to_have_class(re.compile("level-bad"))
    oracle.press(PERSON, "Sign in")
    code = card.locator(".user-code").inner_text()
    picture("sign-in")
    # The frame may open no windows: that the link works all the same is part of the test.
    with page.expect_popup() as opened:
        card.get_by_role("link").click()
    user, password = next(iter(simulator.ready["users"].items()))
    approve(opened.value, code, user, password)
    opened.value.close()
    expect(card).to_have_class(re.compile("level-good"), timeout=PATIENCE)
    expect(card).to_contain_text(f"Signed in as {user}")
    oracle.open()
    expect(card).to_have_class(re.compile("level-good"))
    expect(card).to_contain_text(user)


def test_the_page_has_airflows_time_zone_and_its_colors_and_is_accessible_in_both_themes(
    oracle: OraclePage, page: Page
) -> None:
    oracle.open()
    checked = oracle.card("oac_default").locator(".last-check time")
    at = datetime.fromisoformat(str(checked.get_attribute("datetime")))
    for zone in ("Asia/Tokyo", "America/New_York"):
        # What Airflow's interface keeps of the choice.
        page.evaluate("zone => localStorage.setItem('timezone', JSON.stringify(zone))", zone)
        expect(checked).to_have_text(f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}")
    oracle.press("oac_wrong", "Check")
    expect(oracle.card("oac_wrong").get_by_role("listitem").first).to_be_visible()
    assert oracle.violations() == []
    for theme in ("dark", "light"):
        oracle.theme(theme)
        airflows = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        expect(oracle.frame.locator("body")).to_have_css("background-color", airflows)
        contrasts = oracle.border_contrasts()
        assert len(contrasts) > 5
        assert min(contrasts) >= 3


def test_the_backup_is_triggered_and_its_links_are_followed_while_it_waits(
    oracle: OraclePage, page: Page, stack: AirflowStack, simulator: Simulator, picture: Picture
) -> None:
    stack.wait_dag(DAG)
    page.goto(f"{stack.url}/dags/{DAG}")
    page.get_by_role("button", name="Trigger Dag").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    run_id = until(lambda: stack.runs(DAG) or None, 30, lambda: "nothing was triggered")[-1][0]
    stack.wait_task_state(DAG, run_id, "backup", "deferred")
    oracle.open()
    row = oracle.frame.get_by_role("row").filter(has_text="backup")
    expect(row).to_contain_text("deferred")
    task_link = row.get_by_role("link", name="backup")
    task_link.focus()
    # From our page to the task in Airflow, and from there to OAC.
    with page.expect_popup() as opened:
        row.get_by_role("link", name="backup").click()
    task = opened.value
    expect(task).to_have_url(re.compile(re.escape(f"/dags/{DAG}/runs/") + ".*/tasks/backup"))
    task.get_by_role("link", name="Details", exact=True).click()
    with task.expect_popup() as followed:
        task.get_by_role("link", name="Oracle Analytics Cloud").click()
    # OAC sends whoever has not signed in there to the identity domain.
    expect(followed.value).to_have_url(re.compile(re.escape(simulator.ready["identity_url"])))
    followed.value.close()
    # The other link leads to our page of the work request, inside of Airflow's interface.
    task.get_by_role("link", name="OAC work request").click()
    expect(task).to_have_url(re.compile(re.escape(f"{stack.url}/plugin/oac/oac/work?dag_id={DAG}&")))
    followed_work = OraclePage(task, stack.url)
    state = followed_work.frame.get_by_role("status").filter(has_text="CREATE_SNAPSHOT")
    expect(state).to_be_visible()
    assert followed_work.violations() == []
    assert stack.wait_run(DAG, run_id, timeout=240) == "success"
    # Both pages follow by themselves; what has the focus keeps it.
    expect(state).to_contain_text("SUCCEEDED")
    picture("work-request", of=task)
    task.close()
    expect(row).to_contain_text("success")
    expect(task_link).to_be_focused()
    picture("page")
    page.goto(f"{stack.url}/dags/{DAG}/runs/{run_id}")
    expect(page.get_by_role("cell").get_by_role("link", name="freshness")).to_be_visible()
    picture("backup-dag")


def test_nothing_secret_is_left_in_logs_and_database(stack: AirflowStack, wanted: dict[str, Any]) -> None:
    texts = {name: wanted["extra"][name] for name in ("private_key", "user_password")}
    database = [(path.name, path.read_bytes()) for path in stack.home.glob("airflow.db*")]
    logs = [(str(path), text.encode()) for path, text in stack.all_logs()]
    assert database
    assert logs
    assert Search({**texts, "client_secret": wanted["password"]}).found(database + logs) == {}
