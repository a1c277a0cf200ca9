"""Export workbooks to files: plan and order exports, wait for them, download them, and join PDF files.

Joining needs pypdf, which the extra ``pdf`` installs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_oac.client.api import Api, Work, flow
from airflow_provider_oac.client.file_names import NAME_BYTES, cut, plain_name
from airflow_provider_oac.client.flows.download import BY_FORMAT, FileSink, Sink, Stored, copy, download, local_disk
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, poll_until_done
from airflow_provider_oac.client.ids import plain_id, visible
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.client.rest.workbooks import MAX_CANVASES, PDF, Canvas
from airflow_provider_oac.exceptions import OACConfigurationError, OACContentError, OACError, OACKilledError
from airflow_provider_oac.records import Record

T = TypeVar("T")

# Most canvases that a message names.
_NAMED = 3


@dataclass(frozen=True)
class Export(Record, Model):
    """One export of OAC: a complete file, or a part of one.

    :param canvas_ids: its canvases, in order.
    :param work_request_id: its work request, once it is ordered; also the id of the export.
    :param submitted_at: when it was ordered, in seconds since the epoch.
    """

    canvas_ids: tuple[str, ...]
    work_request_id: str | None = None
    submitted_at: float | None = None


@dataclass(frozen=True)
class WantedFile(Record, Model):
    """A file to make.

    :param label: what it is, for messages.
    :param url: its destination.
    :param workbook_id: id of the workbook, encoded as lists return it.
    :param name: name of the file in OAC.
    :param file_format: ``pdf`` or ``png``.
    :param width: width of the rendered screen, in pixels.
    :param height: height of the rendered screen, in pixels.
    :param canvases: names of its canvases, in order.
    :param exports: the exports that make it up; more than one for a PDF of more than five canvases.
    """

    label: str
    url: str
    workbook_id: str
    name: str
    file_format: str
    width: int
    height: int
    canvases: tuple[str, ...] = ()
    exports: tuple[Export, ...] = ()


@dataclass
class ExportFacts(Record):
    """The facts that a task stores about the files that it makes.

    :param order: URLs of all files, in the requested order.
    :param round: files whose exports are ordered.
    :param left: files of later rounds.
    :param done: entries of the result.
    :param failed: labels and messages of files that could not be made.
    """

    order: tuple[str, ...] = ()
    round: tuple[WantedFile, ...] = ()
    left: tuple[WantedFile, ...] = ()
    done: tuple[dict[str, Any], ...] = ()
    failed: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class MadeFile(Model):
    """A complete file at its destination."""

    size: int
    sha256: str
    work_request_ids: tuple[str, ...]


def planned(file: WantedFile, canvases: Sequence[Canvas]) -> list[WantedFile]:
    """Plan the files for some canvases.

    PDF: one file, of as many exports as five canvases each (documented limit) take. PNG: each canvas gets its own
    export and file, because it is not documented how OAC exports several canvases in this format: ``board.png`` for
    one, ``board-01-Overview.png``, ``board-02-Details.png`` and so on for several.
    """
    if file.file_format == PDF or len(canvases) == 1:
        return [_with_canvases(file, canvases)]
    digits = max(2, len(str(len(canvases))))
    return [
        _with_canvases(replace(file, url=_numbered(file, f"-{number:0{digits}}-", canvas)), [canvas])
        for number, canvas in enumerate(canvases, 1)
    ]


def _with_canvases(file: WantedFile, canvases: Sequence[Canvas]) -> WantedFile:
    """Return the file with its canvases, their exports, and a label that names them."""
    ids = [canvas.id for canvas in canvases]
    exports = tuple(Export(tuple(ids[start : start + MAX_CANVASES])) for start in range(0, len(ids), MAX_CANVASES))
    names = ", ".join(f"'{visible(canvas.name)}'" for canvas in canvases[:_NAMED])
    more = f" and {len(canvases) - _NAMED} more" if len(canvases) > _NAMED else ""
    label = f"{file.label}, canvas{'es' * (len(canvases) > 1)} {names}{more}"
    return replace(file, label=label, canvases=tuple(canvas.name for canvas in canvases), exports=exports)


def _numbered(file: WantedFile, number: str, canvas: Canvas) -> str:
    """Return the URL for the file of one of several canvases, with a name that file systems accept."""
    ending = f".{file.file_format}"
    folder, slash, stem = file.url.removesuffix(ending).rpartition("/")
    room = NAME_BYTES - len(f"{number}{ending}")
    name = plain_name(canvas.name, room // 2)
    return f"{folder}{slash}{cut(stem, room - len(name.encode()))}{number}{name}{ending}"


def name_of(workbook_id: str) -> str:
    """Return the name from a workbook's id, which encodes its path (documented); else the id itself."""
    path = (plain_id(workbook_id) or "").rstrip("/")
    return path.rpartition("/")[2] or workbook_id


@flow
async def order_exports(api: Api, file: WantedFile, limit: int) -> WantedFile:
    """Order the first exports of a file that are not ordered yet, and return the file with their ids.

    :param limit: most exports to order.
    :raises OACApiError: if OAC refuses.
    """
    exports = list(file.exports)
    todo = [number for number, export in enumerate(exports) if export.work_request_id is None]
    for number in todo[:limit]:
        exports[number] = await _ordered(api, file, exports[number])
    return replace(file, exports=tuple(exports))


@flow
async def make(
    api: Api,
    file: WantedFile,
    sink: Sink,
    plan: WaitPlan,
    *,
    limit: int = 1,
    on_made: Callable[[MadeFile], None] = lambda _made: None,
) -> MadeFile:
    """Make a file: order missing exports, wait, download, check, join, commit.

    A single export is streamed to the sink. Several exports go to temporary local files first; joining them holds about
    twice their size in memory.

    :param sink: destination of the file.
    :param plan: how to wait for each export.
    :param limit: most exports that run concurrently.
    :param on_made: called once the file is at its destination, possibly in another thread.
    :raises OACError: as waiting and downloading do.
    """
    if len(file.exports) == 1:
        export_id, stored = await api.run(_fetch(file, file.exports[0], sink, plan))
        made = MadeFile(stored.size, stored.sha256, (export_id,))
    else:
        made = await _joined(api, file, sink, plan, limit)
    on_made(made)
    return made


async def _joined(api: Api, file: WantedFile, sink: Sink, plan: WaitPlan, limit: int) -> MadeFile:
    """Make a PDF from several exports."""
    with tempfile.TemporaryDirectory(prefix="oac-export-") as folder:
        parts = [Path(folder, f"{number}.pdf") for number in range(len(file.exports))]
        works = [_fetch(file, export, FileSink(path), plan) for export, path in zip(file.exports, parts, strict=True)]
        fetched = await api.gather(works, limit)
        whole = Path(folder, "whole.pdf")
        pages = await api.to_thread(join, parts, whole)
        api.report(f"Joined {len(parts)} exports of {file.label} to {pages} pages.")
        stored = await api.to_thread(copy, whole, sink)
    return MadeFile(stored.size, stored.sha256, tuple(export_id for export_id, _ in fetched))


@flow
async def _fetch(api: Api, file: WantedFile, export: Export, sink: Sink, plan: WaitPlan) -> tuple[str, Stored]:
    """Order an export if needed, wait for it, and download it; return its id and the stored file."""
    if export.work_request_id is None:
        export = await _ordered(api, file, export)
    export_id = str(export.work_request_id)
    # Users search a log of many exports for the workbook, so each line names it.
    noun = f"the export of {file.label}, work request"
    target = WorkRequestTarget(export_id, plan, started_at=export.submitted_at, report=api.report, noun=noun)
    await api.run(poll_until_done(target))
    call = workbooks.download(file.workbook_id, export_id)
    return export_id, await api.run(download(call, sink, BY_FORMAT[file.file_format]))


async def _ordered(api: Api, file: WantedFile, export: Export) -> Export:
    call = workbooks.export(file.workbook_id, file.name, export.canvas_ids, file.file_format, file.width, file.height)
    submitted_at = api.now()
    work_request_id = await api.perform(call)
    return replace(export, work_request_id=work_request_id, submitted_at=submitted_at)


@flow
async def side_by_side(api: Api, works: Iterable[Work[T]], limit: int) -> list[T | OACError]:
    """Run calls and flows concurrently, and return their results or errors in order.

    It raises only if the task is killed.

    :param limit: most that run at once.
    """
    return await api.gather(map(_attempt, works), limit)


@flow
async def _attempt(api: Api, work: Work[T]) -> T | OACError:
    try:
        return await api.run(work)
    except OACKilledError:
        raise
    except OACError as error:
        return error


def check_can_join() -> None:
    """Check that :func:`join` can run, before any export is ordered.

    :raises OACConfigurationError: if pypdf is not installed.
    """
    if find_spec("pypdf") is None:
        raise OACConfigurationError(
            "A PDF of more than five canvases is joined from several exports, which needs pypdf. Next step: install "
            "airflow-provider-oac[pdf], or export at most five canvases per file."
        )


def join(parts: Sequence[Path], target: Path) -> int:
    """Write the pages of all parts into one file, in order; memory grows with the size of the parts.

    :returns: the number of pages.
    :raises OACConfigurationError: if pypdf is not installed.
    :raises OACContentError: if a part is not a readable PDF.
    """
    check_can_join()
    # pypdf is optional.
    import pypdf

    pages = 0
    with pypdf.PdfWriter() as writer:
        for number, part in enumerate(parts, 1):
            what = f"Part {number} of {len(parts)} of the PDF"
            try:
                writer.append(str(part), import_outline=True)
            except Exception as problem:
                raise _unreadable(what, problem) from problem
            before, pages = pages, len(writer.pages)
            if pages == before:
                raise OACContentError(f"{what} has no page.")
        with local_disk(target):
            try:
                writer.write(str(target))
            except OSError:
                raise
            except Exception as problem:
                raise _unreadable("The joined PDF", problem) from problem
    return pages


def _unreadable(what: str, problem: Exception) -> OACContentError:
    """Return the error for a damaged file; pypdf may raise an exception of any class."""
    return OACContentError(f"{what} cannot be read ({type(problem).__name__}: {str(problem)[:200]!r}).")
