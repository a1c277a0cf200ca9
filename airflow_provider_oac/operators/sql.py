"""Operators that write data and definitions to files: the rows of a query, the definitions of workbooks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from hashlib import sha256
from typing import Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import CatalogPath, Duration, Location, Number, OneOf, Template, path_text, seconds
from airflow_provider_oac.assets import source_uri
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.operators.base import OACBaseOperator, sink_of
from airflow_provider_oac.operators.export_base import asset_uri
from airflow_provider_oac.operators.lineage import Made, ReportsMade
from airflow_provider_oac.operators.task_state import TaskKey

__all__ = ["OACSqlToStorageOperator", "OACWorkbookBackupOperator"]


class OACSqlToStorageOperator(OACBaseOperator, ReportsMade):
    """Runs a query of Logical SQL and writes its rows to a file, in any store that ``ObjectStoragePath`` reaches.

    The file appears only when it is complete. With ``page_rows`` the rows arrive page by page, and the task needs
    memory for one page. Without it they arrive in one response, which OAC may truncate, so more than ``max_rows`` rows
    fail the task. A retry runs the query again.

    The result (XCom) is a dictionary: ``path``, ``format``, ``rows``, ``size``, ``sha256``, ``columns``, and
    ``manifest`` (its path, if there is one). It contains no data.

    :param sql: one SELECT of Logical SQL, or a file ``….sql``. Without an alias, a column keeps the name that it has in
        OAC.
    :param parameters: a list of values for the question marks of the query. Pass untrusted values here and not in the
        text.
    :param destination: URL of the file. An existing file is replaced.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param file_format: ``csv``, ``jsonl`` (a JSON object on each line) or ``parquet`` (needs the extra ``parquet``).
    :param page_rows: maximum number of rows per page; by default no pages. The query needs ``page_key`` or ORDER BY.
    :param page_key: name of a column with a unique value in each row and no NULL. The rows are ordered by it.
    :param max_rows: maximum number of rows without pages.
    :param column_types: types of columns for Parquet, such as ``{"amount": "decimal128(18, 2)"}``; by default inferred
        from the first page.
    :param manifest: whether to write ``<destination>.manifest.json`` after the file: the result, and the sources of the
        query.
    :param query_timeout: how long OAC may take for a page; at most 900 seconds.
    """

    template_ext = (".sql",)

    sql: Template[str]
    destination: Template[Location]
    destination_conn_id: Template[str | None] = None
    file_format: Template[Annotated[str, OneOf(("csv", "jsonl", "parquet"))]] = "csv"
    parameters: Template[Any] = None
    page_rows: Number | None = None
    page_key: Template[str | None] = None
    max_rows: Number = 100_000
    column_types: Template[Mapping[str, Any] | None] = None
    manifest: bool = False
    query_timeout: Duration = 600.0

    @cached_property
    def hook(self) -> lazy.oac.OACHook:
        """The hook of this task, with ``query_timeout`` as its read timeout."""
        patience = seconds(self.query_timeout)
        return lazy.oac.OACHook(self.oac_conn_id, stopped=lambda: self._killed, read_timeout=patience)

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the query, and write the file."""
        if (self.column_types and self.file_format != "parquet") or (self.page_key and not self.page_rows):
            raise OACConfigurationError(
                f"Task {self.task_id!r}: column_types need file_format='parquet', and page_key needs page_rows."
            )
        url = path_text(self.destination)
        self._push_link(context)
        made = lazy.sql.read_statement(self.sql, self.parameters)
        columns = [column.name for column in made.columns]
        pages = partial(
            lazy.sql.pages, text=self.sql, parameters=self.parameters, page_rows=self.page_rows, key=self.page_key,
            max_rows=self.max_rows,
        )  # fmt: skip
        sink = sink_of(url, self.destination_conn_id, TaskKey.of(context))
        with self._stopping("The query may continue in OAC, which cannot cancel it. No file was written."):
            done = self.hook.run(lazy.sql.write_file(pages, sink, self.file_format, columns, self.column_types or {}))
        result: dict[str, Any] = {
            "path": url, "format": self.file_format, "rows": done.lines, "size": done.size,
            "sha256": done.sha256, "columns": columns, "manifest": None,
        }  # fmt: skip
        if self.manifest:
            result["manifest"] = f"{url}.manifest.json"
            _write(result["manifest"], self.destination_conn_id, {**result, "sources": made.sources})
        self.log.info("Wrote %d rows to %s: %d bytes, SHA-256 %s.", done.lines, url, done.size, done.sha256)
        path, extra = asset_uri(url), {name: result[name] for name in ("rows", "size", "sha256", "format")}
        read = source_uri(self.hook.settings.address, made.sources[0]) if made.sources else path
        self.report_made(context, [Made(path, (read, path), extra)])
        return result


class OACWorkbookBackupOperator(OACBaseOperator):
    """Writes the definition of each workbook below a folder to a JSON file.

    A definition contains canvases, visualizations and calculations, but no data. The same definition always gives the
    same file, so Git shows what changed. The files have the same folder structure as the workbooks, and
    ``manifest.json`` lists them. The file of a deleted workbook stays. The definitions come from OAC's MCP server;
    importing one is not supported.

    The result (XCom) is a dictionary: ``path``, ``manifest`` (its path), ``workbooks`` (how many).

    :param folder_path: path of the folder in the catalog, such as ``/@Catalog/shared/Sales``; or
    :param folder_id: its id as lists return it.
    :param destination: URL of a folder, in any store that ``ObjectStoragePath`` reaches.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    """

    folder_path: Template[CatalogPath | None] = None
    folder_id: Template[str | None] = None
    destination: Template[Location]
    destination_conn_id: Template[str | None] = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and write each definition."""
        folders, session = lazy.ids.FOLDERS, lazy.sql.McpSession()
        folder_id = lazy.ids.item_id(item_id=self.folder_id, path=path_text(self.folder_path), what="the folder")
        self._push_link(context)
        items = self.hook.run(lazy.paging.collected(lambda api: lazy.catalog_search.below(api, folders, folder_id)))
        entries, folder = [], path_text(self.destination).rstrip("/")
        for name, item in sorted(_file_names(items, lazy.ids.normal(folder_id)).items()):
            definition = self.hook.run(lazy.sql.read_workbook(item.id, session=session))
            _write(f"{folder}/{name}", self.destination_conn_id, definition)
            entries.append({"file": name, "path": item.path, "id": item.id})
        manifest = f"{folder}/manifest.json"
        _write(manifest, self.destination_conn_id, {"workbooks": entries})
        self.log.info("Wrote the definitions of %d workbooks to %s.", len(entries), path_text(self.destination))
        return {"path": path_text(self.destination), "manifest": manifest, "workbooks": len(entries)}


def _write(url: str, conn_id: str | None, content: Any) -> None:
    """Write JSON with sorted keys: the same content gives the same text."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    lazy.object_storage.Destination(url, conn_id).write(text.encode(errors="backslashreplace"))


def _file_names(items: Sequence[lazy.catalog.CatalogItem], folder: str) -> dict[str, lazy.catalog.CatalogItem]:
    """Workbooks by the paths of their files below the destination; a digest distinguishes paths that would collide."""
    plain, normal = lazy.file_names.plain_name, lazy.ids.normal
    workbooks = [item for item in items if item.type == lazy.ids.WORKBOOKS]
    names = ["/".join(map(plain, normal(item.id).removeprefix(f"{folder}/").split("/"))) for item in workbooks]
    # Some file systems ignore case.
    many = Counter(["manifest", *map(str.casefold, names)])
    named = {}
    for name, item in zip(names, workbooks, strict=True):
        digest = "" if many[name.casefold()] == 1 else f"-{sha256(item.id.encode()).hexdigest()[:8]}"
        named[f"{name}{digest}.json"] = item
    return named
