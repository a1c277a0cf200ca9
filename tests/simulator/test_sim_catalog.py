"""The catalog: lists, searches, one item, details; folders, copy, move, owner."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.sim_caller import SEAL, Caller, encoded

AUTHOR, COLLEAGUE = "oac.author@example.com", "oac.colleague@example.com"
SHARED = "/@Catalog/shared"
SALES = f"{SHARED}/Sales"
PIPELINE = f"{SALES}/Pipeline"


def names(sim: Caller, path: str, **kwargs: Any) -> list[str]:
    reply = sim.oac("GET", path, **kwargs)
    assert reply.status_code == 200, reply.text
    return [item["name"] for item in reply.json()]


def act(sim: Caller, kind: str, plain: str, action: str, body: Any, **kwargs: Any) -> Any:
    return sim.oac("POST", f"/catalog/{kind}/{encoded(plain)}/actions/{action}", json=body, **kwargs)


def folder(sim: Caller, parent: str, name: str, **kwargs: Any) -> Any:
    user = {"user": kwargs.pop("user")} if "user" in kwargs else {}
    return sim.oac("POST", "/catalog/folders", json={"parentId": encoded(parent), "name": name, **kwargs}, **user)


# ----------------------------------------------------------------------------------------------- listing


def test_everyone_sees_what_the_permissions_show(sim: Caller) -> None:
    admin, author = (set(names(sim, "/catalog/workbooks?search=*", user=user)) for user in (sim_admin(), AUTHOR))
    assert "Board Pack" in admin
    assert "Board Pack" not in author
    assert "Pipeline" in author
    assert sim.oac("GET", f"/catalog/workbooks/{encoded(f'{SHARED}/Board/Board Pack')}", user=AUTHOR).status_code == 403
    drafts = {item["owner"] for item in sim.oac("GET", "/catalog?search=draft", user=AUTHOR).json()}
    assert drafts == {AUTHOR}, "nobody sees the private folder of somebody else"


def sim_admin() -> str:
    return "oac.admin@example.com"


def test_content_managers_see_everything(sim: Caller) -> None:
    every = sim.oac("GET", "/catalog/workbooks?search=draft&manageContent=true").json()
    assert len(every) == len(sim.ready["users"])
    assert len(sim.oac("GET", "/catalog/workbooks?search=draft").json()) == 1
    path = "/catalog/workbooks?search=*&manageContent=true"
    assert sim.oac("GET", path, user=AUTHOR).json()["code"] == "Forbidden"
    sim.control.user(AUTHOR, privileges=["ManageContent"])
    assert "Board Pack" in names(sim, path, user=AUTHOR)


def test_paging_defaults_and_the_limit_of_10000(sim: Caller) -> None:
    sim.control.settings(access_token_ttl=3600)
    place = sim.control.seed_many("dev", 10_500)
    first = sim.oac("GET", "/catalog/workbooks?search=item")
    assert len(first.json()) == 100
    assert (first.headers["oa-page-count"], first.headers["oa-total-items"]) == ("100", "10000")
    last = sim.oac("GET", "/catalog/workbooks?search=item&page=100")
    assert last.json()[-1]["name"] == "Item 009999"
    assert "oa-next-page" not in last.headers
    inside = sim.oac("GET", f"/catalog/folders/{encoded(place)}?search=*&limit=500&sortOrder=DESC")
    assert inside.json()[0]["name"] == "Item 010499"
    assert inside.headers["oa-page-count"] == "20"
    sim.control.settings(total_items="all", page_size=25, page_maximum=50, next_page="address")
    other = sim.oac("GET", "/catalog/workbooks?search=item")
    assert (len(other.json()), other.headers["oa-total-items"]) == (25, "10500")
    assert other.headers["oa-next-page"].endswith("/catalog/workbooks?search=item&page=2")
    assert len(sim.oac("GET", "/catalog/workbooks?search=item&limit=400").json()) == 50
    sim.control.settings(total_items="absent")
    assert "oa-total-items" not in sim.oac("GET", "/catalog/workbooks?search=item").headers
    assert sim.control.counts("dev")["types"]["workbooks"] > 10_500


def test_fields_and_order(sim: Caller) -> None:
    [only] = sim.oac("GET", "/catalog?search=pipeline&fields=name,owner").json()
    assert only == {"name": "Pipeline", "owner": sim_admin()}
    [rest] = sim.oac("GET", "/catalog?search=pipeline&excludedFields=description,owner").json()
    assert rest.keys() == {"type", "id", "name", "lastModified", "parentId"}
    up = names(sim, "/catalog/workbooks?search=*&sortBy=name")
    assert names(sim, "/catalog/workbooks?search=*&sortBy=name&sortOrder=DESC") == up[::-1]
    assert sim.oac("GET", "/catalog?search=*&sortOrder=UP").status_code == 400


def test_inside_a_folder(sim: Caller) -> None:
    path = f"/catalog/folders/{encoded(SALES)}"
    assert "items" not in sim.oac("GET", path).json()
    assert set(names(sim, f"{path}?search=*&type=workbooks")) == {"Pipeline", "Revenue by Region", "All Regions"}
    sim.control.settings(container_search="container")
    found = sim.oac("GET", f"{path}?search=pipe").json()
    assert found["name"] == "Sales"
    assert [item["name"] for item in found["items"]] == ["Pipeline"]


def test_index_that_is_not_ready(sim: Caller) -> None:
    sim.control.index_not_ready("dev", 600)
    sim.control.settings(index_retry_after=3)
    for path in ("/catalog?search=*", f"/catalog/folders/{encoded(SALES)}?search=*"):
        busy = sim.oac("GET", path)
        assert (busy.status_code, busy.json()["code"], busy.headers["Retry-After"]) == (503, "SearchIndexNotReady", "3")
    assert sim.oac("GET", f"/catalog/folders/{encoded(SALES)}").status_code == 200
    sim.control.index_not_ready("dev", 0)
    assert names(sim, "/catalog?search=pipeline") == ["Pipeline"]


def test_switches_of_lists(sim: Caller) -> None:
    sim.control.remove_items("dev", "'admin'.'Churn'")
    assert sim.oac("GET", "/catalog/models?search=*").json() == []
    sim.control.settings(empty_type="404", padded_ids=True)
    assert sim.oac("GET", "/catalog/models?search=*").status_code == 404
    ids = [item["id"] for item in sim.oac("GET", "/catalog?search=*").json()]
    assert any(text.endswith("=") for text in ids)
    assert all(len(text) % 4 == 0 for text in ids)


# ----------------------------------------------------------------------------------------------- details


def test_details_with_content_only_when_asked(sim: Caller) -> None:
    path = f"/catalog/workbooks/{encoded('/shared/Sales/Pipeline')}"
    plain = sim.oac("GET", path).json()
    assert "content" not in plain
    assert plain["id"] == encoded(PIPELINE), "lists and items hold the long form"
    assert sim.oac("GET", f"{path}?fields=name,content").json().keys() == {"name", "content"}
    sim.control.settings(detail_keys="sample")
    assert sim.oac("GET", path).json() == {
        "owner": sim_admin(), "name": "/shared/Sales/Pipeline", "description": "Pipeline (workbooks)",
        "id": encoded("/shared/Sales/Pipeline"),
    }  # fmt: skip
    connection = f"/catalog/connections/{encoded(_pair('ADW'))}"
    assert "last modified" in sim.oac("GET", connection).json()
    assert "password" not in sim.oac("GET", f"{connection}?fields=content").text
    sim.control.settings(detail_keys="item")
    assert "lastModified" in sim.oac("GET", connection).json()
    analysis = f"/catalog/analysis/{encoded('/shared/Sales/Top Customers')}"
    assert sim.oac("GET", f"{analysis}?fields=content").json()["content"]["columns"] == ["CUSTOMER", "AMOUNT"]


def _pair(name: str) -> str:
    return f"'admin'.'{name}'"


def test_details_of_nothing(sim: Caller) -> None:
    path = f"/catalog/workbooks/{encoded('/shared/Sales/None')}"
    assert sim.oac("GET", path).status_code == 404
    sim.control.settings(missing_details="400")
    assert sim.oac("GET", path).status_code == 400
    assert sim.oac("GET", f"/catalog/datasets/{encoded(_pair('None'))}").status_code == 404


# ----------------------------------------------------------------------------------------------- folders


def test_create_a_folder(sim: Caller) -> None:
    reply = folder(sim, SALES, "2026")
    assert (reply.status_code, reply.json()["type"], reply.json()["owner"]) == (200, "folders", sim_admin())
    assert reply.json()["parentId"] == encoded(SALES)
    assert folder(sim, SALES, "2026").status_code == 400
    sim.control.settings(folder_exists="200")
    assert folder(sim, SALES, "2026").json()["id"] == reply.json()["id"]
    deep = f"{SALES}/a/b"
    assert folder(sim, deep, "c").status_code == 404
    assert folder(sim, deep, "c", createIntermediateFolders=True).status_code == 200
    by_id = {"id": encoded(f"{SHARED}/New/Er"), "createIntermediateFolders": True}
    assert sim.oac("POST", "/catalog/folders", json=by_id).json()["name"] == "Er"
    assert sim.oac("GET", f"/catalog/folders/{encoded(f'{SHARED}/New')}").status_code == 200
    assert folder(sim, f"{SHARED}/Finance", "x", user=AUTHOR).status_code == 403
    for name in ("", "a/b", " ", 7):
        assert folder(sim, SALES, name).status_code == 400  # type: ignore[arg-type]


def test_a_refused_call_leaves_nothing_behind(sim: Caller) -> None:
    before = sim.control.content("dev")
    body = {"destId": encoded(f"{SALES}/New/Pipeline/../x"), "createIntermediateFolders": "yes"}
    assert act(sim, "workbooks", PIPELINE, "copy", body).status_code == 400
    body = {"destParentId": encoded(f"{SALES}/New/Er"), "newItemName": "a/b", "createIntermediateFolders": True}
    assert act(sim, "workbooks", PIPELINE, "copy", body).status_code == 400
    body = {"destParentId": encoded(f"{SALES}/In/Between"), "createIntermediateFolders": True}
    assert act(sim, "folders", SALES, "move", body).status_code == 400, "into itself"
    assert sim.control.content("dev") == before


def test_delete_a_folder(sim: Caller) -> None:
    path = f"/catalog/folders/{encoded(SALES)}"
    refused = sim.oac("DELETE", path)
    assert (refused.status_code, refused.json()["code"]) == (403, "FolderNotEmpty")
    sim.control.settings(folder_not_empty="409")
    assert sim.oac("DELETE", path).status_code == 409
    deleted = sim.oac("DELETE", f"{path}?recursive=true")
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert names(sim, "/catalog?search=pipeline") == []
    folder(sim, SHARED, "Empty")
    assert sim.oac("DELETE", f"/catalog/folders/{encoded(f'{SHARED}/Empty')}", user=AUTHOR).status_code == 403
    assert sim.oac("DELETE", f"/catalog/folders/{encoded(f'{SHARED}/Empty')}").status_code == 200
    assert sim.oac("DELETE", f"/catalog/folders/{encoded(SHARED)}?recursive=true").status_code == 403
    assert sim.oac("DELETE", "/catalog/folders/_").status_code == 404


# ---------------------------------------------------------------------------------------- copy, move, owner


def test_copy_a_workbook_and_a_folder(sim: Caller) -> None:
    body = {"destParentId": encoded(f"{SHARED}/Copies"), "newItemName": "Funnel"}
    assert act(sim, "workbooks", PIPELINE, "copy", body).status_code == 404
    made = act(sim, "workbooks", PIPELINE, "copy", {**body, "createIntermediateFolders": True}).json()
    assert (made["name"], made["id"]) == ("Funnel", encoded(f"{SHARED}/Copies/Funnel"))
    again = act(sim, "workbooks", PIPELINE, "copy", body)
    assert (again.status_code, "already" in again.json()["message"]) == (400, True)
    assert act(sim, "workbooks", PIPELINE, "copy", {**body, "overwrite": True}).status_code == 200
    assert names(sim, "/catalog?search=funnel") == ["Funnel"]
    assert act(sim, "folders", SALES, "copy", {"newItemName": "Sales 2"}, user=AUTHOR).status_code == 200
    copied = f"/catalog/folders/{encoded(f'{SHARED}/Sales 2')}?search=*"
    assert set(names(sim, copied)) == set(names(sim, f"/catalog/folders/{encoded(SALES)}?search=*"))
    assert {item["owner"] for item in sim.oac("GET", copied).json()} == {AUTHOR}
    canvases = sim.oac("POST", f"/catalog/workbooks/{encoded(f'{SHARED}/Sales 2/Pipeline')}/actions/getCanvases")
    assert len(canvases.json()["visualizeCanvases"]) == 2
    assert act(sim, "datasets", _pair("Orders"), "copy", {"newItemName": "Orders 2"}).status_code == 200


def test_copy_by_the_id_of_the_target(sim: Caller) -> None:
    made = act(sim, "workbooks", PIPELINE, "copy", {"destId": encoded("/shared/Finance/Pipeline 2")}).json()
    assert (made["name"], made["parentId"]) == ("Pipeline 2", encoded(f"{SHARED}/Finance"))
    for body in ({}, {"destId": 1}, {"destParentId": "_"}, {"newItemName": "Pipeline"}):
        assert act(sim, "workbooks", PIPELINE, "copy", body).status_code == 400, body


def test_what_may_not_be_written_into_or_read(sim: Caller) -> None:
    finance = {"destParentId": encoded(f"{SHARED}/Finance")}
    assert act(sim, "workbooks", PIPELINE, "copy", finance, user=AUTHOR).status_code == 403
    board = f"{SHARED}/Board/Board Pack"
    assert act(sim, "workbooks", board, "copy", {"newItemName": "x"}, user=AUTHOR).status_code == 403
    assert act(sim, "workbooks", PIPELINE, "move", {"newItemName": "x"}, user=AUTHOR).status_code == 403


def test_move_a_folder_with_everything_in_it(sim: Caller) -> None:
    before = sim.oac("POST", f"/catalog/folders/{encoded(SALES)}/actions/getACL").json()
    moved = act(sim, "folders", SALES, "move", {"destParentId": encoded(f"{SHARED}/Finance"), "newItemName": "S"})
    assert moved.json()["id"] == encoded(f"{SHARED}/Finance/S")
    assert sim.oac("GET", f"/catalog/folders/{encoded(SALES)}").status_code == 404
    page = f"{SHARED}/Finance/S/Sales Dashboard/Page 1"
    assert sim.oac("GET", f"/catalog/dashboardpages/{encoded(page)}").status_code == 200
    acl = sim.oac("POST", f"/catalog/folders/{encoded(f'{SHARED}/Finance/S')}/actions/getACL").json()
    assert acl == before, "what is moved keeps its permissions"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("connections", "ADW"), ("datasets", "Orders"), ("dataflows", "Load Orders"), ("sequences", "Nightly"),
     ("models", "Churn"), ("scripts", "Clean Names")],
)  # fmt: skip
def test_what_cannot_be_moved(sim: Caller, kind: str, name: str) -> None:
    reply = act(sim, kind, _pair(name), "move", {"destParentId": encoded(SALES)})
    assert (reply.status_code, "cannot be moved" in reply.json()["message"]) == (400, True)


def test_change_the_owner(sim: Caller) -> None:
    reply = act(sim, "workbooks", PIPELINE, "changeOwnership", {"accountType": "User", "owner": AUTHOR})
    assert (reply.status_code, type(reply.json())) == (200, str)
    assert sim.oac("GET", f"/catalog/workbooks/{encoded(PIPELINE)}").json()["owner"] == AUTHOR
    assert act(sim, "workbooks", PIPELINE, "changeOwnership", {"owner": "no.body@example.com"}).status_code == 400
    assert act(sim, "workbooks", PIPELINE, "changeOwnership", {"owner": COLLEAGUE}, user=AUTHOR).status_code == 403
    page = f"{SALES}/Sales Dashboard/Page 1"
    assert act(sim, "dashboardpages", page, "changeOwnership", {"owner": AUTHOR}).status_code == 400


def test_a_restore_brings_everything_into_another_instance(sim: Caller) -> None:
    act(sim, "workbooks", PIPELINE, "changeOwnership", {"owner": AUTHOR})
    line = {"accountGuid": COLLEAGUE, "accountType": "User", "permissions": {"read": True}}
    assert act(sim, "folders", SALES, "updateACL", {"aclList": [line]}).status_code == 200
    sim.oac("DELETE", f"/catalog/connections/{encoded(_pair('CRM'))}")
    sim.snapshot()
    sim.control.user(AUTHOR, instance_roles={"dev": [], "prod": ["BIServiceAdministrator"]})
    body = sim.snapshot_body(type="REGISTER")
    del body["bar"]["password"]
    registered = sim.snapshot(body, "prod")
    restore = {"snapshot": {"id": registered, "password": SEAL}}
    reply = sim.oac("POST", "/system/actions/restoreSnapshot", json=restore, instance="prod")
    assert sim.finished(reply.headers["oa-work-request-id"], "prod")["status"] == "SUCCEEDED"
    assert sim.control.content("prod") == sim.control.content("dev")
    acl = sim.oac("POST", f"/catalog/folders/{encoded(SALES)}/actions/getACL", instance="prod").json()
    assert [entry["accountGuid"] for entry in acl] == [COLLEAGUE]
    assert names(sim, "/catalog/connections?search=*", instance="prod") == ["ADW"]
    assert sim.control.user(AUTHOR)["instance_roles"] == {"dev": [], "prod": ["DVContentAuthor"]}
