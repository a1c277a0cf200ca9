"""Access control lists: reading, the three ways of changing, inheritance."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

from tests.simulator.sim_caller import ADMIN, AUTHOR, COLLEAGUE, PIPELINE, SALES, Caller, encoded

PERMISSIONS = {"read", "write", "list", "execute", "delete", "changePermission", "takeOwnership"}


def acl(sim: Caller, kind: str, plain: str) -> dict[str, list[str]]:
    """Account to the permissions that are on."""
    reply = sim.oac("POST", f"/catalog/{kind}/{encoded(plain)}/actions/getACL")
    assert reply.status_code == 200, reply.text
    return {line["accountGuid"]: [name for name, on in line["permissions"].items() if on] for line in reply.json()}


def update(sim: Caller, kind: str, plain: str, lines: Any, user: str = ADMIN, **members: Any) -> Any:
    path = f"/catalog/{kind}/{encoded(plain)}/actions/updateACL"
    return sim.oac("POST", path, json={"aclList": lines, **members}, user=user)


def line(account: str, *granted: str, kind: str = "User") -> dict[str, Any]:
    return {"accountGuid": account, "accountType": kind, "permissions": dict.fromkeys(granted, True)}


def role(account: str, *granted: str) -> dict[str, Any]:
    return line(account, *granted, kind="ApplicationRole")


def test_the_list_of_an_item_is_that_of_its_folder(sim: Caller) -> None:
    for entry in sim.oac("POST", f"/catalog/workbooks/{encoded(PIPELINE)}/actions/getACL").json():
        assert entry.keys() == {"accountGuid", "accountType", "accountDisplayName", "permissions"}
        assert entry["permissions"].keys() == PERMISSIONS
        assert entry["accountGuid"] == entry["accountDisplayName"].replace(" ", "")
    assert acl(sim, "workbooks", PIPELINE) == acl(sim, "folders", SALES)
    assert acl(sim, "workbooks", PIPELINE)["DVContentAuthor"] == ["read", "write", "list", "execute"]


def test_a_length_is_needed(sim: Caller) -> None:
    address = urlsplit(sim.url(f"/catalog/folders/{encoded(SALES)}/actions/getACL"))
    connection = http.client.HTTPConnection(address.netloc, timeout=20)
    connection.putrequest("POST", address.path)
    connection.putheader("Authorization", f"Bearer {sim.access_token()}")
    connection.endheaders()
    reply = connection.getresponse()
    assert (reply.status, b"Length Required" in reply.read()) == (411, True)
    connection.close()


def test_the_default_drops_everyone_else(sim: Caller) -> None:
    [only] = update(sim, "workbooks", PIPELINE, [line(COLLEAGUE, "read", "list")]).json()
    assert (only["accountGuid"], only["permissions"]["write"]) == (COLLEAGUE, False)
    assert acl(sim, "workbooks", PIPELINE) == {COLLEAGUE: ["read", "list"]}
    assert len(acl(sim, "folders", SALES)) == 3
    item = f"GET /catalog/workbooks/{encoded(PIPELINE)}"
    assert [sim.status(item, user=user) for user in (AUTHOR, COLLEAGUE, ADMIN)] == [403, 200, 200], "ADMIN owns it"


def test_a_new_item_takes_over_the_list_of_its_folder(sim: Caller) -> None:
    update(sim, "folders", SALES, [line(COLLEAGUE, "read")])
    assert sim.status("POST /catalog/folders", {"parentId": encoded(SALES), "name": "New"}) == 200
    assert acl(sim, "folders", f"{SALES}/New") == {COLLEAGUE: ["read"]}


def test_inheritance_can_be_live(sim: Caller) -> None:
    sim.control.settings(acl_inheritance="live")
    update(sim, "folders", SALES, [line(COLLEAGUE, "read")])
    assert acl(sim, "workbooks", PIPELINE) == {COLLEAGUE: ["read"]}


def test_what_is_refused(sim: Caller) -> None:
    before = acl(sim, "folders", SALES)
    for lines in (
        None, {}, [1], [line("no.body@example.com", "read")], [role("No Role", "read")],
        [role("DV Content Author", "read")], [line(AUTHOR, "fly")],
        [{**line(AUTHOR), "permissions": {"read": "yes"}}], [line(AUTHOR, kind="Group")],
    ):  # fmt: skip
        assert update(sim, "folders", SALES, lines).status_code == 400, lines
    for members, status in (({"updateMode": "Merge"}, 400), ({"recursive": "yes"}, 400), ({"user": AUTHOR}, 403)):
        assert update(sim, "folders", SALES, [], **members).status_code == status
    assert update(sim, "folders", f"{SALES}/None", []).status_code == 404
    assert acl(sim, "folders", SALES) == before


def test_roles_and_people_that_a_test_makes(sim: Caller) -> None:
    ann, path = "ann@example.com", f"GET /catalog/folders/{encoded(SALES)}"
    assert "Sales Analysts" in sim.control.add_role("Sales Analysts")
    made = sim.control.add_user("Ann@example.com", roles=["DVContentAuthor"])
    assert made["name"] == ann
    assert update(sim, "folders", SALES, [role("SalesAnalysts", "read")]).status_code == 200
    assert sim.status(path, user=ann) == 403
    sim.control.user(ann, roles=["DVContentAuthor", "Sales Analysts"])
    assert sim.status(path, user=ann) == 200
    sim.control.remove_user(ann)
    assert sim.status(path, user=ann) == 401
