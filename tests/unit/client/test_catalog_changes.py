"""What is never moved or deleted, whatever OAC would say, and where a moved item is found."""

from __future__ import annotations

import json

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.catalog_changes import Move, Place, check_no_root, delete_folder
from airflow_provider_oac.client.flows.submit import submit_once
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Request
from tests.manual import Answer, response, unreachable
from tests.unit.client.worlds import answering, asked, run

SALES = ids.catalog_id("/@Catalog/shared/Sales")


@pytest.mark.parametrize("kind", ["connections", "datasets", "dataflows", "sequences", "scripts", "models"])
def test_what_oac_does_not_move_is_refused(kind: str) -> None:
    with pytest.raises(OACConfigurationError, match=f"OAC does not move {kind}"):
        Move(kind, ids.object_id("admin", "Orders"), Place(SALES))


def test_roots_are_told_by_their_paths() -> None:
    for path in ("/@Catalog/shared/x", "/shared/x", "/users/jane"):
        check_no_root("folders", ids.catalog_id(path), "deleted")
    check_no_root("workbooks", ids.catalog_id("/shared"), "deleted")


@pytest.mark.parametrize(
    "path", ["/@Catalog/shared", "/shared/", "/@Catalog/Shared", "/@catalog/shared/", "/SHARED", "/@CATALOG", "/Users"]
)
def test_a_folder_of_everybody_is_never_deleted_or_moved(path: str) -> None:
    io = answering(response())
    with pytest.raises(OACConfigurationError, match="holds the content of all users, so it is not deleted"):
        run(io, delete_folder(ids.catalog_id(path), recursive=True, missing_ok=True))
    assert asked(io) == []
    with pytest.raises(OACConfigurationError, match="holds the content of all users, so it is not moved"):
        Move("folders", ids.catalog_id(path), Place(SALES))


@pytest.mark.parametrize("recursive", [False, True])
def test_oac_is_asked_to_delete_what_is_below_a_folder_only_if_that_is_wanted(recursive: bool) -> None:
    """While the search index is not ready, only OAC can refuse a folder that is not empty."""
    no_index = response(503, '{"code": "SearchIndexNotReady"}')
    io = answering(lambda _age, request: no_index if "search" in request.url else response(200, "{}"))
    assert run(io, delete_folder(SALES, recursive=recursive, missing_ok=True))
    (deletion,) = asked(io, "DELETE")
    assert ("recursive=true" in deletion.url) is recursive


@pytest.mark.parametrize("path", ["/@Catalog/shared//Old", "/shared/ /Old", "/@Catalog/shared/Sales/../..", "//shared"])
def test_a_path_with_an_empty_part_may_lead_anywhere(path: str) -> None:
    with pytest.raises(OACConfigurationError, match=r"(an empty part or|the content of all users).*renders to"):
        check_no_root("folders", ids.catalog_id(path), "deleted")


def test_an_item_with_an_opaque_id_is_found_where_it_was_moved_to_although_the_response_was_lost() -> None:
    item = {"id": "opaque", "name": "Board", "type": "reports", "parentId": ids.catalog_id("/@Catalog/shared/Old")}
    moved = ids.catalog_id("/@Catalog/shared/Sales/Board")
    at = {"opaque": item}

    def answer(_age: float, request: Request) -> Answer:
        if request.method == "POST":
            at[moved] = {**at.pop("opaque"), "id": moved, "parentId": SALES}
            return unreachable(sent=True)
        found = at.get(request.url.split("?")[0].rpartition("/")[2])
        return response(200, json.dumps(found)) if found else response(404, '{"code": "NotFound"}')

    result = run(answering(answer), submit_once(Move("reports", "opaque", Place(SALES))))
    assert result.item.id == moved
