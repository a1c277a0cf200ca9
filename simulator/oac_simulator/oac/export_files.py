"""The files of finished exports: created once, kept in the state folder, padded while they are sent."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from pathlib import Path

from oac_simulator.oac import pdf, png
from oac_simulator.oac.filler import BLOCK, LongFile
from oac_simulator.oac.page import Page
from oac_simulator.store import Record
from oac_simulator.world import World

#: Smallest PNG chunk that holds a block number.
_SHORTEST_CHUNK = 28


async def make(world: World, record: Record, workbook: str) -> None:
    """Draw the file of an export and store it.

    Several canvases are several pages of a PDF. The contract allows only one image for PNG, so it stacks them
    (inferred).

    :param world: the simulated world.
    :param record: the work request; its job describes the export.
    :param workbook: name of the workbook.
    """
    job = record["job"]
    when = world.clock.iso(time.time())[:19]
    pages = [
        Page(workbook, canvas, record["user"], record["instance"], when, job["width"], job["height"])
        for canvas in job["canvases"]
    ]
    draw = _pdf if job["format"] == "pdf" else _png
    head, middle, tail = await asyncio.to_thread(draw, pages, workbook, world.settings.export_size)
    path = _path(world, record["id"])
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(head + tail)
    world.exports.put(
        record["id"],
        {
            "instance": record["instance"], "user": record["user"], "plain": job["plain"], "name": job["name"],
            "format": job["format"], "head": len(head), "middle": middle, "made": time.time(),
        },
    )  # fmt: skip


def _pdf(pages: list[Page], title: str, wanted: int) -> tuple[bytes, int, bytes]:
    created = "".join(letter for letter in pages[0].when if letter.isdigit()) + "Z"
    return pdf.draw(pages, title, pages[0].user, created, wanted)


def _png(pages: list[Page], title: str, wanted: int) -> tuple[bytes, int, bytes]:
    head, tail = png.draw(pages, title, pages[0].user)
    middle = max(0, wanted - len(head) - len(tail))
    if 0 < middle % BLOCK < _SHORTEST_CHUNK:
        middle += _SHORTEST_CHUNK
    return head, middle, tail


def open_file(world: World, export_id: str) -> LongFile | None:
    """Open the file of an export; None if it no longer exists."""
    export, path = world.exports.get(export_id), _path(world, export_id)
    if export is None or not path.is_file():
        return None
    data, split = path.read_bytes(), export["head"]
    return LongFile(data[:split], export["middle"], data[split:], export_id, chunked=export["format"] == "png")


def forget_all(world: World) -> None:
    """Remove the files of all exports."""
    for path in (world.store.directory / "exports").glob("*.bin"):
        path.unlink()


def _path(world: World, export_id: str) -> Path:
    return world.store.directory / "exports" / f"{sha256(export_id.encode()).hexdigest()[:32]}.bin"
