"""Download a large file into a sink in constant memory; check it, and compute its size and checksum."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.errors import passing
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.exceptions import OACApiError, OACContentError, OACError, OACStorageError, OACTransportError
from airflow_provider_oac.transport.io import StreamedResponse, media_type

# Bytes per piece. When the connection breaks, an incomplete piece is lost.
CHUNK = 1 << 18
# Statuses that may mean that the file of a succeeded work request does not exist yet. OAC does not document its own; a
# sample of Oracle tries again on anything but 200 (observed).
_NOT_READY = frozenset({404, 409, 412, 423, 425})
_NOT_READY_PAUSE = 1.0
# Longest pause between two requests, in seconds, even if OAC asks for more.
_LONGEST_PAUSE = 60.0
# Bytes at each end of the file that are checked.
_ENDS = 1024
# Size limit for any file; far more than the largest known export.
MOST_BYTES = 4 << 30


class Sink(Protocol):
    """Destination of a file. Its methods may block, so flows call them in a thread."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def discard(self) -> None:
        """Forget what was written; the next write starts the file anew.

        It never fails, and does nothing if nothing was written.
        """
        ...

    def commit(self) -> None:
        """Make what was written the final file."""
        ...


class FileSink:
    """A sink for a temporary local file, which its owner removes.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        :raises OACStorageError: if the disk refuses them.
        """
        with local_disk(self._path):
            if self._file is None:
                self._file = self._path.open("wb")
            self._file.write(data)

    def discard(self) -> None:
        """Close the file; the next write replaces its content."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def commit(self) -> None:
        """Close the file."""
        with local_disk(self._path):
            if self._file is not None:
                self._file.close()
            self._file = None


@contextlib.contextmanager
def local_disk(path: Path) -> Iterator[None]:
    """Turn errors of the local disk into errors that name the file.

    :raises OACStorageError: for every error of the operating system.
    """
    try:
        yield
    except OSError as problem:
        raise OACStorageError(
            f"Could not write the temporary file {path} ({type(problem).__name__}: {problem}). Next step: free space "
            "there, or set TMPDIR to another folder."
        ) from problem


@dataclass(frozen=True)
class Stored(Model):
    """A complete file at its destination."""

    size: int
    sha256: str


class SummedSink:
    """Passes a file on to a sink and computes its size and checksum; on an error, it discards what was written.

    :param sink: the destination.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digest = hashlib.sha256()
        # A canceled flow discards while a thread may still be writing.
        self._lock = threading.Lock()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_about_it: object) -> None:
        # This also runs when a task is killed or a trigger is canceled. Nothing can be awaited then, so no thread is
        # used.
        if error is not None:
            self.discard()

    def write(self, data: bytes) -> None:
        """Take the next bytes; bytes that the sink refuses do not count."""
        with self._lock:
            self._sink.write(data)
            self._digest.update(data)
            self.size += len(data)

    def discard(self) -> None:
        """Forget what was written."""
        with self._lock:
            self._sink.discard()
            self._digest = hashlib.sha256()
            self.size = 0

    def commit(self) -> Stored:
        """Make what was written the final file."""
        with self._lock:
            self._sink.commit()
            return Stored(self.size, self._digest.hexdigest())


@dataclass(frozen=True)
class Marks:
    """How a complete file of some kind begins and ends.

    :param kind: its name, for messages.
    :param head: its first bytes.
    :param tail: pattern of its last bytes.
    """

    kind: str
    head: bytes
    tail: re.Pattern[bytes] = field(repr=False)


# ISO 32000 requires %%EOF in the last line. Line ends may follow it, or zeros and blanks of a careless writer.
PDF = Marks("PDF", b"%PDF-", re.compile(rb"%%EOF[\s\0]*\Z"))
# The signature, and the chunk IEND, which is always the same twelve bytes (PNG specification).
PNG = Marks("PNG", b"\x89PNG\r\n\x1a\n", re.compile(rb"\0\0\0\0IEND\xaeB`\x82\Z"))
BY_FORMAT = {"pdf": PDF, "png": PNG}


@dataclass(frozen=True)
class TransferPlan:
    """How patiently to download.

    :param attempts: number of failed requests after which the download fails.
    :param not_ready_grace: seconds during which OAC may answer that the file does not exist yet.
    :param pause: seconds before the second request, doubled for each further one.
    :param most_bytes: most bytes of the file; the download of a larger one fails.
    """

    attempts: int = 5
    not_ready_grace: float = 60.0
    pause: float = 0.5
    most_bytes: int = MOST_BYTES


# For a call that is not an export, and may not be repeatable.
ONE_ATTEMPT = TransferPlan(attempts=1, not_ready_grace=0.0)


@flow
async def download(
    api: Api, call: Call[Any], sink: Sink, marks: Marks | None, plan: TransferPlan = TransferPlan()
) -> Stored:
    """Download a file into a sink, commit it, and return its size and checksum.

    Memory holds only one piece of the file at a time. The first and the last bytes are checked, and the size if the
    server announces it. A download that breaks starts anew.

    :param call: the call that gets the file.
    :param sink: the destination. It is left empty if the download fails.
    :param marks: what its first and last bytes must be; ``None`` for any content.
    :param plan: how patiently to download.
    :raises OACApiError: if OAC answers with an error that lasts.
    :raises OACTransportError: if the connection fails too often.
    :raises OACContentError: if the response is not a complete file of this kind.
    """
    began, failures = api.now(), 0
    with SummedSink(sink) as whole:
        receive = partial(_receive, api, doing=call.doing, sink=whole, marks=marks, most_bytes=plan.most_bytes)
        while True:
            try:
                await api.stream(call, receive)
                break
            except (OACApiError, OACTransportError, OACContentError) as error:
                waits = _not_ready(error) and api.now() - began < plan.not_ready_grace
                failures += not waits
                lasts = isinstance(error, _NotYetError | _TooLargeError) or not passing(error)
                if failures >= plan.attempts or (lasts and not waits):
                    raise
                await api.to_thread(whole.discard)
                asked = error.retry_after if isinstance(error, OACApiError) else None
                own = _NOT_READY_PAUSE if waits else plan.pause * 2.0 ** (failures - 1)
                pause = min(_LONGEST_PAUSE, max(own, asked or 0.0))
                api.report(f"Trying again in {pause:.1f} s. {error}")
                await api.sleep(pause)
        return await api.to_thread(whole.commit)


def copy(source: Path, sink: Sink) -> Stored:
    """Copy a local file into a sink and commit it; this blocks."""
    with SummedSink(sink) as whole, local_disk(source), source.open("rb") as file:
        while data := file.read(CHUNK):
            whole.write(data)
        return whole.commit()


def _not_ready(error: OACError) -> bool:
    """Whether the error may only mean that the file does not exist yet."""
    return isinstance(error, _NotYetError) or (isinstance(error, OACApiError) and error.status in _NOT_READY)


class _NotYetError(OACContentError):
    """A successful response that says that there is no file yet."""


class _TooLargeError(OACContentError):
    """The response is larger than any file of OAC can be."""


async def _receive(
    api: Api, answer: StreamedResponse, doing: str, sink: SummedSink, marks: Marks | None, most_bytes: int
) -> None:
    """Read a successful response to its end.

    :raises OACContentError: if it is not a complete file.
    """

    def check_size(size: int) -> None:
        if size > most_bytes:
            raise _TooLargeError(
                f"Could not {doing}: the file has {size} bytes or more, but at most {most_bytes} may come."
            )

    kind, length = media_type(answer.headers), _announced_length(answer)
    if marks and answer.status != 200:
        # The documentation does not rule out 202 and 204.
        raise _NotYetError(f"Could not {doing}: HTTP {answer.status} ({kind}) came in place of the file.")
    check_size(length or 0)
    head = tail = b""
    async for piece in answer.chunks(CHUNK):
        check_size(sink.size + len(piece))
        await api.to_thread(sink.write, piece)
        head, tail = (head + piece[:_ENDS])[:_ENDS], (tail + piece[-_ENDS:])[-_ENDS:]
        # A task that was told to stop notices it here.
        await api.sleep(0)
    if length not in (None, sink.size):
        flaw = f", but {length} were announced."
    elif marks and not head.startswith(marks.head):
        flaw = (
            f" that do not begin as a {marks.kind}, but with {head[:40]!r}. Likely cause: a page of a proxy or of the "
            "sign-in, or an error, in place of the file."
        )
    elif marks and not marks.tail.search(tail):
        flaw = f" that do not end as a {marks.kind}, but with {tail[-40:]!r}. Likely cause: the file was truncated."
    else:
        return
    raise OACContentError(f"Could not {doing}: {sink.size} bytes ({kind}) came{flaw}")


def _announced_length(answer: StreamedResponse) -> int | None:
    """Return the announced length of the body, if the server sends it uncompressed."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    text = answer.headers.get("content-length", "").strip()
    # Python refuses to parse several thousand digits.
    plausible = text.isascii() and text.isdigit() and len(text) <= 18
    return int(text) if plausible and encoding == "identity" else None
