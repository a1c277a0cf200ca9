"""Downloading into a sink over HTTP: checked, begun anew, and never half a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.flows.download import CHUNK, PDF, PNG, Marks, Stored, TransferPlan, download
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.exceptions import OACApiError, OACContentError, OACStorageError, OACTransportError
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
    discarded: int = 0
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
        self.discarded += 1

    def commit(self) -> None:
        self.committed = True


Fetch = Callable[..., Stored]


@pytest.fixture
def fetch(drive: Drive, sign_in: SignIn) -> Fetch:
    """Downloads from a server as the signed-in user, and tells size and checksum."""
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


def test_a_file_is_passed_on_piece_by_piece_and_its_checksum_computed(fetch: Fetch) -> None:
    sink = MemorySink()
    with file_server(BODY) as server:
        done = fetch(server, sink)
    assert (done.size, done.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert (bytes(sink.data), sink.committed, sink.discarded) == (BODY, True, 0)
    assert sink.largest <= CHUNK
    (request,) = server.seen
    assert request.target == "/api/20210901/catalog/workbooks/d29ya2Jvb2s/exports/biwj-1%3A2"
    assert request.headers["authorization"].startswith("Bearer ")
    assert (request.headers["accept-encoding"], request.headers["accept"]) == ("identity", "*/*")


def test_a_png_is_known_by_its_own_marks(fetch: Fetch) -> None:
    with file_server(png()) as server:
        assert fetch(server, MemorySink(), PNG).size == len(png())


def test_a_download_that_breaks_begins_anew(fetch: Fetch) -> None:
    sink, said = MemorySink(), []
    with file_server(BODY, Step(cut=1_500_000), Step(cut=1_000_000), Step()) as server:
        done = fetch(server, sink, report=said.append)
    assert done.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (bytes(sink.data), sink.discarded, len(server.seen)) == (BODY, 2, 3)
    assert not [request for request in server.seen if {"range", "if-range"} & set(request.headers)]
    assert [line.startswith("Trying again in 0.0 s. ") for line in said] == [True, True]


def test_a_part_that_nobody_asked_for_is_no_file(fetch: Fetch) -> None:
    part = Step(
        status=206, body=BODY[1_500_000:], headers={"Content-Range": f"bytes 1500000-{len(BODY) - 1}/{len(BODY)}"}
    )
    with file_server(BODY, part) as server, pytest.raises(OACContentError, match="HTTP 206"):
        fetch(server, MemorySink(), plan=IMPATIENT)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html><body>Please sign in</body></html>", "do not begin as a PDF"),
        (BODY[: len(BODY) // 2], "do not end as a PDF"),
        (b"", "0 bytes"),
        (BODY + b"<html>", "do not end as a PDF"),
    ],
)
def test_what_is_no_whole_pdf_is_refused_after_some_tries(fetch: Fetch, body: bytes, says: str) -> None:
    sink = MemorySink()
    with file_server(body) as server, pytest.raises(OACContentError, match=says):
        fetch(server, sink)
    assert len(server.seen) == QUICK.attempts
    assert (bytes(sink.data), sink.committed) == (b"", False)


def test_fewer_bytes_than_announced_are_no_file_even_if_they_look_like_one(fetch: Fetch) -> None:
    sink = MemorySink()
    with file_server(pdf(1000) * 2, Step(cut=1000)) as server, pytest.raises(OACTransportError):
        fetch(server, sink)
    assert not sink.committed
    assert len(server.seen) == QUICK.attempts


@pytest.mark.parametrize("status", [404, 202, 204])
def test_a_file_that_is_not_there_yet_is_waited_for(fetch: Fetch, status: int) -> None:
    body = b"" if status == 204 else b'{"code": "NotReady", "message": "in progress"}'
    with file_server(BODY, Step(status, body), Step(status, body), Step()) as server:
        assert fetch(server, MemorySink()).size == len(BODY)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [404, 409])
def test_and_not_for_ever(fetch: Fetch, status: int) -> None:
    gone = Step(status, b'{"code": "NotFound", "message": "The export is unknown."}')
    with file_server(BODY, gone) as server, pytest.raises(OACApiError, match=r"The export is unknown") as caught:
        fetch(server, MemorySink(), plan=IMPATIENT)
    assert (caught.value.status, len(server.seen)) == (status, 1)


def test_a_refusal_is_an_error_at_once(fetch: Fetch) -> None:
    refusal = Step(403, b'{"code": "Forbidden", "message": "No."}')
    with file_server(BODY, refusal) as server, pytest.raises(OACApiError) as caught:
        fetch(server, MemorySink())
    assert (caught.value.status, len(server.seen)) == (403, 1)


def test_passing_trouble_is_tried_again_after_the_pause_that_is_asked_for(fetch: Fetch) -> None:
    busy = Step(503, b"{}", headers={"Retry-After": "0"})
    with file_server(BODY, busy, Step()) as server:
        assert fetch(server, MemorySink()).size == len(BODY)
    assert len(server.seen) == 2


def test_a_token_that_is_refused_is_renewed_once_and_the_request_replayed(fetch: Fetch, clean: Simulator) -> None:
    refused = Step(401, b"{}", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    with file_server(BODY, refused, Step()) as server:
        assert fetch(server, MemorySink()).size == len(BODY)
    first, second = [request.headers["authorization"] for request in server.seen]
    assert first != second
    assert clean.control.grants("jwt-bearer") == 2


def test_a_sink_that_refuses_ends_it_at_once(fetch: Fetch) -> None:
    sink = MemorySink(full_after=2_000_000)
    with file_server(BODY) as server, pytest.raises(OACStorageError, match="no space left"):
        fetch(server, sink)
    assert (len(server.seen), sink.discarded, sink.committed) == (1, 1, False)


def test_a_compressed_answer_is_not_measured_by_its_compressed_length(fetch: Fetch) -> None:
    import gzip

    packed = Step(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    sink = MemorySink()
    with file_server(BODY, packed) as server:
        assert fetch(server, sink).size == len(BODY)
    assert bytes(sink.data) == BODY
