"""Making files of workbooks: what to order of OAC for a file, and the flow that waits for it, fetches and joins it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_oac.client.api import Api, Flow
from airflow_provider_oac.client.file_names import NAME_BYTES, cut, plain_name
from airflow_provider_oac.client.flows.checksum import SummedSink
from airflow_provider_oac.client.flows.download import BY_FORMAT, FileSink, Sink, copy, download
from airflow_provider_oac.client.flows.polling import WaitPlan, WorkRequestTarget, poll_until_done
from airflow_provider_oac.client.ids import plain_id, visible
from airflow_provider_oac.client.models import Model
from airflow_provider_oac.client.pdf import join
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.client.rest.workbooks import MAX_CANVASES, PDF, Canvas
from airflow_provider_oac.records import Record

# How many canvases a message names.
_NAMED = 3


@dataclass(frozen=True)
class Export(Record, Model):
    """One export of OAC: a whole file, or a part of one.

    :param canvas_ids: its canvases, in order.
    :param work_request_id: its work request, as soon as it was ordered; also the id of the export.
    :param submitted_at: when it was ordered, in seconds since the epoch.
    """

    canvas_ids: tuple[str, ...]
    work_request_id: str | None = None
    submitted_at: float | None = None


@dataclass(frozen=True)
class WantedFile(Record, Model):
    """A file that is to be made.

    :param label: what it is, for messages.
    :param url: where it goes.
    :param workbook_id: of which workbook, encoded as lists return it.
    :param name: what OAC calls the file.
    :param file_format: ``pdf`` or ``png``.
    :param width: of the screen that is drawn.
    :param height: of the screen that is drawn.
    :param canvases: names of its canvases, in order.
    :param exports: what it is made of; more than one for a PDF of more than five canvases.
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
    """What a task knows of the files that it makes.

    :param order: URLs of all files, in the order in which they are wanted.
    :param round: files whose exports are ordered.
    :param left: files that come later.
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
    """A file that is whole and in its place."""

    size: int
    sha256: str
    work_request_ids: tuple[str, ...]


def planned(file: WantedFile, canvases: Sequence[Canvas]) -> list[WantedFile]:
    """The files that are made of canvases.

    PDF: one, of as many exports as five canvases each (documented limit) take. PNG: what OAC makes of several canvases
    in this format is not documented, so that each has an export and a file of its own: ``board.png`` for one,
    ``board-01-Overview.png``, ``board-02-Details.png`` and so on for several.
    """
    if file.file_format == PDF:
        parts = [canvases[start : start + MAX_CANVASES] for start in range(0, len(canvases), MAX_CANVASES)]
        exports = tuple(Export(tuple(canvas.id for canvas in part)) for part in parts)
        names = tuple(canvas.name for canvas in canvases)
        return [replace(file, label=_labeled(file, canvases), canvases=names, exports=exports)]
    if len(canvases) == 1:
        exports, names = (Export((canvases[0].id,)),), (canvases[0].name,)
        return [replace(file, label=_labeled(file, canvases), canvases=names, exports=exports)]
    digits = max(2, len(str(len(canvases))))
    return [
        replace(
            file,
            label=_labeled(file, [canvas]),
            url=_numbered(file, f"-{number:0{digits}}-", canvas),
            canvases=(canvas.name,),
            exports=(Export((canvas.id,)),),
        )
        for number, canvas in enumerate(canvases, 1)
    ]


def _labeled(file: WantedFile, canvases: Sequence[Canvas]) -> str:
    """What a file is, with its canvases."""
    names = ", ".join(f"'{visible(canvas.name)}'" for canvas in canvases[:_NAMED])
    more = f" and {len(canvases) - _NAMED} more" if len(canvases) > _NAMED else ""
    return f"{file.label}, canvas{'es' * (len(canvases) > 1)} {names}{more}"


def _numbered(file: WantedFile, number: str, canvas: Canvas) -> str:
    """The URL of the file of one canvas of several, whose name is no longer than a file system takes."""
    ending = f".{file.file_format}"
    folder, slash, stem = file.url.removesuffix(ending).rpartition("/")
    room = NAME_BYTES - len(f"{number}{ending}")
    name = plain_name(canvas.name, room // 2)
    return f"{folder}{slash}{cut(stem, room - len(name.encode()))}{number}{name}{ending}"


def name_of(workbook_id: str) -> str:
    """The name that stands in the id of a workbook, which is its path (documented); else the id itself."""
    path = (plain_id(workbook_id) or "").rstrip("/")
    return path.rpartition("/")[2] or workbook_id


def ordered(file: WantedFile, limit: int) -> Flow[WantedFile]:
    """Order the first exports of a file that are not ordered yet. The flow returns the file with their ids.

    :param limit: most exports to order.
    :raises OACApiError: if OAC refuses.
    """

    async def flow(api: Api) -> WantedFile:
        exports = list(file.exports)
        todo = [number for number, export in enumerate(exports) if export.work_request_id is None]
        for number in todo[:limit]:
            exports[number] = await _ordered(api, file, exports[number])
        return replace(file, exports=tuple(exports))

    return flow


def make(
    file: WantedFile,
    sink: Sink,
    plan: WaitPlan,
    *,
    limit: int = 1,
    report: Callable[[str], None] = lambda _line: None,
) -> Flow[MadeFile]:
    """Make a file: order what is not ordered yet, wait, fetch, check, join, commit. The flow ends with the file in its
    place.

    One export is passed on piece by piece. Several go to temporary files of this machine first, and joining them holds
    about twice their size in memory.

    :param sink: where the file goes.
    :param plan: how to wait for each export.
    :param limit: how many exports run side by side.
    :param report: gets lines for people.
    :raises OACError: as waiting and downloading do.
    """

    async def flow(api: Api) -> MadeFile:
        if len(file.exports) > 1:
            return await _joined(api, file, sink, plan, limit, report)
        export_id = await _finished(api, file, file.exports[0], plan, report)
        call = workbooks.download(file.workbook_id, export_id)
        summed = SummedSink(sink)
        await download(call, summed, BY_FORMAT[file.file_format], report=report)(api)
        return MadeFile(summed.size, summed.sha256, (export_id,))

    return flow


async def _joined(
    api: Api, file: WantedFile, sink: Sink, plan: WaitPlan, limit: int, report: Callable[[str], None]
) -> MadeFile:
    """Make a PDF of several exports."""

    async def fetched(export: Export, path: Path) -> str:
        export_id = await _finished(api, file, export, plan, report)
        call = workbooks.download(file.workbook_id, export_id)
        await download(call, FileSink(path), BY_FORMAT[PDF], report=report)(api)
        return export_id

    with tempfile.TemporaryDirectory(prefix="oac-export-") as folder:
        parts = [Path(folder, f"{number}.pdf") for number in range(len(file.exports))]
        ids = await api.io.gather(map(fetched, file.exports, parts), limit)
        whole = Path(folder, "whole.pdf")
        pages = await api.io.to_thread(partial(join, parts, whole))
        report(f"Joined {len(parts)} exports of {file.label} to {pages} pages.")
        summed = SummedSink(sink)
        await api.io.to_thread(partial(copy, whole, summed))
    return MadeFile(summed.size, summed.sha256, tuple(ids))


async def _ordered(api: Api, file: WantedFile, export: Export) -> Export:
    call = workbooks.export(file.workbook_id, file.name, export.canvas_ids, file.file_format, file.width, file.height)
    submitted_at = api.io.now()
    work_request_id = await api.perform(call)
    return replace(export, work_request_id=work_request_id, submitted_at=submitted_at)


async def _finished(api: Api, file: WantedFile, export: Export, plan: WaitPlan, report: Callable[[str], None]) -> str:
    """The id of an export whose work request succeeded."""
    if export.work_request_id is None:
        export = await _ordered(api, file, export)
    work_request_id = str(export.work_request_id)
    # Of many exports people look for the workbook first.
    noun = f"the export of {file.label}, work request"
    watch = WorkRequestTarget(work_request_id, plan, started_at=export.submitted_at, report=report, noun=noun)
    await poll_until_done(watch)(api)
    return work_request_id
