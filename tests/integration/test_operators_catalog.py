"""The operators for the catalog."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.client import ids
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.operators.catalog import (
    OACChangeOwnerOperator,
    OACCopyCatalogItemOperator,
    OACCreateFolderOperator,
    OACDeleteFolderOperator,
    OACListCatalogOperator,
    OACMoveCatalogItemOperator,
)
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, Task

SHARED, SALES, FINANCE = (f"/@Catalog/shared{name}" for name in ("", "/Sales", "/Finance"))
PIPELINE = f"{SALES}/Pipeline"
COPY, MOVE = "POST /catalog/{type}/{id}/actions/copy", "POST /catalog/{type}/{id}/actions/move"
DELETE = "DELETE /catalog/folders/{id}"

pytestmark = pytest.mark.usefixtures("connections")


def task(kind: Any, *, store: bool = True, **arguments: Any) -> Task:
    return Task(lambda: kind(task_id="a_task", retries=2, **arguments), store=store)


def does(kind: Any, **arguments: Any) -> Any:
    return task(kind, **arguments).attempt()


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


@pytest.mark.parametrize("name", ["売上　レポート", "a\u200cb\u202e\x85c", "カ\u3099\xa0"])
def test_an_item_is_made_listed_moved_and_deleted_whatever_the_characters_of_its_name(name: str) -> None:
    folder = f"{SALES}/2026/{name}"
    first = does(OACCreateFolderOperator, path=folder)
    assert (first["path"], first["created"], first["type"]) == (folder, True, "folders")
    assert does(OACCreateFolderOperator, path=f"{folder}/")["created"] is False
    book = {"catalog_type": "workbooks", "path": PIPELINE, "to_folder_path": folder, "new_name": name}
    assert does(OACCopyCatalogItemOperator, **book)["path"] == f"{folder}/{name}"
    (listed,) = does(OACListCatalogOperator, folder_path=folder)
    assert (listed["path"], listed["id"]) == (f"{folder}/{name}", ids.catalog_id(f"{folder}/{name}"))
    moved = does(OACMoveCatalogItemOperator, catalog_type="folders", path=folder, new_name=f"{name}2")
    assert moved["path"] == f"{folder}2"
    gone = {"path": f"{folder}2", "deleted": True}
    assert does(OACDeleteFolderOperator, folder_id=moved["id"], recursive=True) == gone


# ------------------------------------------------------------------------------------------------------- list


def test_a_list_in_xcom(clean: Simulator) -> None:
    found = does(OACListCatalogOperator, catalog_type="datasets")
    assert names(found) == ["Budget Lines", "Live Orders", "Orders", "Targets"]
    assert found[0] == {
        "path": "'admin'.'Budget Lines'", "type": "datasets", "name": "Budget Lines",
        "owner": "oac.admin@example.com", "description": "Budget Lines (datasets)",
        "last_modified": "2026-01-05T08:00:00Z", "id": ids.object_id("admin", "Budget Lines"), "parent_id": None,
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"catalog_type": "workbooks", "search": "pipe"}, ["Pipeline"]),
        ({"folder_path": SALES, "catalog_type": "workbooks"}, ["All Regions", "Pipeline", "Revenue by Region"]),
        ({"folder_path": SALES, "search": "revenue"}, ["Revenue by Region"]),
        ({"folder_path": SHARED, "recursive": True, "search": "page", "catalog_type": "dashboardpages"}, ["Page 1"]),
        ({"folder_id": ids.catalog_id(SHARED), "recursive": True, "catalog_type": "reports"}, ["Invoice"]),
        ({"catalog_type": "workbooks", "owned_by": AUTHOR, "manage_content": True}, ["My Draft"]),
        ({"catalog_type": "workbooks", "owned_by": "nobody"}, []),
    ],
)
def test_what_is_listed(arguments: dict[str, Any], wanted: list[str]) -> None:
    assert names(does(OACListCatalogOperator, **arguments)) == wanted


def test_a_list_as_json_lines(clean: Simulator, tmp_path: Path) -> None:
    clean.control.settings(page_size=2)
    file = tmp_path / "deep" / "catalog.jsonl"
    result = does(OACListCatalogOperator, folder_path=SHARED, recursive=True, destination=f"file://{file}")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert result == {
        "path": f"file://{file}", "items": len(lines), "size": file.stat().st_size,
        "sha256": sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert lines == does(OACListCatalogOperator, folder_path=SHARED, recursive=True)
    assert list(file.parent.iterdir()) == [file]


def test_a_list_that_cannot_be() -> None:
    with pytest.raises(OACConfigurationError, match=r"More than 3 items were found, too many for XCom\. Set"):
        does(OACListCatalogOperator, max_items=3)
    with pytest.raises(OACApiError, match="The path is '/@Catalog/shared/X'"):
        does(OACListCatalogOperator, folder_path="/@Catalog/shared/X")
    with pytest.raises(OACApiError, match=r"begin with /@Catalog/\."):
        does(OACListCatalogOperator, folder_path="/x")


# ---------------------------------------------------------------------------------------------------- deletions


def test_a_retry_takes_a_folder_that_is_gone_for_deleted(clean: Simulator) -> None:
    again = task(OACDeleteFolderOperator, path=SALES, recursive=True)
    clean.control.fault(DELETE, "status", status=500, act=True, times=None)
    with pytest.raises(OACApiError, match="HTTP 500"):
        again.attempt()
    clean.control.clear_faults()
    assert again.attempt() == {"path": SALES, "deleted": False}


def test_a_folder_is_deleted_unless_it_is_not_empty_or_not_there() -> None:
    empty = does(OACCreateFolderOperator, path=f"{SALES}/Empty")["path"]
    assert does(OACDeleteFolderOperator, path=empty) == {"path": empty, "deleted": True}
    with pytest.raises(OACConfigurationError, match=r"Sales' is not empty: .*recursive=True"):
        does(OACDeleteFolderOperator, path=SALES)
    with pytest.raises(AirflowFailException, match=r"was not found.* missing_ok=True treats this as success"):
        does(OACDeleteFolderOperator, path=f"{SALES}/Nothing")
    assert does(OACDeleteFolderOperator, path=f"{SALES}/Nothing", missing_ok=True)["deleted"] is False


# ------------------------------------------------------------------------------------------------ copy and move


@pytest.mark.parametrize(("kind", "endpoint"), [(OACCopyCatalogItemOperator, COPY), (OACMoveCatalogItemOperator, MOVE)])
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (
            {"to_folder_path": FINANCE, "new_name": "Budget"},
            AirflowFailException,
            r"Budget already exists\. Nothing was",
        ),
        ({"path": f"{SALES}/No", "new_name": "y"}, AirflowFailException, "Could not read workbooks '/@Catalog.*/No'"),
        ({"to_folder_path": f"{SALES}/No"}, OACApiError, "folder /@Catalog/shared/Sales/No was not"),
    ],
    ids=["a foreign item is there", "no such item", "no such folder"],
)
def test_a_copy_or_move_that_cannot_be(
    clean: Simulator,
    store: bool,
    kind: Any,
    endpoint: str,
    arguments: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        task(kind, store=store, **{"catalog_type": "workbooks", "path": PIPELINE, **arguments}).attempt()
    assert clean.control.calls("dev", endpoint) == (error is OACApiError)


def test_a_store_tells_a_foreign_item_from_the_own_one_also_on_a_retry(clean: Simulator) -> None:
    again = task(OACCopyCatalogItemOperator, catalog_type="workbooks", path=PIPELINE, to_folder_path=FINANCE)
    clean.control.fault("GET /catalog/workbooks/{urlBase64WorkbookId}", "status", status=403)
    with pytest.raises(OACApiError):
        again.attempt()
    OACHook().run(catalog.copy("workbooks", ids.catalog_id(PIPELINE), parent_id=ids.catalog_id(FINANCE)))
    with pytest.raises(AirflowFailException, match="already exists"):
        again.attempt()


@pytest.mark.parametrize(
    ("kind", "says"),
    [(OACCopyCatalogItemOperator, "workbooks .* already exists"), (OACMoveCatalogItemOperator, "was not found")],
)
def test_a_retry_after_success_sees_it_and_a_clear_copies_or_moves_anew(kind: Any, says: str) -> None:
    again = task(kind, catalog_type="workbooks", path=PIPELINE, to_folder_path=FINANCE)
    again.attempt()
    assert again.attempt()["done_before"] is True
    again.clear()
    with pytest.raises(AirflowFailException, match=says):
        again.attempt()


# ------------------------------------------------------------------------------------------------------- owners


def test_an_item_gets_another_owner() -> None:
    result = does(OACChangeOwnerOperator, catalog_type="datasets", path="'admin'.'Orders'", new_owner=AUTHOR)
    assert result == {"changed": 1, "paths": ["'admin'.'Orders'"], "owner": AUTHOR}
    role = {"new_owner": "DV Content Author", "account_type": "ApplicationRole"}
    does(OACChangeOwnerOperator, catalog_type="folders", path=SALES, **role)
    assert OACHook().run(catalog.get("folders", ids.catalog_id(SALES))).owner == "DV Content Author"


def test_what_a_leaver_kept_to_himself_is_handed_over_too(clean: Simulator) -> None:
    OACHook().run(catalog.create_folder("Secret", ids.catalog_id(SALES)))
    clean.control.change_item("dev", f"{SALES}/Secret", owner=AUTHOR, acl=[])
    handed = {
        "catalog_type": "folders", "path": SHARED, "recursive": True, "only_owner": AUTHOR,
        "new_owner": "oac.colleague@example.com",
    }  # fmt: skip
    assert does(OACChangeOwnerOperator, **handed, manage_content=False)["changed"] == 0
    assert does(OACChangeOwnerOperator, **handed)["paths"] == [f"{SALES}/Secret"]
    assert does(OACChangeOwnerOperator, **handed)["changed"] == 0


def test_only_what_is_in_a_folder_gets_another_owner_recursively() -> None:
    with pytest.raises(OACConfigurationError, match="recursive=True needs a folder"):
        does(OACChangeOwnerOperator, catalog_type="workbooks", path=PIPELINE, new_owner=AUTHOR, recursive=True)
