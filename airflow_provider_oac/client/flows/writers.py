"""Write listed items line by line, in constant memory, as JSON lines or CSV; only a complete file is committed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.download import Sink, SummedSink
from airflow_provider_oac.client.models import Model, plain
from airflow_provider_oac.client.paging import Source

T = TypeVar("T")

# Bytes to collect before they are written to the sink.
_GATHERED = 1 << 16


@dataclass(frozen=True)
class Written(Model):
    """A complete file at its destination.

    :param lines: number of lines, without the header of a CSV.
    """

    lines: int
    size: int
    sha256: str


def json_line(record: Any) -> str:
    """Format a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def csv_line(values: Iterable[Any]) -> str:
    """Format values as a line of CSV (RFC 4180, with Unix line breaks).

    Booleans are ``true`` and ``false``, ``None`` is empty.
    """
    text = io.StringIO()
    row = [str(value).lower() if isinstance(value, bool) else value for value in values]
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


@flow
async def write_json_lines(api: Api, source: Source[Any], sink: Sink) -> Written:
    """Write all items of a source to a file, as JSON lines."""
    return await api.run(write_lines(sink, (json_line(plain(item)) async for item in source(api))))


@flow
async def write_lines(api: Api, sink: Sink, lines: AsyncIterable[str], head: str = "") -> Written:
    """Write lines to a file.

    :param sink: destination of the file; it is committed once it is complete.
    :param lines: the lines, without line breaks at their ends.
    :param head: a first line that does not count.
    """
    count, gathered = 0, bytearray(f"{head}\n" if head else "", "utf-8")
    with SummedSink(sink) as file:
        async for line in lines:
            count += 1
            gathered += line.encode(errors="backslashreplace") + b"\n"
            if len(gathered) >= _GATHERED:
                await api.to_thread(file.write, bytes(gathered))
                gathered.clear()
        if gathered:
            await api.to_thread(file.write, bytes(gathered))
        stored = await api.to_thread(file.commit)
    return Written(count, stored.size, stored.sha256)


async def in_groups(items: AsyncIterable[T], size: int) -> AsyncGenerator[list[T], None]:
    """Yield the items of a source in lists of at most ``size``."""
    group: list[T] = []
    async for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
