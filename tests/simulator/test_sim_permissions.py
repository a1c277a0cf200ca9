"""Access control lists: reading, the three ways of changing, inheritance."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

from tests.simulator.sim_caller import Caller, encoded

AUTHOR, COLLEAGUE = "oac.author@example.com", "oac.colleague@example.com"
SALES = "/@Catalog/shared/Sales"
PIPELINE = f"{SALES}/Pipeline"
PERMISSIONS = {"read", "write", "list", "execute", "delete", "changePermission", "takeOwnership"}


def acl(sim: Caller, kind: str, plain: str) -> dict[str, list[str]]:
    """Account to the permissions that are on."""
    reply = sim.oac("POST", f"/catalog/{kind}/{encoded(plain)}/actions/getACL")
    assert reply.status_code == 200, reply.text
    return {line["accountGuid"]: [name for name, on in line["permissions"].items() if on] for line in reply.json()}


def update(sim: Caller, kind: str, plain: str, lines: Any, *, user: str = "", **members: Any) -> Any:
    path = f"/catalog/{kind}/{encoded(plain)}/actions/updateACL"
    return sim.oac(
        "POST", path, json={"aclList": lines, **members}, user=user or "oac.admin@example.com"
    )  # fmt: skip


def line(account: str, *granted: str, kind: str = "User") -> dict[str, Any]:
    return {"accountGuid": account, "accountType": kind, "permissions": dict.fromkeys(granted, True)}


def test_the_list_of_an_item_is_that_of_its_folder(sim: Caller) -> None:
    reply = sim.oac("POST", f"/catalog/workbooks/{encoded(PIPELINE)}/actions/getACL")
    for entry in reply.json():
        assert entry.keys() == {"accountGuid", "accountType", "accountDisplayName", "permissions"}
        assert entry["permissions"].keys() == PERMISSIONS
        assert entry["accountGuid"] == entry["accountDisplayName"].replace(" ", "")
    assert acl(sim, "workbooks", PIPELINE) == acl(sim, "folders", SALES)
    assert acl(sim, "workbooks", PIPELINE)["DVContentAuthor"] == ["read", "write", "list", "execute"]


def test_a_length_is_needed(sim: Caller) -> None:
    address = urlsplit(sim.url(f"/catalog/folders/{encoded(SALES)}/actions/getACL"))
    for length, status in ((None, 411), ("0", 200)):
        connection = http.client.HTTPConnection(address.netloc, timeout=20)
        connection.putrequest("POST", address.path)
        connection.putheader("Authorization", f"Bearer {sim.access_token()}")
        if length:
            connection.putheader("Content-Length", length)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        assert (reply.status, b"Length Required" in body) == (status, status == 411)


def test_the_default_drops_everyone_else(sim: Caller) -> None:
    reply = update(sim, "workbooks", PIPELINE, [line(COLLEAGUE, "read", "list")])
    [only] = reply.json()
    assert (only["accountGuid"], only["permissions"]["write"]) == (COLLEAGUE, False)
    assert acl(sim, "workbooks", PIPELINE) == {COLLEAGUE: ["read", "list"]}
    assert len(acl(sim, "folders", SALES)) == 3
    assert sim.oac("GET", f"/catalog/workbooks/{encoded(PIPELINE)}", user=AUTHOR).status_code == 403
    assert sim.oac("GET", f"/catalog/workbooks/{encoded(PIPELINE)}", user=COLLEAGUE).status_code == 200
    assert sim.oac("GET", f"/catalog/workbooks/{encoded(PIPELINE)}").status_code == 200, "the owner"


def test_only_the_named_accounts(sim: Caller) -> None:
    before = acl(sim, "workbooks", PIPELINE)
    lines = [line("DVContentAuthor", "read", kind="ApplicationRole"), line(COLLEAGUE, "write")]
    update(sim, "workbooks", PIPELINE, lines, updateMode="ReplaceMatchingAccounts")
    after = acl(sim, "workbooks", PIPELINE)
    assert after == {**before, "DVContentAuthor": ["read"], COLLEAGUE: ["write"]}
    update(sim, "workbooks", PIPELINE, [line(COLLEAGUE)], updateMode="DeleteMatchingAccounts")
    assert acl(sim, "workbooks", PIPELINE) == {**before, "DVContentAuthor": ["read"]}
    update(sim, "workbooks", PIPELINE, [], updateMode="replaceAll")
    assert acl(sim, "workbooks", PIPELINE) == {}


def test_what_lies_below_follows_only_when_asked(sim: Caller) -> None:
    before = acl(sim, "workbooks", PIPELINE)
    update(sim, "folders", SALES, [line(COLLEAGUE, "read")])
    assert acl(sim, "workbooks", PIPELINE) == before
    update(sim, "folders", SALES, [line(AUTHOR, "read")], updateMode="ReplaceMatchingAccounts", recursive=True)
    assert acl(sim, "folders", SALES) == {COLLEAGUE: ["read"], AUTHOR: ["read"]}
    assert acl(sim, "workbooks", PIPELINE) == {**before, AUTHOR: ["read"]}
    page = f"{SALES}/Sales Dashboard/Page 1"
    assert acl(sim, "dashboardpages", page) == {**before, AUTHOR: ["read"]}
    made = sim.oac("POST", "/catalog/folders", json={"parentId": encoded(SALES), "name": "New"})
    assert made.status_code == 200
    assert acl(sim, "folders", f"{SALES}/New") == acl(sim, "folders", SALES), "a new item takes over its folder's"


def test_inheritance_can_be_live(sim: Caller) -> None:
    sim.control.settings(acl_inheritance="live")
    update(sim, "folders", SALES, [line(COLLEAGUE, "read")])
    assert acl(sim, "workbooks", PIPELINE) == {COLLEAGUE: ["read"]}


def test_what_is_refused(sim: Caller) -> None:
    before = acl(sim, "folders", SALES)
    for lines in (
        None, {}, [1], [line("no.body@example.com", "read")], [line("No Role", "read", kind="ApplicationRole")],
        [line("DV Content Author", "read", kind="ApplicationRole")],
        [line(AUTHOR, "fly")], [{**line(AUTHOR), "permissions": {"read": "yes"}}], [line(AUTHOR, kind="Group")],
    ):  # fmt: skip
        assert update(sim, "folders", SALES, lines).status_code == 400, lines
    assert update(sim, "folders", SALES, [], updateMode="Merge").status_code == 400
    assert update(sim, "folders", SALES, [], recursive="yes").status_code == 400
    assert update(sim, "folders", SALES, [], user=AUTHOR).status_code == 403
    assert update(sim, "folders", f"{SALES}/None", []).status_code == 404
    assert acl(sim, "folders", SALES) == before


def test_roles_and_people_that_a_test_makes(sim: Caller) -> None:
    assert "Sales Analysts" in sim.control.add_role("Sales Analysts")
    made = sim.control.add_user("Ann@example.com", roles=["DVContentAuthor"])
    assert made["name"] == "ann@example.com"
    sim.ready["users"]["ann@example.com"] = made["password"]
    assert update(sim, "folders", SALES, [line("SalesAnalysts", "read", kind="ApplicationRole")]).status_code == 200
    path = f"/catalog/folders/{encoded(SALES)}"
    assert sim.oac("GET", path, user="ann@example.com").status_code == 403
    sim.control.user("ann@example.com", roles=["DVContentAuthor", "Sales Analysts"])
    assert sim.oac("GET", path, user="ann@example.com").status_code == 200
    sim.control.remove_user("ann@example.com")
    assert sim.oac("GET", path, user="ann@example.com").status_code == 401
    del sim.ready["users"]["ann@example.com"]
