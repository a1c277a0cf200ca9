"""Writing what is listed, line by line, in constant memory: JSON lines and CSV, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.flows.checksum import SummedSink
from airflow_provider_oac.client.flows.download import Sink
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.paging import Source

# How many bytes are gathered before a store gets them.
_GATHERED = 1 << 16


@dataclass(frozen=True)
class Written(Model):
    """A file that is whole and in its place.

    :param lines: how many lines it has, the head of a CSV not counted.
    """

    lines: int
    size: int
    sha256: str


class LineFile:
    """Gathers lines and passes them on to a sink.

    :param api: where the sink may block without holding anybody up.
    """

    def __init__(self, api: Api, sink: SummedSink) -> None:
        self._api = api
        self._sink = sink
        self._gathered = bytearray()
        self._lines = 0

    async def head(self, text: str) -> None:
        """Write a line that does not count."""
        await self.add(text)
        self._lines -= 1

    async def add(self, text: str) -> None:
        """Write a line, or several of one record.

        :param text: without the last line break.
        """
        self._lines += 1
        self._gathered += text.encode(errors="backslashreplace") + b"\n"
        if len(self._gathered) >= _GATHERED:
            await self._pass_on()

    async def commit(self) -> Written:
        """Put the file into its place."""
        await self._pass_on()
        await self._api.io.to_thread(self._sink.commit)
        return Written(self._lines, self._sink.size, self._sink.sha256)

    async def _pass_on(self) -> None:
        data = bytes(self._gathered)
        self._gathered.clear()
        if data:
            await self._api.io.to_thread(partial(self._sink.write, data))


@asynccontextmanager
async def line_file(api: Api, sink: Sink) -> AsyncGenerator[LineFile, None]:
    """A file that is discarded unless it was committed."""
    summed = SummedSink(sink)
    try:
        yield LineFile(api, summed)
    except BaseException:
        summed.discard()
        raise


def json_line(record: Mapping[str, Any]) -> str:
    """A record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def csv_line(values: Iterable[Any]) -> str:
    """Values as a line of CSV (RFC 4180, but for its line breaks, which are those of Unix): booleans are ``true`` and
    ``false``, ``None`` is empty.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(
        [str(value).lower() if isinstance(value, bool) else value for value in values]
    )
    return text.getvalue()


def written(source: Source[Any], sink: Sink, line: Callable[[Any], str]) -> Flow[Written]:
    """Write all that a source yields. Flow.

    :param line: makes the line of an item.
    """

    async def flow(api: Api) -> Written:
        async with line_file(api, sink) as file:
            items = source(api)
            try:
                async for item in items:
                    await file.add(line(item))
            finally:
                await items.aclose()
            return await file.commit()

    return flow


def grouped(source: Source[Any], size: int, use: Callable[[Api, list[Any]], Awaitable[None]]) -> Flow[int]:
    """Hand over what a source yields, so many at a time. The flow returns how many there were."""

    async def flow(api: Api) -> int:
        count, group = 0, []
        items = source(api)
        try:
            async for item in items:
                group.append(item)
                if len(group) == size:
                    await use(api, group)
                    count, group = count + size, []
        finally:
            await items.aclose()
        if group:
            await use(api, group)
        return count + len(group)

    return flow
