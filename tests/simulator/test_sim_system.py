"""System settings, mail server, safe domains, and the page at the control address."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from oac_simulator.control import ControlFailed
from tests.simulator.sim_caller import SEAL, Caller, encoded

AUTHOR = "oac.author@example.com"
MAIL = {
    "host": "smtp.example.com", "port": 587, "sender": {"displayName": "OAC", "emailAddress": "oac@example.com"},
    "auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac", "password": "secret-12345"},
    "connectionSecurity": {"connectionSecurityType": "START_TLS_CONNECTION_SECURITY"},
}  # fmt: skip
POLICY = dict.fromkeys(
    ("connect-src", "font-src", "form-action", "frame-ancestors", "frame-src", "img-src", "media-src", "script-src",
     "style-src"), False,
)  # fmt: skip


def put_settings(sim: Caller, **values: Any) -> Any:
    items = [{"key": key, "value": value} for key, value in values.items()]
    return sim.oac("PUT", "/system/settings", json={"items": items})


def settings(sim: Caller, query: str = "") -> dict[str, Any]:
    return {item["key"]: item["value"] for item in sim.oac("GET", f"/system/settings{query}").json()["items"]}


# ---------------------------------------------------------------------------------------------- settings


def test_settings_change_and_are_told_apart(sim: Caller) -> None:
    before = settings(sim)
    reply = put_settings(sim, EmailMaxRecipients="100", DefaultUserPreferredTimeZone="Europe/Vienna")
    assert (reply.status_code, reply.content) == (200, b"")
    assert settings(sim) == {**before, "EmailMaxRecipients": "100", "DefaultUserPreferredTimeZone": "Europe/Vienna"}
    assert set(settings(sim, "?type=updated")) == {"EmailMaxRecipients", "DefaultUserPreferredTimeZone"}
    assert settings(sim, "?type=default").keys() == before.keys() - {
        "EmailMaxRecipients",
        "DefaultUserPreferredTimeZone",
    }
    assert settings(sim, "?pending=true") == {}
    assert settings(sim, "?pending=false") == settings(sim)


def test_settings_can_stay_pending(sim: Caller) -> None:
    sim.control.settings(pending_seconds=600.0)
    put_settings(sim, EmailMaxRecipients="100")
    assert settings(sim, "?pending=true") == {"EmailMaxRecipients": "100"}
    assert settings(sim, "?pending=false")["EmailMaxRecipients"] == "512"
    [item] = sim.oac("GET", "/system/settings?key=EmailMaxRecipients").json()["items"]
    assert item == {"key": "EmailMaxRecipients", "value": "100", "pending": True}


@pytest.mark.parametrize(
    "values",
    [{"None": "1"}, {"EmailMaxRecipients": 100}, {"EmailMaxRecipients": "many"}, {"EnableDataQueryCache": "yes"}],
)
def test_settings_that_are_refused(sim: Caller, values: dict[str, Any]) -> None:
    before = settings(sim)
    assert put_settings(sim, DefaultUserPreferredTimeZone="UTC+1", **values).status_code == 400
    assert settings(sim) == before, "all or nothing"


# -------------------------------------------------------------------------------------------------- mail


def test_mail_server(sim: Caller) -> None:
    assert sim.oac("GET", "/system/mail/server").status_code == 404
    assert sim.oac("DELETE", "/system/mail/server").status_code == 404
    reply = sim.oac("PUT", "/system/mail/server", json=MAIL)
    assert (reply.status_code, reply.content) == (200, b"")
    shown = sim.oac("GET", "/system/mail/server").json()
    assert shown["auth"] == {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac"}
    assert {**shown, "auth": MAIL["auth"]} == MAIL
    assert sim.control.content("dev")["mail"]["auth"]["passwordSha256"] == sha256(b"secret-12345").hexdigest()
    assert sim.oac("GET", "/system/mail/server", user=AUTHOR).status_code == 401
    assert sim.oac("DELETE", "/system/mail/server").status_code == 200
    assert sim.oac("GET", "/system/mail/server").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"host": ""}, {"port": 0}, {"port": 65536}, {"port": "587"}, {"port": True}, {"sender": None},
        {"sender": {"displayName": 1}}, {"auth": {}}, {"auth": {"authType": "BASIC"}}, {"connectionSecurity": {}},
        {"auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac", "password": "short"}},
        {"auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac", "password": "x" * 256}},
        {"auth": {"authType": "USERNAME_PASSWORD_AUTH", "password": "secret-12345"}},
    ],
)  # fmt: skip
def test_mail_servers_that_are_refused(sim: Caller, change: dict[str, Any]) -> None:
    assert sim.oac("PUT", "/system/mail/server", json={**MAIL, **change}).status_code == 400
    assert sim.control.content("dev")["mail"] is None


# ------------------------------------------------------------------------------------------ safe domains


def test_safe_domains(sim: Caller) -> None:
    path = f"/system/safeDomains/{encoded('*.example.com')}"
    assert sim.oac("GET", "/system/safeDomains").json() == []
    assert sim.oac("PUT", path, json=POLICY).status_code == 201
    assert sim.oac("PUT", path, json={**POLICY, "img-src": True}).status_code == 200
    assert sim.oac("GET", "/system/safeDomains").json() == [{"*.example.com": {**POLICY, "img-src": True}}]
    assert sim.oac("DELETE", path).status_code == 200
    assert sim.oac("DELETE", path).status_code == 400
    assert sim.oac("GET", "/system/safeDomains", instance="prod").json() == []


def test_safe_domains_that_are_refused(sim: Caller) -> None:
    for plain in ("two words", "a..b", "x" * 300, "https://a.b/c"):
        assert sim.oac("PUT", f"/system/safeDomains/{encoded(plain)}", json=POLICY).status_code == 400, plain
    for body in ({}, {**POLICY, "img-src": "yes"}, []):
        path = f"/system/safeDomains/{encoded('https://a.b:8443')}"
        assert sim.oac("PUT", path, json=body).status_code == 400
    assert sim.oac("PUT", "/system/safeDomains/_", json=POLICY).status_code == 400
    assert sim.oac("GET", "/system/safeDomains").json() == []


# --------------------------------------------------------------------------------------- control address


def test_the_page_shows_what_is_there(sim: Caller) -> None:
    evil = "<script>alert('x')</script>"
    sim.snapshot(sim.snapshot_body(name=evil))
    body = {"parentId": encoded("/@Catalog/shared/Sales"), "name": "<b>bold<b>"}
    assert sim.oac("POST", "/catalog/folders", json=body).status_code == 200
    reload = sim.oac("POST", f"/catalog/datasets/{encoded(_pair('Orders'))}/actions/reload")
    sim.finished(reload.headers["oa-work-request-id"])
    sim.control.fault("POST /snapshots", "fail_work", errors=[{"code": "X", "message": "It is <full>."}])
    sim.finished(sim.start())
    reply = sim.session.get(sim.ready["control_url"] + "/", timeout=20)
    assert reply.headers["Content-Type"].startswith("text/html")
    page = reply.text
    assert '<meta http-equiv="refresh"' in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;bold" in page
    assert "It is &lt;full&gt;." in page
    for words in (
        "Instance dev", "Instance prod", "CREATE_SNAPSHOT", "RELOAD_DATASET", "ORDERS SUCCEEDED (120000 rows)",
        "Revenue by Region", "DV Content Author: rwlx", "oracle-autonomous-data-warehouse", "My Draft",
    ):  # fmt: skip
        assert words in page, words


def _pair(name: str) -> str:
    return f"'admin'.'{name}'"


def test_counts_and_items_of_a_test(sim: Caller) -> None:
    before = sim.control.counts("dev")
    assert (before["snapshots"], before["exports"], before["jobs"]) == (0, 0, 0)
    sim.control.add_items("dev", {"type": "workbooks", "plain": "/@Catalog/shared/Sales/New", "owner": AUTHOR})
    assert sim.control.counts("dev")["items"] == before["items"] + 1
    assert sim.oac("GET", "/catalog?search=new").json()[0]["owner"] == AUTHOR
    before_change = sim.oac("GET", "/catalog?search=new").json()[0]["lastModified"]
    changed = sim.control.change_item("dev", "/@Catalog/shared/Sales/New", description="changed")
    assert changed["lastModified"] > before_change
    sim.control.change_item("dev", "/@Catalog/shared/Sales/New", lastModified="2026-02-02T00:00:00Z")
    assert sim.oac("GET", "/catalog?search=new").json()[0]["lastModified"] == "2026-02-02T00:00:00Z"
    assert sim.control.remove_items("dev", "/@Catalog/shared/Sales") > 5
    sim.snapshot()
    assert sim.control.counts("dev")["snapshots"] == 1
    assert sim.control.counts("prod") == before


def test_control_calls_that_make_no_sense(sim: Caller) -> None:
    control = sim.control
    for call in (
        lambda: control.add_items("dev", {"type": "nothing", "plain": "x"}),
        lambda: control.change_item("dev", "x"),
        lambda: control.change_item("dev", "/@Catalog/shared/Sales", colour="red"),
        lambda: control.seed_many("dev", 0),
        lambda: control.start_run("dev", "workbooks", "x"),
        lambda: control.finish("dev", "x"),
        lambda: control.add_user(""),
        lambda: control.add_user(AUTHOR),
        lambda: control.add_role(" "),
        lambda: control.counts("nowhere"),
    ):
        with pytest.raises(ControlFailed):
            call()


def test_a_restore_replaces_settings_and_mail_server(sim: Caller) -> None:
    restore = {"snapshot": {"id": sim.snapshot(), "password": SEAL}}
    put_settings(sim, EmailMaxRecipients="7")
    sim.oac("PUT", "/system/mail/server", json=MAIL)
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json=restore)
    sim.finished(reply.headers["oa-work-request-id"])
    assert settings(sim)["EmailMaxRecipients"] == "512"
    assert sim.oac("GET", "/system/mail/server").status_code == 404
