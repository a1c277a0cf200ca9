"""Downloading into a sink over HTTP: checked, begun anew, and never half a file."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.download import CHUNK, PDF, PNG, Marks, Stored, TransferPlan, download
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACContentError,
    OACError,
    OACStorageError,
    OACTransportError,
)
from airflow_provider_oac.transport.io import IO
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.files import FileServer, Step, file_server, pdf, png

BODY = pdf()
QUICK = TransferPlan(attempts=3, not_ready_grace=5.0, pause=0.01)
IMPATIENT = TransferPlan(attempts=3, not_ready_grace=0.0, pause=0.01)


@dataclass
class MemorySink:
    """Keeps what it is given, and how."""

    data: bytearray = field(default_factory=bytearray)
    largest: int = 0
    committed: bool = False
    full_after: int | None = None

    def write(self, data: bytes) -> None:
        assert not self.committed
        if self.full_after is not None and len(self.data) + len(data) > self.full_after:
            raise OACStorageError("no space left")
        self.data += data
        self.largest = max(self.largest, len(data))

    def discard(self) -> None:
        self.data.clear()

    def commit(self) -> None:
        self.committed = True


Fetch = Callable[..., Stored]


@pytest.fixture
def fetch(drive: Drive, sign_in: SignIn) -> Fetch:
    """Downloads from a server as the signed-in user, and returns size and checksum."""
    session = sign_in.session()

    def run(
        server: FileServer,
        sink: MemorySink,
        marks: Marks = PDF,
        plan: TransferPlan = QUICK,
        report: Callable[[str], None] = lambda _line: None,
    ) -> Stored:
        async def flow(io: IO) -> Stored:
            call = workbooks.download("d29ya2Jvb2s", "biwj-1:2")
            return await Api(io, server.url, session, report=report).run(download(call, sink, marks, plan))

        return drive(flow)

    return run


NOT_READY = b'{"code": "NotReady", "message": "in progress"}'
#: How the requests are answered, and how often the task says that it tries again.
STORED: dict[str, tuple[list[Step], int]] = {
    "at once": ([Step()], 0),
    "compressed": ([Step(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})], 0),
    "broken": ([Step(cut=1_500_000), Step(cut=1_000_000), Step()], 2),
    "not found yet": ([Step(404, NOT_READY), Step(404, NOT_READY), Step()], 2),
    "accepted": ([Step(202, NOT_READY), Step(202, NOT_READY), Step()], 2),
    "empty": ([Step(204, b""), Step(204, b""), Step()], 2),
    "busy": ([Step(503, b"{}", headers={"Retry-After": "0"}), Step()], 1),
    "token refused": ([Step(401, b"{}", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}), Step()], 0),
}


@pytest.mark.parametrize(("steps", "retries"), STORED.values(), ids=STORED)
def test_a_whole_file_is_stored(steps: list[Step], retries: int, fetch: Fetch, clean: Simulator) -> None:
    sink, said = MemorySink(), list[str]()
    with file_server(BODY, *steps) as server:
        done = fetch(server, sink, report=said.append)
    assert done == Stored(len(BODY), hashlib.sha256(BODY).hexdigest())
    assert (bytes(sink.data), sink.committed, len(server.seen)) == (BODY, True, len(steps))
    assert sink.largest <= CHUNK
    assert [line[:16] for line in said] == ["Trying again in "] * retries
    for request in server.seen:
        assert request.target == "/api/20210901/catalog/workbooks/d29ya2Jvb2s/exports/biwj-1%3A2"
        assert (request.headers["accept-encoding"], request.headers["accept"]) == ("identity", "*/*")
        assert not {"range", "if-range"} & request.headers.keys()
    tokens = {request.headers["authorization"] for request in server.seen}
    assert clean.control.grants("jwt-bearer") == len(tokens) == (2 if steps[0].status == 401 else 1)


PART = Step(206, BODY[1_500_000:], headers={"Content-Range": f"bytes 1500000-{len(BODY) - 1}/{len(BODY)}"})
UNKNOWN = b'{"code": "NotFound", "message": "The export is unknown."}'
#: What the server answers each time, the error, what it says, and after how many requests.
REFUSED: dict[str, tuple[Step, TransferPlan, type[OACError], str, int]] = {
    "a page": (Step(body=b"<html><body>Please sign in"), QUICK, OACContentError, "do not begin as a PDF", 3),
    "half a PDF": (Step(body=BODY[: len(BODY) // 2]), QUICK, OACContentError, "do not end as a PDF", 3),
    "nothing": (Step(body=b""), QUICK, OACContentError, "0 bytes", 3),
    "more than a PDF": (Step(body=BODY + b"<html>"), QUICK, OACContentError, "do not end as a PDF", 3),
    "fewer bytes than announced": (Step(body=pdf(1000) * 2, cut=1000), QUICK, OACTransportError, "broke before", 3),
    "a part that was not asked for": (PART, IMPATIENT, OACContentError, "HTTP 206", 1),
    "not found for too long": (Step(404, UNKNOWN), IMPATIENT, OACApiError, "HTTP 404.*The export is unknown", 1),
    "a conflict for too long": (Step(409, UNKNOWN), IMPATIENT, OACApiError, "HTTP 409.*The export is unknown", 1),
    "forbidden": (Step(403, b'{"code": "Forbidden", "message": "No."}'), QUICK, OACApiError, "HTTP 403", 1),
}


@pytest.mark.parametrize(("step", "plan", "error", "says", "requests"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_whole_file_is_refused(
    step: Step, plan: TransferPlan, error: type[OACError], says: str, requests: int, fetch: Fetch
) -> None:
    sink = MemorySink()
    with file_server(BODY, step) as server, pytest.raises(error, match=says):
        fetch(server, sink, plan=plan)
    assert (bytes(sink.data), sink.committed, len(server.seen)) == (b"", False, requests)


def test_a_png_is_known_by_its_own_marks(fetch: Fetch) -> None:
    with file_server(png()) as server:
        assert fetch(server, MemorySink(), PNG).size == len(png())


def test_a_sink_that_refuses_ends_it_at_once(fetch: Fetch) -> None:
    sink = MemorySink(full_after=2_000_000)
    with file_server(BODY) as server, pytest.raises(OACStorageError, match="no space left"):
        fetch(server, sink)
    assert (len(server.seen), bytes(sink.data), sink.committed) == (1, b"", False)
