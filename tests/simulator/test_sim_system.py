"""System settings, mail server, safe domains, and the page at the control address."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from tests.simulator.sim_caller import AUTHOR, MAIL, POLICY, SALES, Caller, encoded, pair

SERVER, DOMAINS = "/system/mail/server", "/system/safeDomains"


def put_settings(sim: Caller, **values: Any) -> Any:
    items = [{"key": key, "value": value} for key, value in values.items()]
    return sim.oac("PUT", "/system/settings", json={"items": items})


def settings(sim: Caller, query: str = "") -> dict[str, Any]:
    return {item["key"]: item["value"] for item in sim.oac("GET", f"/system/settings{query}").json()["items"]}


def test_settings_change_and_are_told_apart(sim: Caller) -> None:
    before, changes = settings(sim), {"EmailMaxRecipients": "100", "DefaultUserPreferredTimeZone": "Europe/Vienna"}
    reply = put_settings(sim, **changes)
    assert (reply.status_code, reply.content) == (200, b"")
    assert settings(sim) == settings(sim, "?pending=false") == {**before, **changes}
    assert settings(sim, "?type=updated") == changes
    assert settings(sim, "?type=default").keys() == before.keys() - changes.keys()
    assert settings(sim, "?pending=true") == {}
    for keys in ("&key=".join(changes), ",".join(changes)):
        assert settings(sim, f"?key={keys}") == changes


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


def test_a_mail_server_shows_no_password(sim: Caller) -> None:
    assert [sim.status(f"{method} {SERVER}") for method in ("GET", "DELETE")] == [404, 404]
    assert sim.status(f"PUT {SERVER}", MAIL) == 200
    shown = sim.oac("GET", SERVER).json()
    assert shown == {**MAIL, "auth": {"authType": "USERNAME_PASSWORD_AUTH", "username": "oac"}}
    assert sim.control.content("dev")["mail"]["auth"]["passwordSha256"] == sha256(b"secret-12345").hexdigest()
    assert sim.status(f"GET {SERVER}", user=AUTHOR) == 401


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
    assert sim.status(f"PUT {SERVER}", {**MAIL, **change}) == 400
    assert sim.control.content("dev")["mail"] is None


@pytest.mark.parametrize(
    ("plain", "body"),
    [
        ("two words", POLICY), ("a..b", POLICY), ("x" * 300, POLICY), ("https://a.b/c", POLICY),
        ("https://a.b:8443", {}), ("https://a.b:8443", {**POLICY, "img-src": "yes"}), ("https://a.b:8443", []),
    ],
)  # fmt: skip
def test_safe_domains_that_are_refused(sim: Caller, plain: str, body: Any) -> None:
    assert sim.status(f"PUT {DOMAINS}/{encoded(plain)}", body) == 400
    assert sim.status(f"PUT {DOMAINS}/_", POLICY) == 400
    assert sim.oac("GET", DOMAINS).json() == []


def test_the_page_of_the_control_address(sim: Caller) -> None:
    sim.snapshot(sim.snapshot_body(name="<script>alert('x')</script>"))
    assert sim.status("POST /catalog/folders", {"parentId": encoded(SALES), "name": "<b>bold<b>"}) == 200
    sim.ended(sim.oac("POST", f"/catalog/datasets/{encoded(pair('Orders'))}/actions/reload"))
    sim.control.fault("POST /snapshots", "fail_work", errors=[{"code": "X", "message": "It is <full>."}])
    sim.finished(sim.start())
    reply = sim.session.get(sim.ready["control_url"] + "/", timeout=20)
    assert reply.headers["Content-Type"].startswith("text/html")
    assert "<script" not in reply.text
    for words in (
        '<meta http-equiv="refresh"', "&lt;script&gt;", "&lt;b&gt;bold", "It is &lt;full&gt;.",
        "Instance dev", "Instance prod", "CREATE_SNAPSHOT", "RELOAD_DATASET", "ORDERS SUCCEEDED (120000 rows)",
        "Revenue by Region", "DV Content Author: rwlx", "oracle-autonomous-data-warehouse", "My Draft",
    ):  # fmt: skip
        assert words in reply.text, words


def test_counts_and_items_of_a_test(sim: Caller) -> None:
    before, new = sim.control.counts("dev"), f"{SALES}/New"
    assert (before["snapshots"], before["exports"], before["jobs"]) == (0, 0, 0)
    sim.control.add_items("dev", {"type": "workbooks", "plain": new, "owner": AUTHOR})
    assert sim.control.counts("dev")["items"] == before["items"] + 1
    [found] = sim.oac("GET", "/catalog?search=new").json()
    assert found["owner"] == AUTHOR
    assert sim.control.change_item("dev", new, description="changed")["lastModified"] > found["lastModified"]
    sim.control.change_item("dev", new, lastModified="2026-02-02T00:00:00Z")
    assert sim.oac("GET", "/catalog?search=new").json()[0]["lastModified"] == "2026-02-02T00:00:00Z"
    assert sim.control.remove_items("dev", SALES) > 5
    sim.snapshot()
    assert sim.control.counts("dev")["snapshots"] == 1
    assert sim.control.counts("prod") == before


def test_a_restore_replaces_settings_and_mail_server(sim: Caller) -> None:
    snapshot = sim.snapshot()
    put_settings(sim, EmailMaxRecipients="7")
    assert sim.status(f"PUT {SERVER}", MAIL) == 200
    sim.restore(snapshot)
    assert (settings(sim)["EmailMaxRecipients"], sim.status(f"GET {SERVER}")) == ("512", 404)
