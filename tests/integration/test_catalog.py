"""The catalog over HTTP: calls, lists, what lies below a folder, changes that may have been done."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Flow
from airflow_provider_oac.client.flows import catalog_search
from airflow_provider_oac.client.flows.catalog_changes import (
    Arranged,
    Copy,
    Move,
    NewFolder,
    Place,
    delete_folder,
)
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.paging import collected
from airflow_provider_oac.client.rest import catalog
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACUncertainError,
)
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.flows import Oac, oac

SHARED, SALES, FINANCE = (f"/@Catalog/shared{name}" for name in ("", "/Sales", "/Finance"))
PIPELINE = f"{SALES}/Pipeline"

COPY = "POST /catalog/{type}/{id}/actions/copy"
CREATE, DELETE = "POST /catalog/folders", "DELETE /catalog/folders/{id}"
ITEM = "GET /catalog/{type}/{id}"


def copied(*order: Any, **details: Any) -> Flow[Arranged]:
    return submit_once(Copy(*order, **details))


def moved(*order: Any, **details: Any) -> Flow[Arranged]:
    return submit_once(Move(*order, **details))


def ensure_folder(*order: Any, **details: Any) -> Flow[Arranged]:
    return submit_once(NewFolder(*order, **details))


def an_id(plain: str) -> str:
    return ids.catalog_id(plain)


def below(folder: str, **more: Any) -> Any:
    return collected(lambda api: catalog_search.below(api, "folders", an_id(folder), **more))


def paths(items: list[catalog.CatalogItem]) -> list[str]:
    return [item.path for item in items]


@pytest.fixture
def run(drive: Drive, sign_in: SignIn) -> Oac:
    return oac(drive, sign_in)


# ------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("total_items", ["capped", "absent"])
@pytest.mark.parametrize("next_page", ["number", "address"])
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
    found = paths(run(below(SALES)))
    dashboard = f"{SALES}/Sales Dashboard"
    assert {PIPELINE, f"{SALES}/All Regions", dashboard, f"{dashboard}/Page 1"} <= set(found)
    assert len(found) == len(set(found))
    assert not [path for path in found if not path.startswith(SALES + "/")]
    children = paths(run(catalog.list_children("folders", an_id(SALES))))
    assert set(found) - set(children) == {f"{dashboard}/Page 1"}


@pytest.mark.parametrize("missing_details", ["404", "400"])
def test_what_is_not_there_is_none(clean: Simulator, run: Oac, missing_details: str) -> None:
    clean.control.settings(missing_details=missing_details)
    for kind in ("workbooks", "folders", "connections"):
        assert run(catalog_search.find_by_id(kind, an_id(f"{SALES}/Nothing"))) is None
    assert run(catalog_search.find_by_id("workbooks", an_id(PIPELINE))) is not None


def test_items_by_their_exact_name(run: Oac) -> None:
    run(copied("workbooks", an_id(PIPELINE), Place(an_id(FINANCE))))
    run(copied("workbooks", an_id(PIPELINE), Place(name="Pipeline 2026")))
    found = run(catalog_search.find_by_name("workbooks", "Pipeline"))
    assert sorted(paths(found)) == [f"{FINANCE}/Pipeline", PIPELINE]
    assert run(catalog_search.find_by_name("workbooks", "pipeline")) == []


# --------------------------------------------------------------------------------------------------- changing


@pytest.mark.parametrize("folder_exists", ["400", "409", "200"])
def test_a_folder_is_created_once_with_those_above(clean: Simulator, run: Oac, folder_exists: str) -> None:
    clean.control.settings(folder_exists=folder_exists)
    made = run(ensure_folder(an_id(f"{SALES}/A/B"), "C"))
    assert (made.item.path, made.done_before) == (f"{SALES}/A/B/C", False)
    again = run(ensure_folder(an_id(f"{SALES}/A/B"), "C"))
    assert (again.item.path, again.done_before) == (f"{SALES}/A/B/C", True)
    with pytest.raises(OACApiError, match="was not found"):
        run(ensure_folder(an_id(f"{SALES}/X/Y"), "C", create_parents=False))


def test_a_folder_that_somebody_else_makes_at_this_moment_is_as_good(clean: Simulator, run: Oac) -> None:
    run(catalog.create_folder("New", an_id(SALES)))
    clean.control.fault(ITEM, "status", status=404, body={"code": "NotFound", "message": "not yet"})
    found = run(ensure_folder(an_id(SALES), "New"))
    assert (found.item.path, found.done_before) == (f"{SALES}/New", True)


def test_a_folder_that_oac_refuses_was_not_created_even_if_the_catalog_cannot_be_read(
    clean: Simulator, run: Oac
) -> None:
    refusal = {"code": "BadRequest", "message": "no folders here"}
    clean.control.fault(CREATE, "status", status=400, body=refusal, times=None)
    with pytest.raises(OACApiError, match="no folders here"):
        run(ensure_folder(an_id(SALES), "New"))
    clean.control.fault(ITEM, "drop_before", after=1, times=None)
    with pytest.raises(OACApiError, match="no folders here"):
        run(ensure_folder(an_id(SALES), "New"))


@pytest.mark.parametrize("detail_keys", ["mixed", "sample"])
def test_an_item_is_copied_and_moved(clean: Simulator, run: Oac, detail_keys: str) -> None:
    clean.control.settings(detail_keys=detail_keys)
    made = run(copied("workbooks", an_id(PIPELINE), Place(an_id(f"{SALES}/Old/2026"), "P", create_parents=True)))
    assert (made.item.path, made.done_before) == (f"{SALES}/Old/2026/P", False)
    there = run(moved("workbooks", made.item.id, Place(an_id(FINANCE))))
    assert there.item.path == f"{FINANCE}/P"
    assert run(catalog_search.find_by_id("workbooks", made.item.id)) is None
    assert run(moved("workbooks", there.item.id, Place(name="Q"))).item.path == f"{FINANCE}/Q"
    # By the other form of its path.
    assert run(copied("workbooks", an_id("/shared/Sales/Pipeline"), Place(name="R"))).item.path == f"{SALES}/R"


def test_a_folder_whose_copy_broke_off_is_not_taken_for_a_whole_one(clean: Simulator, run: Oac) -> None:
    place, copy = Place(an_id(SHARED), "Sales Copy"), f"{SHARED}/Sales Copy"
    clean.control.fault(COPY, "drop_after")
    assert run(copied("folders", an_id(SALES), place)).item.path == copy
    assert run(copied("folders", an_id(SALES), place, suspect=True)).done_before
    clean.control.remove_items("dev", f"{copy}/Pipeline")
    says = rf"incomplete copy of {SALES}: missing in the copy: workbooks 'Pipeline'; only in the copy: none"
    with pytest.raises(OACUncertainError, match=says):
        run(copied("folders", an_id(SALES), place, suspect=True))
    clean.control.fault("GET /catalog/{type}/{id}", "status", status=403, after=2, times=None)
    with pytest.raises(OACUncertainError, match=r"the two could not be compared: .*HTTP 403") as caught:
        run(copied("folders", an_id(SALES), place, suspect=True))
    assert isinstance(caught.value.__cause__, OACApiError)
    assert clean.control.calls("dev", COPY) == 1


def test_a_copy_that_lies_in_its_source_is_compared_without_itself(run: Oac) -> None:
    made = run(copied("folders", an_id(SALES), Place(an_id(FINANCE), "Sales Copy"))).item
    run(catalog.move("folders", made.id, parent_id=an_id(SALES)))
    again = run(copied("folders", an_id(SALES), Place(an_id(SALES), "Sales Copy"), suspect=True))
    assert (again.item.path, again.done_before) == (f"{SALES}/Sales Copy", True)


@pytest.mark.parametrize("fault", ["status", "drop_before"])
def test_a_copy_of_a_folder_that_fails_halfway_is_uncertain(clean: Simulator, run: Oac, fault: str) -> None:
    """The folder comes to be between the look before and the failure, without what it should hold."""
    clean.control.fault(COPY, fault, status=500)
    clean.control.fault(ITEM, "status", status=404, body={"code": "NotFound", "message": "not yet"}, after=1)
    run(catalog.create_folder("Sales Copy", an_id(SHARED)))
    with pytest.raises(
        OACUncertainError, match=r"missing in the copy: .*workbooks 'Pipeline'.*; only in the copy: none"
    ):
        run(copied("folders", an_id(SALES), Place(an_id(SHARED), "Sales Copy")))
    assert clean.control.calls("dev", COPY) == 1


def test_a_dataset_is_copied_and_found_by_its_name(clean: Simulator, run: Oac) -> None:
    clean.control.fault(COPY, "drop_after")
    made = run(copied("datasets", ids.object_id("admin", "Orders"), Place(an_id(SALES), "Orders 2")))
    assert made.item.name == "Orders 2"


def test_a_missing_item_is_not_moved_whatever_is_there(run: Oac) -> None:
    with pytest.raises(OACApiError, match="Could not read workbooks '/@Catalog/shared/Sales/Nothing'"):
        run(moved("workbooks", an_id(f"{SALES}/Nothing"), Place(an_id(FINANCE), "Budget")))
    with pytest.raises(OACApiError, match="Nothing"):
        run(moved("workbooks", an_id(f"{SALES}/Nothing"), Place(an_id(FINANCE)), suspect=True))


@pytest.mark.parametrize("folder_not_empty", ["403", "500"])
def test_a_folder_that_is_not_empty_is_refused(clean: Simulator, run: Oac, folder_not_empty: str) -> None:
    clean.control.settings(folder_not_empty=folder_not_empty)
    with pytest.raises(OACConfigurationError, match=r"Sales' is not empty: it contains 'All Regions'.* and maybe more"):
        run(delete_folder(an_id(SALES)))
    assert clean.control.calls("dev", DELETE) == 0
    # With an index that is not ready OAC's own words have to do.
    clean.control.settings(index_seconds=60)
    fault = {"status": 503, "body": {"code": "SearchIndexNotReady", "message": "x"}, "headers": {"Retry-After": "200"}}
    clean.control.fault(ITEM, "status", after=1, times=1, **fault)
    with pytest.raises(OACApiError, match="FolderNotEmpty: The folder /@Catalog/shared/Sales is not empty"):
        run(delete_folder(an_id(SALES)))
    assert run(catalog_search.find_by_id("folders", an_id(SALES))) is not None
