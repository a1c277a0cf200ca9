"""Operators for workbooks: export to PDF and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import CatalogPath, OneOf, Template, path_text
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.export_base import ExportingOperator, ExportRequest
from airflow_provider_oac.operators.task_state import Started, Succeeded

_FORMATS = OneOf(("pdf", "png"))


class OACExportWorkbookOperator(ExportingOperator):
    """Exports a workbook as PDF or PNG to any store that Airflow's ``ObjectStoragePath`` reaches.

    The task streams the file and checks it (announced size, first and last bytes); the file appears only when it is
    complete. A PDF of more than five canvases takes several exports, which are joined in order (needs the extra
    ``pdf``). A PNG contains one canvas, so several canvases become several files: ``board-01-Overview.png``,
    ``board-02-Details.png`` and so on.

    The export shows what the Connection's user may see in OAC. The user needs DV Content Author and the permission
    *Schedule Workbooks* (documented for another way to the same export).

    The result (XCom) is a dictionary: ``files``, a list of dictionaries with ``path``, ``size``, ``sha256``,
    ``format``, ``workbook_id``, ``canvases`` (names, in order) and ``work_request_ids``. If there is just one file, the
    result also has its members beside ``files``: ``{{ ti.xcom_pull('export')['path'] }}`` is enough.

    :param workbook_path: path of the workbook in the catalog, such as ``/shared/Sales/Board``; or
    :param workbook_id: its id as lists return it, already encoded.
    :param destination: URL of the file, which ends in ``.pdf`` or ``.png`` to match ``file_format``; or of a folder,
        which ends in ``/``; the file then has the name of the workbook. An existing file is replaced.
    :param file_format: ``pdf`` or ``png``.
    :param canvases: names or ids of canvases, in order; by default all of the visualize tab.
    """

    workbook_path: Template[CatalogPath | None] = None
    workbook_id: Template[str | None] = None
    file_format: Template[Annotated[str, _FORMATS]] = "pdf"
    canvases: Template[Sequence[str] | None] = None

    def requests(self) -> list[ExportRequest]:
        """The export of the one workbook."""
        lazy.workbooks.check_format(self.file_format)
        workbook_id, name = _workbook(path_text(self.workbook_path), self.workbook_id)
        url = path_text(self.destination)
        if url.endswith("/"):
            url = f"{url}{lazy.file_names.plain_name(name)}.{self.file_format}"
        elif not url.endswith(f".{self.file_format}"):
            raise OACConfigurationError(
                f"The destination is {url!r}, but must end in .{self.file_format}, or in / for a folder."
            )
        label = path_text(self.workbook_path) or name
        return [self.request(label, url, workbook_id, name, self.file_format, self.canvases)]

    def complete(self, started: Started, work: Succeeded, context: Context) -> dict[str, Any]:
        """Make the result."""
        files = self.made(started.facts)
        self.report_files(files, context)
        return {**(files[0] if len(files) == 1 else {}), "files": files}


class OACExportWorkbooksOperator(ExportingOperator):
    """Exports many workbooks, each in one or more formats, into one folder.

    :class:`OACExportWorkbookOperator` describes how each file is made. One failed export does not stop the others; at
    the end the task fails and names each failed one. A retry makes only the missing files. The task state store
    (Airflow 3.3) records the complete ones; without a store, a manifest in the folder does (``.oac-export-….json``),
    which the task removes when all files are made. A file counts only if it is still there with the same size. A Clear
    makes all files anew.

    The result (XCom) is a dictionary: ``files``, a list as in :class:`OACExportWorkbookOperator`.

    :param workbooks: the workbooks: paths in the catalog, or dictionaries with ``workbook_path`` or ``workbook_id``
        and, optionally, ``canvases`` (names or ids), ``name`` (of the file, without extension; by default the
        workbook's) and ``formats``.
    :param destination: URL of the folder, in any store that ``ObjectStoragePath`` reaches.
    :param formats: ``pdf`` or ``png`` or both, for workbooks that do not set ``formats``.
    """

    workbooks: Template[Sequence[CatalogPath | Mapping[str, Any]]]
    formats: Template[Sequence[Annotated[str, _FORMATS]] | Annotated[str, _FORMATS]] = ("pdf",)

    several = True

    def requests(self) -> list[ExportRequest]:
        """The exports of every workbook in each of its formats."""
        if not self.workbooks:
            raise OACConfigurationError(f"Task {self.task_id!r}: workbooks is empty.")
        requests = [request for item in self.workbooks for request in self._requests(item)]
        by_url: dict[str, str] = {}
        for request in requests:
            if other := by_url.get(request.file.url):
                raise OACConfigurationError(
                    f"{request.file.label} and {other} have the same destination {request.file.url}. Give one a name."
                )
            by_url[request.file.url] = request.file.label
        return requests

    def _requests(self, item: CatalogPath | Mapping[str, Any]) -> list[ExportRequest]:
        given = dict(item) if isinstance(item, Mapping) else {"workbook_path": path_text(item)}
        if unknown := set(given) - {"workbook_path", "workbook_id", "canvases", "name", "formats"}:
            names = ", ".join(sorted(map(repr, unknown)))
            raise OACConfigurationError(f"Unknown field {names} in the workbook {item!r}.")
        workbook_id, own_name = _workbook(given.get("workbook_path"), given.get("workbook_id"))
        name = lazy.file_names.plain_name(str(given.get("name") or own_name))
        folder = path_text(self.destination).rstrip("/")
        label = str(given.get("workbook_path") or own_name)
        formats = given.get("formats") or self.formats
        return [
            self.request(label, f"{folder}/{name}.{kind}", workbook_id, name, kind, given.get("canvases"))
            for kind in ([formats] if isinstance(formats, str) else formats)
        ]

    def complete(self, started: Started, work: Succeeded, context: Context) -> dict[str, Any]:
        """Make the result.

        :raises OACError: if an export failed. It names each failed one.
        """
        files, failed = self.made(started.facts), started.facts.failed
        if failed:
            each = "\n".join(f"- {message}" for _label, message in failed)
            raise OACError(
                f"{len(failed)} exports failed; {len(files)} files are complete in {self.destination}. A retry exports "
                f"only the missing ones.\n{each}"
            )
        if manifest := self._manifest_of(self._state(context)):
            manifest.finish()
        self.report_files(files, context)
        return {"files": files}


def _workbook(path: str | None, workbook_id: str | None) -> tuple[str, str]:
    """Id and name of a workbook.

    :raises OACConfigurationError: unless exactly one of the two is given.
    """
    encoded = lazy.ids.item_id(item_id=workbook_id, path=path, what="the workbook")
    return encoded, lazy.export.name_of(encoded)
