"""Operators for workbooks: export to PDF and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import CatalogPath, OneOf, Template, path_text
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.operators.base import Started
from airflow_provider_oac.operators.export_base import ExportingOperator, ExportRequest

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.rest.work_requests import WorkRequest


_FORMATS = OneOf(("pdf", "png"))


class OACExportWorkbookOperator(ExportingOperator):
    """Exports a workbook as PDF or PNG to any store that Airflow's ``ObjectStoragePath`` reaches.

    The file is streamed, checked (announced size, first and last bytes), and appears when it is complete. More than
    five canvases in one PDF are several exports, joined in order (needs the extra ``pdf``). A PNG holds one canvas:
    several canvases are several files, ``board-01-Overview.png``, ``board-02-Details.png`` and so on.

    The user sees in the export what the user may see in OAC, and needs DV Content Author and the permission *Schedule
    Workbooks* (documented for another way to the same export).

    The result (XCom) is a dictionary: ``files``, a list of dictionaries with ``path``, ``size``, ``sha256``,
    ``format``, ``workbook_id``, ``canvases`` (names, in order) and ``work_request_ids``. If there is just one file, its
    members are beside ``files``, too: ``{{ ti.xcom_pull('export')['path'] }}`` is enough.

    :param workbook_path: path of the workbook in the catalog, such as ``/shared/Sales/Board``; or
    :param workbook_id: its id as lists return it, already encoded.
    :param destination: URL of the file, which ends in ``.pdf`` or ``.png`` as ``file_format`` says; or of a folder,
        which ends in ``/`` and takes a file with the name of the workbook. A file that is there is replaced.
    :param file_format: ``pdf`` or ``png``.
    :param canvases: names or ids of canvases, in the order wanted; by default all of the visualize tab.
    """

    workbook_path: Template[CatalogPath | None] = None
    workbook_id: Template[str | None] = None
    file_format: Template[Annotated[str, _FORMATS]] = "pdf"
    canvases: Template[Sequence[str] | None] = None

    def requests(self) -> list[ExportRequest]:
        """The one workbook."""
        lazy.workbooks.check_format(self.file_format)
        workbook_id, name = _workbook(path_text(self.workbook_path), self.workbook_id)
        url = path_text(self.destination)
        if url.endswith("/"):
            url = f"{url}{lazy.file_names.plain_name(name)}.{self.file_format}"
        elif not url.endswith(f".{self.file_format}"):
            raise OACConfigurationError(
                f"The destination is {url!r}, but must end in .{self.file_format} (the format), or in / for a folder."
            )
        return [
            self.request(path_text(self.workbook_path) or name, url, workbook_id, name, self.file_format, self.canvases)
        ]

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result."""
        files = self.made(started.facts)
        self.report_files(files, context)
        return {**(files[0] if len(files) == 1 else {}), "files": files}


class OACExportWorkbooksOperator(ExportingOperator):
    """Exports many workbooks, each in one or more formats, into one folder of any store that ``ObjectStoragePath``
    reaches.

    Every file is made as :class:`OACExportWorkbookOperator` makes it. One that fails does not stop the others; at the
    end the task fails and names each. A retry makes only what is missing: on Airflow 3.3 the task state store remembers
    what an earlier try made, elsewhere a manifest in the folder (``.oac-export-….json``) does, which goes when
    everything is made. Only files that are still there with the same size count. After a Clear everything is made anew.

    The result (XCom) is a dictionary: ``files``, a list as :class:`OACExportWorkbookOperator` has it.

    :param workbooks: what to export: paths in the catalog, or dictionaries with ``workbook_path`` or ``workbook_id``
        and, where wanted, ``canvases`` (names or ids), ``name`` (of the file, without its ending; by default the
        workbook's) and ``formats``.
    :param destination: URL of the folder.
    :param formats: ``pdf`` or ``png`` or both, for all that do not say otherwise.
    """

    workbooks: Template[Sequence[CatalogPath | Mapping[str, Any]]]
    formats: Template[Sequence[Annotated[str, _FORMATS]] | Annotated[str, _FORMATS]] = ("pdf",)

    several = True

    def requests(self) -> list[ExportRequest]:
        """Every workbook in every format."""
        if not self.workbooks:
            raise OACConfigurationError(f"Task {self.task_id!r}: workbooks is empty.")
        requests = [request for item in self.workbooks for request in self._requests(item)]
        by_url: dict[str, str] = {}
        for request in requests:
            if other := by_url.get(request.file.url):
                raise OACConfigurationError(
                    f"{request.file.label} and {other} would both be written to {request.file.url}. Give one of them a "
                    "name."
                )
            by_url[request.file.url] = request.file.label
        return requests

    def _requests(self, item: CatalogPath | Mapping[str, Any]) -> list[ExportRequest]:
        given = dict(item) if isinstance(item, Mapping) else {"workbook_path": path_text(item)}
        unknown = set(given) - {"workbook_path", "workbook_id", "canvases", "name", "formats"}
        if unknown:
            raise OACConfigurationError(
                f"Unknown field {', '.join(sorted(map(repr, unknown)))} in the workbook {item!r}."
            )
        workbook_id, own_name = _workbook(given.get("workbook_path"), given.get("workbook_id"))
        name = lazy.file_names.plain_name(str(given.get("name") or own_name))
        folder = path_text(self.destination).rstrip("/")
        label = str(given.get("workbook_path") or own_name)
        formats = given.get("formats") or self.formats
        return [
            self.request(label, f"{folder}/{name}.{kind}", workbook_id, name, kind, given.get("canvases"))
            for kind in ([formats] if isinstance(formats, str) else formats)
        ]

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result, or fail naming each that failed.

        :raises OACError: if any failed.
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
