"""Write rows to CSV, JSON lines or Parquet files, page by page; only a complete file is committed."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import NoneType
from typing import Any

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.flows.download import Sink, SummedSink
from airflow_provider_oac.client.flows.writers import Written, csv_line, write_lines
from airflow_provider_oac.client.paging import Source
from airflow_provider_oac.client.sql.queries import Rows
from airflow_provider_oac.exceptions import OACConfigurationError, OACContentError


@flow
async def write_file(
    api: Api, source: Source[Rows], sink: Sink, file_format: str, columns: Sequence[str], types: Mapping[str, str] = {}
) -> Written:
    """Write all rows that a source yields to a file.

    CSV has a header, and NULL is empty. JSON lines hold numbers as OAC sent them, and dates and times in ISO 8601. In
    Parquet the first page decides the type of each column: ``int64`` for whole numbers, ``double`` for other numbers,
    ``timestamp[us]`` for dates and times, ``string`` for anything else.

    :param file_format: ``csv``, ``jsonl`` or ``parquet``, which needs pyarrow.
    :param columns: names of the columns.
    :param types: types of Parquet columns by name: ``int64``, ``double``, ``decimal128(18, 2)``, ``date32``,
        ``timestamp[us]``, ``string``.
    :raises OACConfigurationError: if two columns have the same name, or a type is unknown.
    :raises OACContentError: if a value on a later page does not fit the type of its column.
    """
    if len(set(columns)) < len(columns) or not set(types) <= set(columns):
        raise OACConfigurationError(
            f"The columns are {', '.join(columns)}. Their names must differ, and column_types may name only these."
        )
    if file_format == "csv":
        lines = (csv_line(row) async for page in source(api) for row in page.rows)
        return await api.run(write_lines(sink, lines, csv_line(columns)))
    if file_format == "jsonl":
        names = [json.dumps(name, ensure_ascii=False) for name in columns]
        lines = (_json_line(names, row) async for page in source(api) for row in page.rows)
        return await api.run(write_lines(sink, lines))
    encoder, count = _Parquet(types), 0
    with SummedSink(sink) as file:
        async for page in source(api):
            file.write(await api.to_thread(encoder.encoded, page))
            count += len(page)
        file.write(encoder.encoded(None))
        stored = await api.to_thread(file.commit)
    return Written(count, stored.size, stored.sha256)


def _json_line(names: Sequence[str], row: Sequence[Any]) -> str:
    return "{" + ",".join(f"{name}:{_json(value)}" for name, value in zip(names, row, strict=True)) + "}"


def _json(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value.isoformat() if isinstance(value, datetime) else value, ensure_ascii=False)


class _Parquet:
    """Encodes pages with pyarrow.

    :param types: types of the columns whose type is not inferred.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        try:
            # The extra ``parquet`` installs pyarrow.
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise OACConfigurationError(
                "Parquet needs pyarrow. Next step: install airflow-provider-oac[parquet], or choose csv or jsonl."
            ) from None
        self._arrow: Any = pyarrow
        self._wanted = {name: self._type(name, text) for name, text in types.items()}
        self._buffer = io.BytesIO()
        self._writer: Any = None

    def encoded(self, page: Rows | None) -> bytes:
        """Return the next bytes of the file; for ``None``, the last ones."""
        if page is None:
            self._writer.close()
        else:
            named = list(zip(page.columns, page.data, strict=True))
            if self._writer is None:
                fields = [(name, self._wanted.get(name) or self._inferred(values)) for name, values in named]
                self._writer = self._arrow.parquet.ParquetWriter(self._buffer, self._arrow.schema(fields))
            schema = self._writer.schema
            arrays = [self._array(name, schema.field(name).type, values) for name, values in named]
            self._writer.write_table(self._arrow.table(arrays, schema=schema))
        data = self._buffer.getvalue()
        # pyarrow itself tracks the position in the file.
        self._buffer.seek(0)
        self._buffer.truncate()
        return data

    def _type(self, name: str, text: str) -> Any:
        if found := re.fullmatch(r"decimal(?:128)?\((\d+),\s*(\d+)\)", text):
            return self._arrow.decimal128(int(found[1]), int(found[2]))
        try:
            return self._arrow.type_for_alias(text)
        except ValueError:
            raise OACConfigurationError(
                f"column_types[{name!r}] is {text!r}, which pyarrow does not know. Next step: use 'int64', 'double', "
                "'decimal128(18, 2)', 'date32', 'timestamp[us]' or 'string'."
            ) from None

    def _inferred(self, values: list[Any]) -> Any:
        kinds = set(map(type, values)) - {NoneType}
        if kinds and kinds <= {int, Decimal}:
            return self._arrow.float64() if Decimal in kinds else self._arrow.int64()
        return self._arrow.timestamp("us") if kinds == {datetime} else self._arrow.string()

    def _array(self, name: str, kind: Any, values: list[Any]) -> Any:
        types, came = self._arrow.types, set(map(type, values)) - {NoneType}
        # For each kind of type: the Python type that it takes unchanged, and the conversion of other values.
        ways: tuple[tuple[Callable[[Any], bool], type | None, Callable[[Any], Any]], ...] = (
            (types.is_floating, float, float),
            (types.is_integer, int, _whole),
            (types.is_decimal, None, lambda value: Decimal(value).quantize(Decimal(1).scaleb(-kind.scale))),
            (types.is_string, str, str),
        )
        try:
            if types.is_temporal(kind) and came - {datetime}:
                raise TypeError("pyarrow would take a number for a time")
            for fits, taken, convert in ways:
                if fits(kind) and came - {taken}:
                    values = [None if value is None else convert(value) for value in values]
            return self._arrow.array(values, type=kind)
        except (ArithmeticError, TypeError, ValueError):
            pass
        # Raised outside the except block, because that exception contains a value.
        raise OACContentError(
            f"Column {name} has a value that does not fit {kind}. Likely cause: the first page decided the type, and a "
            f"later page has other values. Next step: set column_types={{{name!r}: 'double'}}, or another type."
        )


def _whole(value: Any) -> int:
    """Convert to a whole number; pyarrow would cut off a fraction."""
    if value != int(value):
        raise ValueError
    return int(value)
