"""The catalog: lists, searches, one item, details; folders, copy, move, owner."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.sim_caller import ADMIN, AUTHOR, COLLEAGUE, PIPELINE, SALES, SHARED, Caller, encoded, pair

FOLDER, ITEM = f"/catalog/folders/{encoded(SALES)}", f"/catalog/workbooks/{encoded(PIPELINE)}"
BOARD, FINANCE = f"{SHARED}/Board/Board Pack", f"{SHARED}/Finance"
PAGE = f"{SALES}/Sales Dashboard/Page 1"


def names(sim: Caller, path: str, **kwargs: Any) -> list[str]:
    reply = sim.oac("GET", path, **kwargs)
    assert reply.status_code == 200, reply.text
    return [item["name"] for item in reply.json()]


def act(sim: Caller, kind: str, plain: str, action: str, body: Any, **kwargs: Any) -> Any:
    return sim.oac("POST", f"/catalog/{kind}/{encoded(plain)}/actions/{action}", json=body, **kwargs)


def acl(sim: Caller, plain: str, instance: str = "dev") -> list[Any]:
    return list(sim.oac("POST", f"/catalog/folders/{encoded(plain)}/actions/getACL", instance=instance).json())


def test_users_see_what_the_permissions_and_privileges_show(sim: Caller) -> None:
    path = "/catalog/workbooks?search=*"
    every, mine = (names(sim, path, user=user) for user in (ADMIN, AUTHOR))
    assert set(every) - set(mine) == {"Board Pack"}
    assert len(names(sim, f"{path}&manageContent=true")) == len(every) + len(sim.ready["users"]) - 1
    assert sim.oac("GET", f"{path}&manageContent=true", user=AUTHOR).json()["code"] == "Forbidden"
    sim.control.user(AUTHOR, privileges=["ManageContent"])
    assert "Board Pack" in names(sim, f"{path}&manageContent=true", user=AUTHOR)


def test_paging_defaults_and_the_limit_of_10000(sim: Caller) -> None:
    sim.control.settings(access_token_ttl=3600)
    place, path = sim.control.seed_many("dev", 10_500), "/catalog/workbooks?search=item"
    first, last = sim.oac("GET", path), sim.oac("GET", f"{path}&page=100")
    assert len(first.json()) == 100
    assert (first.headers["oa-page-count"], first.headers["oa-total-items"]) == ("100", "10000")
    assert (last.json()[-1]["name"], "oa-next-page" in last.headers) == ("Item 009999", False)
    inside = sim.oac("GET", f"/catalog/folders/{encoded(place)}?search=*&limit=500&sortOrder=DESC")
    assert (inside.json()[0]["name"], inside.headers["oa-page-count"]) == ("Item 010499", "20")
    sim.control.settings(total_items="all", page_size=25, page_maximum=50, next_page="address")
    other = sim.oac("GET", path)
    assert (len(other.json()), other.headers["oa-total-items"]) == (25, "10500")
    assert other.headers["oa-next-page"].endswith(f"{path}&page=2")
    assert len(names(sim, f"{path}&limit=400")) == 50
    sim.control.settings(total_items="absent")
    assert "oa-total-items" not in sim.oac("GET", path).headers
    assert sim.control.counts("dev")["types"]["workbooks"] > 10_500


def test_fields_and_order(sim: Caller) -> None:
    [only] = sim.oac("GET", "/catalog?search=pipeline&fields=name,owner").json()
    assert only == {"name": "Pipeline", "owner": ADMIN}
    [rest] = sim.oac("GET", "/catalog?search=pipeline&excludedFields=description,owner").json()
    assert rest.keys() == {"type", "id", "name", "lastModified", "parentId"}
    up = names(sim, "/catalog/workbooks?search=*&sortBy=name")
    assert names(sim, "/catalog/workbooks?search=*&sortBy=name&sortOrder=DESC") == up[::-1]


def test_an_index_that_is_not_ready(sim: Caller) -> None:
    sim.control.index_not_ready("dev", 600)
    sim.control.settings(index_retry_after=3)
    for path in ("/catalog?search=*", f"{FOLDER}?search=*"):
        busy = sim.oac("GET", path)
        assert (busy.status_code, busy.json()["code"], busy.headers["Retry-After"]) == (503, "SearchIndexNotReady", "3")
    assert sim.status(f"GET {FOLDER}") == 200
    # Without a search, OAC lists the types only.
    assert {"type": "workbooks"} in sim.oac("GET", "/catalog").json()
    assert sim.oac("GET", "/catalog?type=connections").json() == [{"type": "connections"}]
    sim.control.index_not_ready("dev", 0)
    assert names(sim, "/catalog?search=pipeline") == ["Pipeline"]


def test_details_with_content_only_when_asked(sim: Caller) -> None:
    path = f"/catalog/workbooks/{encoded('/shared/Sales/Pipeline')}"
    plain = sim.oac("GET", path).json()
    assert ("content" in plain, plain["id"]) == (False, encoded(PIPELINE)), "lists and items hold the long form"
    assert sim.oac("GET", f"{path}?fields=name,content").json().keys() == {"name", "content"}
    connection = f"/catalog/connections/{encoded(pair('ADW'))}"
    for keys, modified in (("sample", "last modified"), ("item", "lastModified")):
        sim.control.settings(detail_keys=keys)
        assert modified in sim.oac("GET", connection).json()
    assert "password" not in sim.oac("GET", f"{connection}?fields=content").text
    analysis = f"/catalog/analysis/{encoded('/shared/Sales/Top Customers')}"
    assert sim.oac("GET", f"{analysis}?fields=content").json()["content"]["columns"] == ["CUSTOMER", "AMOUNT"]


def test_a_folder_by_its_id(sim: Caller) -> None:
    by_id = {"id": encoded(f"{SHARED}/New/Er"), "createIntermediateFolders": True}
    made = sim.oac("POST", "/catalog/folders", json=by_id).json()
    assert (made["type"], made["owner"], made["name"]) == ("folders", ADMIN, "Er")
    assert made["parentId"] == encoded(f"{SHARED}/New")
    sim.control.settings(folder_exists="200")
    assert sim.oac("POST", "/catalog/folders", json=by_id).json()["id"] == made["id"]


def test_copy_a_folder_and_over_what_is_there(sim: Caller) -> None:
    body = {"destId": encoded(f"{SHARED}/Copies/Funnel"), "createIntermediateFolders": True}
    assert act(sim, "workbooks", PIPELINE, "copy", body).json()["id"] == body["destId"]
    again = act(sim, "workbooks", PIPELINE, "copy", body)
    assert (again.status_code, "already" in again.json()["message"]) == (400, True)
    assert act(sim, "workbooks", PIPELINE, "copy", {**body, "overwrite": True}).status_code == 200
    assert names(sim, "/catalog?search=funnel") == ["Funnel"]
    assert act(sim, "folders", SALES, "copy", {"newItemName": "Sales 2"}, user=AUTHOR).status_code == 200
    copied = f"/catalog/folders/{encoded(f'{SHARED}/Sales 2')}?search=*"
    assert names(sim, copied) == names(sim, f"{FOLDER}?search=*")
    assert {item["owner"] for item in sim.oac("GET", copied).json()} == {AUTHOR}
    canvases = act(sim, "workbooks", f"{SHARED}/Sales 2/Pipeline", "getCanvases", None)
    assert len(canvases.json()["visualizeCanvases"]) == 2


def test_what_is_moved_keeps_its_permissions(sim: Caller) -> None:
    before = acl(sim, SALES)
    act(sim, "folders", SALES, "move", {"destParentId": encoded(FINANCE), "newItemName": "S"})
    assert acl(sim, f"{FINANCE}/S") == before
    assert sim.status(f"GET /catalog/dashboardpages/{encoded(PAGE.replace(SALES, f'{FINANCE}/S'))}") == 200


@pytest.mark.parametrize(
    ("kind", "name"),
    [("connections", "ADW"), ("datasets", "Orders"), ("dataflows", "Load Orders"), ("sequences", "Nightly"),
     ("models", "Churn"), ("scripts", "Clean Names")],
)  # fmt: skip
def test_what_cannot_be_moved(sim: Caller, kind: str, name: str) -> None:
    reply = act(sim, kind, pair(name), "move", {"destParentId": encoded(SALES)})
    assert (reply.status_code, "cannot be moved" in reply.json()["message"]) == (400, True)


COPY, MOVE, OWNER = (f"POST {ITEM}/actions/{action}" for action in ("copy", "move", "changeOwnership"))
NEW = {"newItemName": "x"}


@pytest.mark.parametrize(
    ("request_line", "body", "user", "status"),
    [
        (f"GET /catalog/workbooks/{encoded(BOARD)}", None, AUTHOR, 403),
        (f"GET {ITEM.replace('workbooks', 'datasets')}", None, ADMIN, 404),
        ("GET /catalog/nothing", None, ADMIN, 400),
        ("GET /catalog?search=*&page=0", None, ADMIN, 400),
        ("GET /catalog?search=*&sortOrder=UP", None, ADMIN, 400),
        ("POST /catalog/folders", {"parentId": encoded(f"{SALES}/a/b"), "name": "c"}, ADMIN, 404),
        ("POST /catalog/folders", {"parentId": encoded(FINANCE), "name": "c"}, AUTHOR, 403),
        *(("POST /catalog/folders", {"parentId": encoded(SALES), "name": name}, ADMIN, 400)
          for name in ("", "a/b", " ", 7)),
        (f"DELETE /catalog/folders/{encoded(SHARED)}?recursive=true", None, ADMIN, 403),
        ("DELETE /catalog/folders/_", None, ADMIN, 404),
        (f"DELETE {FOLDER}?recursive=true", None, AUTHOR, 403),
        (COPY, {}, ADMIN, 400),
        (COPY, {"destId": 1}, ADMIN, 400),
        (COPY, {"destParentId": "_"}, ADMIN, 400),
        (COPY, {"newItemName": "Pipeline"}, ADMIN, 400),
        (COPY, {"destId": encoded(f"{SALES}/New/../x"), "createIntermediateFolders": "yes"}, ADMIN, 400),
        (COPY, {"destParentId": encoded(f"{SALES}/New"), "newItemName": "a/b", "createIntermediateFolders": True},
         ADMIN, 400),
        (COPY, {"destParentId": encoded(FINANCE)}, AUTHOR, 403),
        (f"POST /catalog/workbooks/{encoded(BOARD)}/actions/copy", NEW, AUTHOR, 403),
        (MOVE, NEW, AUTHOR, 403),
        # Into itself.
        (f"POST {FOLDER}/actions/move", {"destParentId": encoded(f"{SALES}/In"), "createIntermediateFolders": True},
         ADMIN, 400),
        (OWNER, {"owner": "no.body@example.com"}, ADMIN, 400),
        (OWNER, {"owner": COLLEAGUE}, AUTHOR, 403),
        (f"POST /catalog/dashboardpages/{encoded(PAGE)}/actions/changeOwnership", {"owner": AUTHOR}, ADMIN, 400),
    ],
)  # fmt: skip
def test_a_refused_call_leaves_nothing_behind(
    sim: Caller, request_line: str, body: Any, user: str, status: int
) -> None:
    before = sim.control.content("dev")
    assert sim.status(request_line, body, user=user) == status
    assert sim.control.content("dev") == before


def test_a_restore_brings_everything_into_another_instance(sim: Caller) -> None:
    act(sim, "workbooks", PIPELINE, "changeOwnership", {"owner": AUTHOR})
    line = {"accountGuid": COLLEAGUE, "accountType": "User", "permissions": {"read": True}}
    assert act(sim, "folders", SALES, "updateACL", {"aclList": [line]}).status_code == 200
    assert sim.status(f"DELETE /catalog/connections/{encoded(pair('CRM'))}") == 200
    sim.snapshot()
    sim.control.user(AUTHOR, instance_roles={"dev": [], "prod": ["BIServiceAdministrator"]})
    assert sim.restore(sim.register(), "prod")["status"] == "SUCCEEDED"
    assert sim.control.content("prod") == sim.control.content("dev")
    assert [entry["accountGuid"] for entry in acl(sim, SALES, "prod")] == [COLLEAGUE]
    assert names(sim, "/catalog/connections?search=*", instance="prod") == ["ADW"]
    assert sim.control.user(AUTHOR)["instance_roles"] == {"dev": [], "prod": ["DVContentAuthor"]}
