"""The catalog over HTTP: calls, lists, what lies below a folder, changes that may have been done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows import catalog_search
from airflow_provider_oac.client.flows.catalog_changes import Arranged, Copy, Move, NewFolder, Place, delete_folder
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.paging import collected
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError, OACUncertainError
from oac_simulator.launch import Simulator
from tests.integration.flows import Oac

SHARED, SALES, FINANCE = (f"/@Catalog/shared{name}" for name in ("", "/Sales", "/Finance"))
PIPELINE, NOTHING = f"{SALES}/Pipeline", f"{SALES}/Nothing"
WORKBOOK = catalog_id(PIPELINE)

COPY = "POST /catalog/{type}/{id}/actions/copy"
CREATE, DELETE = "POST /catalog/folders", "DELETE /catalog/folders/{id}"
ITEM = "GET /catalog/{type}/{id}"
NOT_YET = {"status": 404, "body": {"code": "NotFound", "message": "not yet"}}


def place(folder: str | None = None, name: str | None = None, **details: Any) -> Place:
    return Place(folder and catalog_id(folder), name, **details)


def paths(items: list[catalog.CatalogItem]) -> list[str]:
    return [item.path for item in items]


@pytest.fixture
def order(run: Oac) -> Callable[[Any], tuple[str, bool]]:
    """Has something changed once; the path of what came of it, and whether it was done before."""

    def once(what: Any) -> tuple[str, bool]:
        arranged: Arranged = run(submit_once(what))
        return arranged.item.path, arranged.done_before

    return once


Order = Callable[[Any], tuple[str, bool]]

# ------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(("next_page", "total_items"), [("number", "capped"), ("address", "absent")])
def test_every_item_comes_once(clean: Simulator, run: Oac, next_page: str, total_items: str) -> None:
    clean.control.settings(next_page=next_page, total_items=total_items, padded_ids=True)
    everything = run(catalog.list_items(limit=3, manage_content=True))
    known = {item["plain"] for item in clean.control.content("dev")["catalog"]}
    assert sorted(paths(everything)) == sorted(known)
    workbooks = run(catalog.list_items("workbooks", manage_content=True))
    assert paths(workbooks) == paths([item for item in everything if item.type == "workbooks"])
    assert all(item.modified is not None and item.owner for item in everything)


@pytest.mark.parametrize("empty_type", ["list", "404"])
def test_a_type_without_items_is_an_empty_list(clean: Simulator, run: Oac, empty_type: str) -> None:
    clean.control.settings(empty_type=empty_type)
    clean.control.damage("dev", ["scripts"])
    assert run(catalog.list_items("scripts")) == []


@pytest.mark.parametrize("container_search", ["list", "container"])
def test_what_lies_below_a_folder(clean: Simulator, run: Oac, container_search: str) -> None:
    clean.control.settings(container_search=container_search, page_size=2)
    found = paths(run(collected(lambda api: catalog_search.below(api, "folders", catalog_id(SALES)))))
    dashboard = f"{SALES}/Sales Dashboard"
    assert {PIPELINE, f"{SALES}/All Regions", dashboard, f"{dashboard}/Page 1"} <= set(found)
    assert len(found) == len(set(found))
    assert not [path for path in found if not path.startswith(SALES + "/")]
    children = paths(run(catalog.list_children("folders", catalog_id(SALES))))
    assert set(found) - set(children) == {f"{dashboard}/Page 1"}


@pytest.mark.parametrize("missing_details", ["404", "400"])
def test_what_is_not_there_is_none(clean: Simulator, run: Oac, missing_details: str) -> None:
    clean.control.settings(missing_details=missing_details)
    for kind in ("workbooks", "folders", "connections"):
        assert run(catalog_search.find_by_id(kind, catalog_id(NOTHING))) is None
    assert run(catalog_search.find_by_id("workbooks", WORKBOOK)) is not None


def test_items_by_their_exact_name(run: Oac, order: Order) -> None:
    order(Copy("workbooks", WORKBOOK, place(FINANCE)))
    order(Copy("workbooks", WORKBOOK, place(name="Pipeline 2026")))
    found = run(catalog_search.find_by_name("workbooks", "Pipeline"))
    assert sorted(paths(found)) == [f"{FINANCE}/Pipeline", PIPELINE]
    assert run(catalog_search.find_by_name("workbooks", "pipeline")) == []


# --------------------------------------------------------------------------------------------------- changing


@pytest.mark.parametrize("folder_exists", ["400", "409", "200"])
def test_a_folder_is_created_once_with_those_above(clean: Simulator, order: Order, folder_exists: str) -> None:
    clean.control.settings(folder_exists=folder_exists)
    for done_before in (False, True):
        assert order(NewFolder(catalog_id(f"{SALES}/A/B"), "C")) == (f"{SALES}/A/B/C", done_before)
    with pytest.raises(OACApiError, match="was not found"):
        order(NewFolder(catalog_id(f"{SALES}/X/Y"), "C", create_parents=False))


def test_a_folder_that_somebody_else_makes_at_this_moment_is_as_good(clean: Simulator, run: Oac, order: Order) -> None:
    run(catalog.create_folder("New", catalog_id(SALES)))
    clean.control.fault(ITEM, "status", **NOT_YET)
    assert order(NewFolder(catalog_id(SALES), "New")) == (f"{SALES}/New", True)


def test_a_folder_that_oac_refuses_was_not_created_even_if_the_catalog_cannot_be_read(
    clean: Simulator, order: Order
) -> None:
    refusal = {"code": "BadRequest", "message": "no folders here"}
    clean.control.fault(CREATE, "status", status=400, body=refusal, times=None)
    clean.control.fault(ITEM, "drop_before", after=1, times=None)
    with pytest.raises(OACApiError, match="no folders here"):
        order(NewFolder(catalog_id(SALES), "New"))


@pytest.mark.parametrize("detail_keys", ["mixed", "sample"])
def test_an_item_is_copied_and_moved(clean: Simulator, run: Oac, order: Order, detail_keys: str) -> None:
    clean.control.settings(detail_keys=detail_keys)
    copy, there = f"{SALES}/Old/2026/P", f"{FINANCE}/P"
    new_place = place(f"{SALES}/Old/2026", "P", create_parents=True)
    assert order(Copy("workbooks", WORKBOOK, new_place)) == (copy, False)
    assert order(Move("workbooks", catalog_id(copy), place(FINANCE))) == (there, False)
    assert run(catalog_search.find_by_id("workbooks", catalog_id(copy))) is None
    assert order(Move("workbooks", catalog_id(there), place(name="Q"))) == (f"{FINANCE}/Q", False)
    # By the other form of its path.
    assert order(Copy("workbooks", catalog_id("/shared/Sales/Pipeline"), place(name="R")))[0] == f"{SALES}/R"


def test_a_folder_whose_copy_broke_off_is_not_taken_for_a_whole_one(clean: Simulator, order: Order) -> None:
    source, new, copy = catalog_id(SALES), place(SHARED, "Sales Copy"), f"{SHARED}/Sales Copy"
    clean.control.fault(COPY, "drop_after")
    assert order(Copy("folders", source, new))[0] == copy
    assert order(Copy("folders", source, new, suspect=True)) == (copy, True)
    clean.control.remove_items("dev", f"{copy}/Pipeline")
    says = rf"incomplete copy of {SALES}: missing in the copy: workbooks 'Pipeline'; only in the copy: none"
    with pytest.raises(OACUncertainError, match=says):
        order(Copy("folders", source, new, suspect=True))
    clean.control.fault(ITEM, "status", status=403, after=2, times=None)
    with pytest.raises(OACUncertainError, match=r"the two could not be compared: .*HTTP 403") as caught:
        order(Copy("folders", source, new, suspect=True))
    assert isinstance(caught.value.__cause__, OACApiError)
    assert clean.control.calls("dev", COPY) == 1


def test_a_copy_that_lies_in_its_source_is_compared_without_itself(run: Oac, order: Order) -> None:
    copy, _ = order(Copy("folders", catalog_id(SALES), place(FINANCE, "Sales Copy")))
    run(catalog.move("folders", catalog_id(copy), parent_id=catalog_id(SALES)))
    again = Copy("folders", catalog_id(SALES), place(SALES, "Sales Copy"), suspect=True)
    assert order(again) == (f"{SALES}/Sales Copy", True)


@pytest.mark.parametrize("fault", ["status", "drop_before"])
def test_a_copy_of_a_folder_that_fails_halfway_is_uncertain(
    clean: Simulator, run: Oac, order: Order, fault: str
) -> None:
    """The folder comes to be between the look before and the failure, without what it should hold."""
    clean.control.fault(COPY, fault, status=500)
    clean.control.fault(ITEM, "status", after=1, **NOT_YET)
    run(catalog.create_folder("Sales Copy", catalog_id(SHARED)))
    missing = r"missing in the copy: .*workbooks 'Pipeline'.*; only in the copy: none"
    with pytest.raises(OACUncertainError, match=missing):
        order(Copy("folders", catalog_id(SALES), place(SHARED, "Sales Copy")))
    assert clean.control.calls("dev", COPY) == 1


def test_a_dataset_is_copied_and_found_by_its_name(clean: Simulator, run: Oac) -> None:
    clean.control.fault(COPY, "drop_after")
    made = run(submit_once(Copy("datasets", ids.object_id("admin", "Orders"), place(SALES, "Orders 2"))))
    assert made.item.name == "Orders 2"


def test_a_missing_item_is_not_moved_whatever_is_there(order: Order) -> None:
    with pytest.raises(OACApiError, match=f"Could not read workbooks '{NOTHING}'"):
        order(Move("workbooks", catalog_id(NOTHING), place(FINANCE, "Budget")))
    with pytest.raises(OACApiError, match="Nothing"):
        order(Move("workbooks", catalog_id(NOTHING), place(FINANCE), suspect=True))


@pytest.mark.parametrize("folder_not_empty", ["403", "500"])
def test_a_folder_that_is_not_empty_is_refused(clean: Simulator, run: Oac, folder_not_empty: str) -> None:
    clean.control.settings(folder_not_empty=folder_not_empty)
    with pytest.raises(OACConfigurationError, match=r"Sales' is not empty: it contains 'All Regions'.* and maybe more"):
        run(delete_folder(catalog_id(SALES)))
    assert clean.control.calls("dev", DELETE) == 0
    # With an index that is not ready OAC's own words have to do.
    clean.control.settings(index_seconds=60)
    fault = {"status": 503, "body": {"code": "SearchIndexNotReady", "message": "x"}, "headers": {"Retry-After": "200"}}
    clean.control.fault(ITEM, "status", after=1, times=1, **fault)
    with pytest.raises(OACApiError, match="FolderNotEmpty: The folder /@Catalog/shared/Sales is not empty"):
        run(delete_folder(catalog_id(SALES)))
    assert run(catalog_search.find_by_id("folders", catalog_id(SALES))) is not None
