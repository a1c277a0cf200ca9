"""Rows in files: CSV, JSON lines and Parquet, page by page, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.checksum import SummedSink
from airflow_provider_oac.client.flows.download import Sink
from airflow_provider_oac.client.paging import Source
from airflow_provider_oac.client.sql.queries import Rows
from airflow_provider_oac.client.writers import Written
from airflow_provider_oac.exceptions import OACConfigurationError, OACContentError


@flow
async def write(
    api: Api, source: Source[Rows], sink: Sink, file_format: str, types: Mapping[str, str] | None = None
) -> Written:
    """Write all rows that a source yields.

    CSV has a head and is as :func:`airflow_provider_oac.client.writers.csv_line` has it. JSON lines hold numbers as OAC
    sent them, and dates and times in ISO 8601. In Parquet a column of whole numbers is ``int64``, of others ``double``,
    of dates and times ``timestamp[us]``, else ``string``: what the first page holds decides.

    :param file_format: ``csv``, ``jsonl`` or ``parquet``, which needs pyarrow.
    :param types: of Parquet, the types of columns: ``int64``, ``double``, ``decimal128(18, 2)``, ``date32``,
        ``timestamp[us]``, ``string``.
    :raises OACConfigurationError: if two columns have one name, or a type is unknown.
    :raises OACContentError: if a later page holds what does not fit the type of its column.
    """
    summed, count = SummedSink(sink), 0
    encoder = _ENCODERS[file_format](summed.write, dict(types or {}))
    try:
        async with aclosing(source(api)) as pages:
            async for page in pages:
                _check_names(page.columns, encoder.types)
                await api.to_thread(encoder.add, page)
                count += len(page)
        await api.to_thread(encoder.finish)
        await api.to_thread(summed.commit)
    except BaseException:
        summed.discard()
        raise
    return Written(count, summed.size, summed.sha256)


def _check_names(columns: tuple[str, ...], types: Mapping[str, str]) -> None:
    twice = {name for name in columns if columns.count(name) > 1}
    unknown = set(types) - set(columns)
    if twice or unknown:
        what = f"several columns are called {', '.join(sorted(twice))}; give each an alias" if twice else (
            f"column_types names {', '.join(sorted(unknown))}, and the columns are {', '.join(columns)}"
        )  # fmt: skip
        raise OACConfigurationError(f"The rows cannot be written: {what}.")


class _Csv:
    def __init__(self, write: Callable[[bytes], None], types: Mapping[str, str]) -> None:
        self.types = types
        self._write = write
        self._begun = False

    def add(self, page: Rows) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun:
            writer.writerow(page.columns)
        self._begun = True
        writer.writerows(page.rows)
        self._write(text.getvalue().encode(errors="backslashreplace"))

    def finish(self) -> None:
        pass


class _JsonLines(_Csv):
    def add(self, page: Rows) -> None:
        names = [json.dumps(name, ensure_ascii=False) for name in page.columns]
        lines = (
            ",".join(f"{name}:{_json(value)}" for name, value in zip(names, row, strict=True)) for row in page.rows
        )
        self._write("".join(f"{{{line}}}\n" for line in lines).encode(errors="backslashreplace"))


def _json(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value.isoformat() if isinstance(value, datetime) else value, ensure_ascii=False)


class _Parquet:
    """Writes with pyarrow, which wants a file with a position."""

    closed = False

    def __init__(self, write: Callable[[bytes], None], types: Mapping[str, str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise OACConfigurationError(
                "Parquet needs pyarrow: install airflow-provider-oac[parquet] where the task runs, or choose csv or "
                "jsonl."
            ) from None
        self.types = types
        self._arrow: Any = pyarrow
        self._wanted = {name: _type(pyarrow, name, text) for name, text in types.items()}
        self._sink = write
        self._position = 0
        self._schema: Any = None
        self._writer: Any = None

    def add(self, page: Rows) -> None:
        if self._schema is None:
            fields = [
                (name, self._wanted.get(name) or self._inferred(values))
                for name, values in zip(page.columns, page.data, strict=True)
            ]
            self._schema = self._arrow.schema(fields)
            self._writer = self._arrow.parquet.ParquetWriter(self, self._schema)
        columns = [self._column(field, values) for field, values in zip(self._schema, page.data, strict=True)]
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def finish(self) -> None:
        self._writer.close()

    def _inferred(self, values: list[Any]) -> Any:
        kinds = {type(value) for value in values} - {type(None)}
        if kinds and kinds <= {int, Decimal}:
            return self._arrow.float64() if Decimal in kinds else self._arrow.int64()
        return self._arrow.timestamp("us") if kinds == {datetime} else self._arrow.string()

    def _column(self, field: Any, values: list[Any]) -> Any:
        kinds = self._arrow.types
        convert: Callable[[Any], Any] | None = None
        if kinds.is_floating(field.type):
            convert = float
        elif kinds.is_decimal(field.type):
            unit = Decimal(1).scaleb(-field.type.scale)
            convert = lambda value: Decimal(value).quantize(unit)  # noqa: E731
        elif kinds.is_string(field.type):
            convert = str
        try:
            if convert is not None:
                values = [None if value is None else convert(value) for value in values]
            return self._arrow.array(values, type=field.type)
        except (ArithmeticError, TypeError, ValueError):
            pass
        # Not while the exception is handled, which holds a value.
        raise OACContentError(
            f"The column {field.name} has a value that is no {field.type}. Likely cause: its type was taken from the "
            f"first page, and a later one holds other values. Next step: set column_types={{{field.name!r}: "
            "'double'}, or another type that fits."
        )

    def write(self, data: Any) -> int:
        """Take the next bytes; called by pyarrow."""
        piece = bytes(data)
        self._sink(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        """The position; called by pyarrow."""
        return self._position

    def flush(self) -> None:
        """Without effect; called by pyarrow."""

    close = flush


def _type(arrow: Any, name: str, text: str) -> Any:
    if found := re.fullmatch(r"decimal(?:128)?\((\d+),\s*(\d+)\)", text):
        return arrow.decimal128(int(found[1]), int(found[2]))
    try:
        return arrow.type_for_alias(text)
    except ValueError:
        raise OACConfigurationError(
            f"column_types[{name!r}] is {text!r}, which pyarrow does not know. Give a type such as 'int64', 'double', "
            "'decimal128(18, 2)', 'date32', 'timestamp[us]' or 'string'."
        ) from None


_ENCODERS: Mapping[str, Any] = {"csv": _Csv, "jsonl": _JsonLines, "parquet": _Parquet}
