"""The catalog over HTTP: calls, lists, what lies below a folder, changes that may have been done."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.api import Flow
from airflow_provider_oac.client.flows import catalog_changes, catalog_search
from airflow_provider_oac.client.flows.acl_changes import access, difference, expected
from airflow_provider_oac.client.flows.catalog_changes import (
    Arranged,
    Copy,
    Move,
    NewFolder,
    Place,
    change_owners,
    delete_folder,
)
from airflow_provider_oac.client.flows.catalog_watch import CatalogTarget, WantedItem
from airflow_provider_oac.client.flows.polling import WaitPlan, poll_until_done
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.client.paging import PagePlan, collected
from airflow_provider_oac.client.rest import acl, catalog
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACIncompleteListError,
    OACResponseError,
    OACTakenError,
    OACUncertainError,
    OACWaitTimeoutError,
)
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.flows import Oac, oac

SHARED, SALES, FINANCE = (f"/@Catalog/shared{name}" for name in ("", "/Sales", "/Finance"))
PIPELINE = f"{SALES}/Pipeline"
AUTHOR, COLLEAGUE = "oac.author@example.com", "oac.colleague@example.com"
COPY, MOVE = "POST /catalog/{type}/{id}/actions/copy", "POST /catalog/{type}/{id}/actions/move"
CREATE, DELETE = "POST /catalog/folders", "DELETE /catalog/folders/{id}"
ITEM, WORKBOOK = "GET /catalog/{type}/{id}", "GET /catalog/workbooks/{urlBase64WorkbookId}"


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


def test_types_come_without_a_search_and_items_with_one(run: Oac) -> None:
    assert {"workbooks", "folders", "scripts"} <= set(run(catalog.list_types()))
    assert run(catalog.list_types("workbooks")) == ("workbooks",)
    page = run(catalog.list_items("folders", limit=2).page(1))
    assert (len(page.items), page.number, page.more) == (2, 1, True)
    assert page.count
    assert page.total


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


def test_an_administrator_without_manage_content_sees_less(run: Oac) -> None:
    assert len(run(catalog.list_items("workbooks", manage_content=True))) > len(run(catalog.list_items("workbooks")))


@pytest.mark.parametrize("empty_type", ["list", "404"])
def test_a_type_without_items_is_an_empty_list(clean: Simulator, run: Oac, empty_type: str) -> None:
    clean.control.settings(empty_type=empty_type)
    clean.control.damage("dev", ["scripts"])
    assert run(catalog.list_items("scripts")) == []


def test_a_type_that_does_not_exist_is_an_error(run: Oac) -> None:
    with pytest.raises(OACApiError, match="The type is not a catalog type"):
        run(catalog.list_items("workbook"))


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


def test_an_item_by_id_padded_or_not(run: Oac) -> None:
    item = run(catalog.get("folders", an_id(SALES)))
    assert (item.type, item.name, item.path, item.owner) == ("folders", "Sales", SALES, "oac.admin@example.com")
    assert ids.same(item.parent_id, an_id(SHARED))
    assert run(catalog.get("folders", an_id(SALES) + "=" * (-len(an_id(SALES)) % 4))).id == item.id
    assert run(catalog.get("datasets", ids.object_id("admin", "Orders"))).name == "Orders"
    assert run(catalog.get("analysis", an_id(f"{SALES}/Top Customers"), fields=["name", "content"])).raw["content"]


@pytest.mark.parametrize("missing_details", ["404", "400"])
def test_what_is_not_there_is_none(clean: Simulator, run: Oac, missing_details: str) -> None:
    clean.control.settings(missing_details=missing_details)
    for kind in ("workbooks", "folders", "connections"):
        assert run(catalog_search.find_by_id(kind, an_id(f"{SALES}/Nothing"))) is None
    assert run(catalog_search.find_by_id("workbooks", an_id(PIPELINE))) is not None


def test_an_error_of_a_path_names_it_in_plain(run: Oac) -> None:
    with pytest.raises(
        OACApiError, match=r"Could not read folders '/shared/Nothing'.*paths in catalog lists begin with /@Catalog"
    ):
        run(catalog.get("folders", an_id("/shared/Nothing")))


def test_items_by_their_exact_name(run: Oac) -> None:
    run(copied("workbooks", an_id(PIPELINE), Place(an_id(FINANCE))))
    run(copied("workbooks", an_id(PIPELINE), Place(name="Pipeline 2026")))
    found = run(catalog_search.find_by_name("workbooks", "Pipeline"))
    assert sorted(paths(found)) == [f"{FINANCE}/Pipeline", PIPELINE]
    assert run(catalog_search.find_by_name("workbooks", "pipeline")) == []


def test_lists_wait_for_the_search_index_and_single_items_do_not(clean: Simulator, run: Oac) -> None:
    fault = {"status": 503, "body": {"code": "SearchIndexNotReady", "message": "x"}, "headers": {"Retry-After": "0"}}
    clean.control.fault("GET /catalog/{type}", "status", times=1, **fault)
    assert run(catalog.list_items("workbooks"))
    clean.control.fault("GET /catalog/{type}", "status", times=None, **fault)
    assert run(catalog.get("workbooks", an_id(PIPELINE))).name
    listing, plan = catalog.list_items("workbooks"), PagePlan(index_patience=0.0)
    with pytest.raises(OACWaitTimeoutError, match="search index is not ready after 0 s"):
        run(collected(lambda api: listing.each(api, plan)))


def test_ten_thousand_items_are_not_taken_for_all(clean: Simulator, run: Oac) -> None:
    headers = {"oa-current-page": "1", "oa-page-count": "100", "oa-total-items": "10000"}
    clean.control.fault("GET /catalog/{type}", "status", status=200, body=[{"type": "folders"}], headers=headers)
    with pytest.raises(OACResponseError, match="type descriptor"):
        run(catalog.list_items("folders"))
    body = [{"type": "folders", "id": "L3g", "name": "x"}]
    clean.control.fault("GET /catalog/{type}", "status", status=200, body=body, headers=headers)
    with pytest.raises(OACIncompleteListError):
        run(catalog.list_items("folders"))


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


def test_a_folder_is_copied_with_everything(run: Oac) -> None:
    run(copied("folders", an_id(SALES), Place(an_id(SHARED), "Sales Copy")))
    before, after = run(below(SALES)), run(below(f"{SHARED}/Sales Copy"))
    assert [item.path.replace("/Sales Copy", "/Sales", 1) for item in after] == paths(before)


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


@pytest.mark.parametrize("make", [copied, moved])
def test_what_is_there_is_never_overwritten_unasked(clean: Simulator, run: Oac, make: Any) -> None:
    place = Place(an_id(SALES), "All Regions")
    with pytest.raises(OACTakenError, match=r"workbooks /@Catalog/shared/Sales/All Regions already exists"):
        run(make("workbooks", an_id(PIPELINE), place))
    assert clean.control.calls("dev", COPY) + clean.control.calls("dev", MOVE) == 0
    done = run(make("workbooks", an_id(PIPELINE), Place(an_id(SALES), "All Regions", overwrite=True)))
    assert done.item.name == "All Regions"


def test_a_missing_item_is_not_moved_whatever_is_there(run: Oac) -> None:
    with pytest.raises(OACApiError, match="Could not read workbooks '/@Catalog/shared/Sales/Nothing'"):
        run(moved("workbooks", an_id(f"{SALES}/Nothing"), Place(an_id(FINANCE), "Budget")))
    with pytest.raises(OACApiError, match="Nothing"):
        run(moved("workbooks", an_id(f"{SALES}/Nothing"), Place(an_id(FINANCE)), suspect=True))


@pytest.mark.parametrize("kind", ["connections", "datasets", "dataflows", "sequences", "scripts", "models"])
def test_what_oac_does_not_move_is_refused_before_it_is_asked(clean: Simulator, run: Oac, kind: str) -> None:
    with pytest.raises(OACConfigurationError, match=f"OAC does not move {kind}"):
        run(moved(kind, ids.object_id("admin", "Orders"), Place(an_id(SALES))))
    assert clean.control.counters()["calls"].get("dev", {}) == {}


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


def test_a_folder_is_deleted_with_everything_when_that_is_wanted(clean: Simulator, run: Oac) -> None:
    clean.control.fault(DELETE, "drop_after")
    assert run(delete_folder(an_id(SALES), recursive=True)) is True
    assert run(catalog_search.find_by_id("folders", an_id(SALES))) is None
    assert run(delete_folder(an_id(SALES), missing_ok=True)) is False
    with pytest.raises(OACApiError, match="was not found"):
        run(delete_folder(an_id(SALES)))


@pytest.mark.parametrize("path", ["/@Catalog/shared", "/shared/", "/@Catalog", "/@Catalog/users"])
def test_a_folder_of_everybody_is_never_deleted_or_moved(clean: Simulator, run: Oac, path: str) -> None:
    with pytest.raises(OACConfigurationError, match="holds the content of all users, so it is not deleted"):
        run(delete_folder(an_id(path), recursive=True, missing_ok=True))
    with pytest.raises(OACConfigurationError, match="holds the content of all users, so it is not moved"):
        run(moved("folders", an_id(path), Place(an_id(SALES))))
    assert clean.control.counters()["calls"].get("dev", {}) == {}


# ------------------------------------------------------------------------------------------- owners, permissions


def test_an_item_is_given_away(run: Oac) -> None:
    assert "oac.author" in run(catalog.change_owner("datasets", ids.object_id("admin", "Orders"), AUTHOR))
    assert run(catalog.get("datasets", ids.object_id("admin", "Orders"))).owner == AUTHOR
    with pytest.raises(OACApiError, match="There is no account nobody of the type User"):
        run(catalog.change_owner("datasets", ids.object_id("admin", "Orders"), "nobody"))


def test_all_that_somebody_leaves_is_handed_over(run: Oac) -> None:
    for name in ("Pipeline", "All Regions"):
        run(catalog.change_owner("workbooks", an_id(f"{SALES}/{name}"), AUTHOR))
    count, given = run(change_owners("folders", an_id(SHARED), COLLEAGUE, recursive=True, only_owner=AUTHOR, limit=1))
    assert (count, sorted(given)) == (2, [f"{SALES}/All Regions", PIPELINE])
    assert run(change_owners("folders", an_id(SHARED), COLLEAGUE, recursive=True, only_owner=AUTHOR)) == (0, [])
    owners = {item.path: item.owner for item in run(below(SALES))}
    assert [path for path, owner in owners.items() if owner == COLLEAGUE] == sorted(given)
    assert run(change_owners("workbooks", an_id(PIPELINE), AUTHOR)) == (1, [PIPELINE])


def test_permissions_are_read_and_only_the_named_accounts_changed(run: Oac) -> None:
    before = run(acl.get("folders", an_id(FINANCE)))
    after = run(acl.update("folders", an_id(FINANCE), [access(COLLEAGUE, ["read", "list"])]))
    assert difference(before, after) == [f"+ {after[-1].text()}"]
    assert after[-1].permissions == {"read", "list"}
    assert not difference(expected(before, [access(COLLEAGUE, ["read", "list"])], acl.REPLACE_MATCHING), after)
    gone = run(acl.update("folders", an_id(FINANCE), [access(COLLEAGUE)], mode=acl.DELETE_MATCHING))
    assert not difference(before, gone)
    only = run(acl.update("folders", an_id(FINANCE), [access(COLLEAGUE, ["read"])], mode=acl.REPLACE_ALL))
    assert [entry.account for entry in only] == [COLLEAGUE]


# --------------------------------------------------------------------------------------------------- waiting


@pytest.mark.parametrize("detail_keys", ["mixed", "sample"])
def test_an_item_is_waited_for(clean: Simulator, run: Oac, detail_keys: str) -> None:
    clean.control.settings(detail_keys=detail_keys)
    workbook = WantedItem("workbooks", an_id(PIPELINE))
    assert run(workbook.poll).item
    assert run(WantedItem("workbooks", an_id(PIPELINE), "2026-01-05T08:00:00Z").poll).item
    assert run(WantedItem("workbooks", an_id(PIPELINE), "2026-01-05 08:00:01").poll).item is None
    lines: list[str] = []
    clean.control.fault(WORKBOOK, "drop_before", times=6)
    target = CatalogTarget(workbook, WaitPlan(longest_pause=0.01), report=lines.append)
    assert run(poll_until_done(target)).item.name
    assert len(lines) == 1, "trouble; the task reports the end"
    soon = WaitPlan(deadline=0.0, longest_pause=0.01)
    with pytest.raises(OACWaitTimeoutError, match=r"Nothing did not appear in time\. .*does not exist"):
        run(poll_until_done(CatalogTarget(WantedItem("folders", an_id(f"{SALES}/Nothing")), soon)))


def test_roots_are_told_by_their_paths() -> None:
    for path in ("/@Catalog/shared/x", "/shared/x", "/users/jane"):
        catalog_changes.check_no_root("folders", an_id(path), "deleted")
    catalog_changes.check_no_root("workbooks", an_id("/shared"), "deleted")


@pytest.mark.parametrize("path", ["/@Catalog/Shared", "/@catalog/shared/", "/SHARED", "/@CATALOG", "/Users"])
def test_roots_are_roots_in_upper_and_lower_case(path: str) -> None:
    with pytest.raises(OACConfigurationError, match="holds the content of all users, so it is not deleted"):
        catalog_changes.check_no_root("folders", an_id(path), "deleted")


@pytest.mark.parametrize("path", ["/@Catalog/shared//Old", "/shared/ /Old", "/@Catalog/shared/Sales/../..", "//shared"])
def test_a_path_with_an_empty_part_may_lead_anywhere(path: str) -> None:
    with pytest.raises(OACConfigurationError, match=r"(an empty part|content of all users).*renders to"):
        catalog_changes.check_no_root("folders", an_id(path), "deleted")
