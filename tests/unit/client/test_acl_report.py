"""An audit of a large catalog: memory that hardly grows with it, requests in bounded number, whole files only."""

from __future__ import annotations

import json
import tracemalloc
from collections import deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_oac.client import ids
from airflow_provider_oac.client.flows.acl_report import JSONL, Audited, write_acl_report
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.transport.io import Request, Response, close_unused
from tests.manual import ManualIO, response
from tests.unit.client.worlds import answering, run

ROOT = "/@Catalog/shared"
PER_FOLDER, PAGE = 100, 50
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


class Catalog(ManualIO):
    """Counts how many flows run side by side, with which limit."""

    seen: list[tuple[int, int]]

    async def gather(self, flows: Iterable[Any], limit: int) -> list[Any]:
        pending = list(flows)
        self.seen.append((len(pending), limit))
        try:
            return await super().gather(pending, limit)
        finally:
            close_unused(pending)


def item(kind: str, path: str) -> dict[str, str]:
    return {"type": kind, "id": ids.encoded(path), "name": path.rpartition("/")[2], "owner": "jane"}


def catalog(folders: int, failing: str = "") -> Catalog:
    """A catalog of some folders with many workbooks each, made up as it is read.

    :param failing: OAC refuses the fourth request of this kind.
    """
    count = 0

    def answer(_age: float, request: Request) -> Response:
        nonlocal count
        parts = urlsplit(request.url)
        permissions = parts.path.endswith("/getACL")
        count += failing == ("permissions" if permissions else "list")
        if count == 4:
            return response(403, '{"code": "Forbidden", "message": "no"}')
        if permissions:
            return response(200, json.dumps([ENTRY]))
        kind, item_id = parts.path.split("/")[4:6]
        path, query = ids.plain_id(item_id) or "", parse_qs(parts.query)
        if "search" not in query:
            return response(200, json.dumps(item(kind, path)))
        below, many = ("folders", folders) if path == ROOT else ("workbooks", PER_FOLDER)
        page = int(query["page"][0])
        shown = [item(below, f"{path}/{number}") for number in range(many)[(page - 1) * PAGE : page * PAGE]]
        return response(200, json.dumps(shown), {"oa-current-page": str(page), "oa-page-count": str(-(-many // PAGE))})

    io = answering(answer, Catalog)
    assert isinstance(io, Catalog)
    # The requests are of no interest here, and would grow with the catalog.
    io.seen, io.requests = [], deque(maxlen=0)  # type: ignore[assignment]
    return io


def audit(io: ManualIO, sink: Counted, **changes: Any) -> Audited:
    return run(io, write_acl_report("folders", ids.catalog_id(ROOT), sink, **{"file_format": JSONL, **changes}))


def peak(folders: int) -> int:
    tracemalloc.start()
    try:
        sink = Counted()
        done = audit(catalog(folders), sink)
        assert done.items == done.file.lines == 1 + folders * (1 + PER_FOLDER)
        # The file is passed on as it grows.
        assert (done.file.size, sink.writes, sink.state) == (sink.size, -(-sink.size // (1 << 16)), "committed")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_hardly_grows_with_the_catalog() -> None:
    peak(2)
    small, large = peak(4), peak(40)
    # 3636 items more, of which a number each is kept; a record of one in the file has some 200 bytes.
    assert large - small < 3636 * 150
    assert large < 3_000_000


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_run_in_bounded_number(limit: int) -> None:
    io = catalog(3)
    audit(io, Counted(), limit=limit)
    assert {most for _, most in io.seen} <= {*range(1, limit + 1)}
    assert max(size for size, _ in io.seen) <= limit * 4


@pytest.mark.parametrize("kind", ["permissions", "list"])
def test_a_failure_discards_the_file(kind: str) -> None:
    sink = Counted()
    with pytest.raises(OACError, match="no"):
        audit(catalog(3, kind), sink)
    assert sink.state == "discarded"
