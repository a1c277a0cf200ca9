"""An audit of a large catalog: memory that hardly grows with it, requests in bounded number, whole files only."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.acl_report import JSONL, Audited, write_acl_report
from airflow_provider_oac.exceptions import OACApiError, OACError
from airflow_provider_oac.transport.io import Request, Response, close_unused
from tests.manual import ManualIO, response
from tests.unit.client.worlds import OAC, SETTINGS, answering, run

ROOT = "/@Catalog/shared"
PER_FOLDER = 100
ENTRY = {"accountGuid": "DV Content Author", "accountType": "ApplicationRole", "permissions": {"read": True}}


class Counted:
    """A sink that forgets what it is given."""

    def __init__(self) -> None:
        self.size = self.writes = 0
        self.state = "open"

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.writes += 1

    def discard(self) -> None:
        self.state = "discarded"

    def commit(self) -> None:
        self.state = "committed"


class Bounded(ManualIO):
    """Looks how many flows are handed over with which limit."""

    seen: list[tuple[int, int]]

    async def gather(self, flows: Iterable[Any], limit: int) -> list[Any]:
        pending = list(flows)
        self.seen.append((len(pending), limit))
        try:
            return await super().gather(pending, limit)
        finally:
            close_unused(pending)


def catalog(folders: int) -> ManualIO:
    """A catalog of some folders with many workbooks each, made up as it is asked for."""

    def item(kind: str, path: str) -> dict[str, str]:
        return {"type": kind, "id": ids.encoded(path), "name": path.rpartition("/")[2], "owner": "jane"}

    def answer(_age: float, request: Request) -> Response:
        parts = urlsplit(request.url)
        if parts.path.endswith("/getACL"):
            return response(200, json.dumps([ENTRY]))
        kind, item_id = parts.path.split("/")[4:6]
        path, query = ids.plain_id(item_id) or "", parse_qs(parts.query)
        if "search" not in query:
            return response(200, json.dumps(item(kind, path)))
        inside = (
            [("folders", f"{path}/folder {number}") for number in range(folders)]
            if path == ROOT
            else [("workbooks", f"{path}/workbook {number}") for number in range(PER_FOLDER)]
        )
        page, limit = int(query["page"][0]), 50
        shown = [item(*one) for one in inside[(page - 1) * limit : page * limit]]
        pages = -(-len(inside) // limit)
        return response(200, json.dumps(shown), {"oa-current-page": str(page), "oa-page-count": str(pages)})

    io = answering(answer)
    io.__class__ = Bounded
    io.seen = []  # type: ignore[attr-defined]
    return io


def forgetful(io: ManualIO) -> ManualIO:
    """What was asked is of no interest, and would grow with the catalog."""
    io.requests = Forgotten()
    return io


class Forgotten(list[Any]):
    def append(self, _item: Any) -> None:
        pass


def audit_of(folders: int, sink: Counted, **changes: Any) -> Audited:
    flow = write_acl_report("folders", ids.catalog_id(ROOT), sink, **{"file_format": JSONL, **changes})
    return run(forgetful(catalog(folders)), flow)


def peak(folders: int) -> int:
    tracemalloc.start()
    try:
        sink = Counted()
        done = audit_of(folders, sink)
        assert done.items == done.file.lines == 1 + folders * (1 + PER_FOLDER)
        assert sink.state == "committed"
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_hardly_grows_with_the_catalog() -> None:
    peak(2)
    small, large = peak(4), peak(40)
    # 3636 items more, of which a number each is kept; a record of one in the file has some 200 bytes.
    assert large - small < 3636 * 150
    assert large < 3_000_000


def test_the_file_is_passed_on_as_it_grows() -> None:
    sink = Counted()
    done = audit_of(10, sink)
    assert (done.file.size, sink.writes) == (sink.size, -(-sink.size // (1 << 16)))


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_run_in_bounded_number(limit: int) -> None:
    io = catalog(3)
    run(io, write_acl_report("folders", ids.catalog_id(ROOT), Counted(), limit=limit))
    assert {most for _, most in io.seen} <= {*range(1, limit + 1)}  # type: ignore[attr-defined]
    assert max(size for size, _ in io.seen) <= limit * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["permissions", "list"])
def test_a_failure_discards_the_file(kind: str) -> None:
    io, count = catalog(3), 0
    serve = io._answer

    def answer(request: Request) -> Any:
        nonlocal count
        of_oac = request.url.startswith(OAC) and not request.url.startswith(SETTINGS.identity_url)
        hit = of_oac and ("/getACL" in request.url) is (kind == "permissions")
        count += hit
        return response(403, '{"code": "Forbidden", "message": "no"}') if hit and count == 4 else serve(request)

    io._answer = answer
    sink = Counted()
    with pytest.raises((OACApiError, OACError), match="no"):
        run(io, write_acl_report("folders", ids.catalog_id(ROOT), sink))
    assert sink.state == "discarded"
