"""Downloading a large file in constant memory, checked, into a sink."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACContentError,
    OACError,
    OACStorageError,
    OACTransportError,
)
from airflow_provider_oac.transport.io import StreamedResponse, media_type

# What a driver has read of a piece is lost when the connection breaks.
CHUNK = 1 << 18
# What a server may say while the file of a work request that succeeded is not there yet. Which of them OAC says is
# not documented; a sample of Oracle tries again on anything but 200 (observed).
_NOT_READY = frozenset({404, 409, 412, 423, 425})
_NOT_READY_PAUSE = 1.0
# Longest wait between two requests, in seconds, whatever OAC asks for.
_LONGEST_PAUSE = 60.0
# How many bytes of either end are looked at.
_ENDS = 1024
# Lengths of a compressed body would count other bytes.
_AS_IT_IS = {"Accept-Encoding": "identity"}
# Of an export or another file; far more than the largest that anybody reports.
MOST_BYTES = 4 << 30
# No number of bytes has more digits, and Python reads none of more than some thousand.
_DIGITS = 18


class Sink(Protocol):
    """Where a download goes. Its methods may block: flows call them where they hold nobody up."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def discard(self) -> None:
        """Forget what was written; what is written next is the beginning. Never fails, and does nothing if there is
        nothing to forget.
        """
        ...

    def commit(self) -> None:
        """Make what was written the file that was wanted."""
        ...


class FileSink:
    """A sink for a temporary file of this machine, which its owner removes.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        :raises OACStorageError: if the disk does not.
        """
        with local_disk(self._path):
            if self._file is None:
                self._file = self._path.open("wb")
            self._file.write(data)

    def discard(self) -> None:
        """Empty it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def commit(self) -> None:
        """Close it."""
        with local_disk(self._path):
            if self._file is not None:
                self._file.close()
            self._file = None


@contextlib.contextmanager
def local_disk(path: Path) -> Iterator[None]:
    """Name the file when this machine's disk refuses.

    :raises OACStorageError: for every error of the operating system.
    """
    try:
        yield
    except OSError as problem:
        raise OACStorageError(
            f"Could not keep {path} on this machine in the meantime ({type(problem).__name__}: {problem}). Make room "
            "there, or let TMPDIR name a folder that has it."
        ) from problem


@dataclass(frozen=True)
class Marks:
    """How a whole file of some kind begins and ends.

    :param kind: its name, for messages.
    :param head: what it begins with.
    :param tail: pattern of what it ends with.
    """

    kind: str
    head: bytes
    tail: re.Pattern[bytes] = field(repr=False)


# ISO 32000 wants %%EOF in the last line. What follows it are line ends, or the zeros and blanks of a careless writer.
PDF = Marks("PDF", b"%PDF-", re.compile(rb"%%EOF[\s\0]*\Z"))
# The signature, and the chunk IEND, which is always the same twelve bytes (PNG specification).
PNG = Marks("PNG", b"\x89PNG\r\n\x1a\n", re.compile(rb"\0\0\0\0IEND\xaeB`\x82\Z"))
BY_FORMAT = {"pdf": PDF, "png": PNG}


@dataclass(frozen=True)
class TransferPlan:
    """How patiently to download.

    :param attempts: how many requests may fail.
    :param not_ready_grace: seconds for which OAC may say that the file is not there yet.
    :param pause: seconds before the second request, doubled for each further one.
    :param most_bytes: a file larger than this is none that OAC would export.
    """

    attempts: int = 5
    not_ready_grace: float = 60.0
    pause: float = 0.5
    most_bytes: int = MOST_BYTES


def download(
    call: Call[Any],
    sink: Sink,
    marks: Marks,
    plan: TransferPlan = TransferPlan(),
    *,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[int]:
    """Download a file into a sink and commit it. The flow returns its size in bytes.

    Never more than a piece of it is in memory. The size is checked if the server announces it, and the first and the
    last bytes are. A download that breaks begins anew.

    :param call: the call that gets the file.
    :param sink: where it goes. It is left empty if the download fails.
    :param marks: what its first and last bytes must be.
    :param plan: how patiently.
    :param report: gets a line for people when something goes wrong that is tried again.
    :raises OACApiError: if OAC answers with an error that stays.
    :raises OACTransportError: if the connection fails too often.
    :raises OACContentError: if what comes is not a whole file of this kind.
    """

    async def flow(api: Api) -> int:
        try:
            size = await _fetched(api, call, sink, marks, plan, report)
            await api.io.to_thread(sink.commit)
        except BaseException:
            # Also when a task is killed or a trigger canceled. Not offloaded, since nothing may be awaited then.
            sink.discard()
            raise
        return size

    return flow


def copy(source: Path, sink: Sink) -> None:
    """Copy a local file into a sink and commit it. Blocks."""
    try:
        with local_disk(source), source.open("rb") as file:
            while data := file.read(CHUNK):
                sink.write(data)
        sink.commit()
    except BaseException:
        sink.discard()
        raise


async def _fetched(
    api: Api, call: Call[Any], sink: Sink, marks: Marks, plan: TransferPlan, report: Callable[[str], None]
) -> int:
    """Ask until the file is whole."""
    began, failures = api.io.now(), 0
    while True:
        attempt = _Attempt(call.doing, sink, marks, plan.most_bytes)
        try:
            await api.stream(call, partial(attempt.read, api), _AS_IT_IS)
        except (OACApiError, OACTransportError, OACContentError) as error:
            waits = _not_ready(error) and api.io.now() - began < plan.not_ready_grace
            failures += not waits
            if not (waits or _may_pass(error)) or failures >= plan.attempts:
                raise
            await api.io.to_thread(sink.discard)
            asked = error.retry_after if isinstance(error, OACApiError) else None
            own = _NOT_READY_PAUSE if waits else plan.pause * 2.0 ** (failures - 1)
            pause = min(_LONGEST_PAUSE, max(own, asked or 0.0))
            report(f"Trying again in {pause:.1f} s. {error}")
            await api.io.sleep(pause)
        else:
            return attempt.size


def _not_ready(error: OACError) -> bool:
    """Whether OAC may only mean that the file is not there yet."""
    return isinstance(error, _NotYetError) or (isinstance(error, OACApiError) and error.status in _NOT_READY)


def _may_pass(error: OACError) -> bool:
    if isinstance(error, OACApiError):
        return error.retryable
    if isinstance(error, OACTransportError):
        return error.passing
    return not isinstance(error, _NotYetError | _TooLargeError)


class _NotYetError(OACContentError):
    """An answer of success that says that there is no file yet."""


class _TooLargeError(OACContentError):
    """More came than can be a file of OAC."""


class _Attempt:
    """What one request has brought so far."""

    def __init__(self, doing: str, sink: Sink, marks: Marks, most_bytes: int) -> None:
        self._doing = doing
        self._sink = sink
        self._marks = marks
        self._most_bytes = most_bytes
        self._head = self._tail = b""
        self.size = 0

    async def read(self, api: Api, answer: StreamedResponse) -> None:
        """Read an answer of success to its end.

        :raises OACContentError: if what came is not a whole file.
        """
        kind, length = media_type(answer.headers), announced_length(answer)
        if answer.status != 200:
            # 202 and 204, which no document forbids.
            raise _NotYetError(f"Could not {self._doing}: HTTP {answer.status} ({kind}) came instead of the file.")
        self._refuse_more_than(length or 0)
        async for piece in answer.chunks(CHUNK):
            self._refuse_more_than(self.size + len(piece))
            await api.io.to_thread(partial(self._take, piece))
            # A task that was told to stop learns of it here.
            await api.io.sleep(0)
        if flaw := self._flaw(kind, length):
            raise OACContentError(f"Could not {self._doing}: {flaw}")

    def _refuse_more_than(self, size: int) -> None:
        if size > self._most_bytes:
            raise _TooLargeError(
                f"Could not {self._doing}: {size} bytes or more came or were announced, which is more than any "
                f"export has ({self._most_bytes} at most). It was given up."
            )

    def _take(self, data: bytes) -> None:
        # First: what the sink refuses has not come.
        self._sink.write(data)
        self.size += len(data)
        self._head = (self._head + data[:_ENDS])[:_ENDS]
        self._tail = (self._tail + data[-_ENDS:])[-_ENDS:]

    def _flaw(self, content_type: str, length: int | None) -> str | None:
        """What keeps the bytes that came from being a whole file."""
        came = f"{self.size} bytes ({content_type}) came"
        if length is not None and self.size != length:
            return f"{came}, but {length} were announced."
        if not self._head.startswith(self._marks.head):
            return (
                f"{came} that do not begin as a {self._marks.kind} does, but with {self._head[:40]!r}. Likely cause: a "
                "page of a proxy or of the sign-in, or an error, in the place of the file."
            )
        if not self._marks.tail.search(self._tail):
            return (
                f"{came} that begin as a {self._marks.kind} does, but do not end as one: the file is cut short. They "
                f"end with {self._tail[-40:]!r}."
            )
        return None


def announced_length(answer: StreamedResponse) -> int | None:
    """How many bytes the whole body has, if the server says so and sends it as it is."""
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return None
    text = answer.headers.get("content-length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
