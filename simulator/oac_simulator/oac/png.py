"""Writer for PNG files (PNG specification, W3C) with lines of text and bars, canvases stacked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from oac_simulator.oac import font
from oac_simulator.oac.filler import png_chunk
from oac_simulator.oac.page import Page

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE = bytes.fromhex("ffffff2020202a6ebbd9d9d9")
_PAPER, _INK, _BAR, _LINE = range(4)
_MARGIN = 24


def draw(pages: list[Page], title: str, author: str) -> tuple[bytes, bytes]:
    """Draw an image with all pages.

    :param pages: the pages, all of the same width.
    :param title: for the file's text.
    :param author: for the file's text.
    :returns: the bytes before and after the position at which the file can be padded.
    """
    width, height = pages[0].width, sum(page.height for page in pages)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 3, 0, 0, 0])
    texts = {"Title": title, "Author": author, "Description": ", ".join(page.canvas for page in pages)}
    head = _SIGNATURE + png_chunk(b"IHDR", header)
    for key, value in texts.items():
        # iTXt holds UTF-8: keyword, no compression, no language.
        head += png_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + value.encode())
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(b"\0" + row) for page in pages for row in _rows(page))
    pixels += packer.flush()
    tail = png_chunk(b"PLTE", _PALETTE) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return head, tail


def _rows(page: Page) -> Iterator[bytes]:
    """Draw the rows of one canvas, one byte per dot."""
    blank = bytes([_PAPER]) * page.width
    rows = [blank] * page.height
    scale = max(1, min(4, page.width // 400))
    place = _MARGIN
    for number, line in enumerate(page.lines):
        size = scale + 1 if number == 0 else scale
        _write(rows, line, place, size)
        place += (font.HEIGHT + 5) * size
    _bars(rows, page, place + _MARGIN)
    if rows:
        rows[-1] = bytes([_LINE]) * page.width
    yield from rows


def _write(rows: list[bytes], text: str, top: int, scale: int) -> None:
    for number, dots in enumerate(font.dots(text)):
        wide = b"".join(bytes([_INK if dot else _PAPER]) * scale for dot in dots)
        for step in range(scale):
            place = top + number * scale + step
            if place < len(rows):
                rows[place] = _over(rows[place], _MARGIN, wide)


def _bars(rows: list[bytes], page: Page, top: int) -> None:
    """Draw a bar chart in the rest of the canvas."""
    bottom, room = len(rows) - _MARGIN, page.width - 2 * _MARGIN
    if bottom - top < 20 or room < 80:
        return
    step = room // len(page.values)
    for place in range(top, bottom):
        level = (bottom - place) / (bottom - top)
        row = b"".join(
            (bytes([_BAR]) if value >= level else bytes([_PAPER])) * (step - step // 4) + bytes([_PAPER]) * (step // 4)
            for value in page.values
        )
        rows[place] = _over(rows[place], _MARGIN, row)


def _over(row: bytes, left: int, dots: bytes) -> bytes:
    """Draw dots over a row, clipped at its end."""
    return (row[:left] + dots + row[left + len(dots) :])[: len(row)]
