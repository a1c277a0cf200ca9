"""Writer for PDF files (PDF 1.4, ISO 32000) with lines of text and bars, one canvas per page."""

from __future__ import annotations

from oac_simulator.oac.page import Page

_POINTS_PER_PIXEL = 0.75
_MARGIN = 36


def _text(value: str) -> bytes:
    """Encode a text as a PDF string in the encoding of the page's font; missing characters become question marks."""
    raw = value.encode("cp1252", "replace")
    return b"(" + raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)") + b")"


def _info_text(value: str) -> bytes:
    """Encode a text for the document information, in Unicode."""
    return b"<FEFF" + value.encode("utf-16-be").hex().upper().encode() + b">"


def _page(page: Page) -> bytes:
    """Draw one page, uncompressed, so a test can search its text."""
    height = page.height * _POINTS_PER_PIXEL
    drawn, place = [], height - _MARGIN
    for number, line in enumerate(page.lines):
        size = 18 if number == 0 else 11
        place -= size * 1.4
        drawn.append(b"BT /F1 %d Tf %d %.1f Td %s Tj ET" % (size, _MARGIN, place, _text(line)))
    room, step = place - 2 * _MARGIN, (page.width * _POINTS_PER_PIXEL - 2 * _MARGIN) / len(page.values)
    if room > 20 and step > 2:
        drawn.append(b"0.16 0.43 0.73 rg")
        for number, value in enumerate(page.values):
            left = _MARGIN + number * step
            drawn.append(b"%.1f %d %.1f %.1f re f" % (left, _MARGIN, step * 0.75, room * value))
    return b"\n".join(drawn) + b"\n"


def _stream(data: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(data), data)


def draw(pages: list[Page], title: str, author: str, created: str, wanted: int) -> tuple[bytes, int, bytes]:
    """Draw a document with all pages.

    :param pages: the pages.
    :param title: for the document's information.
    :param author: for the document's information.
    :param created: the time as `20260105080000Z`.
    :param wanted: minimum length of the file in bytes.
    :returns: the head, the number of arbitrary bytes after it, and the tail.
    """
    kids = b" ".join(b"%d 0 R" % (5 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title %s /Author %s /Producer (OAC simulator) /CreationDate (D:%s) >>"
        % (_info_text(title), _info_text(author), created.encode()),
    ]
    for number, page in enumerate(pages):
        box = b"[0 0 %g %g]" % (page.width * _POINTS_PER_PIXEL, page.height * _POINTS_PER_PIXEL)
        font = b"<< /Font << /F1 3 0 R >> >>"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Resources %s /Contents %d 0 R >>"
            % (box, font, 6 + 2 * number)
        )  # fmt: skip
        objects.append(_stream(_page(page)))
    head, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(head))
        head += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    extra = b"%d 0 obj\n<< /Length %d >>\nstream\n"
    middle = max(0, wanted - len(head) - 20 * (len(places) + 2) - 300)
    if middle:
        places.append(len(head))
        head += extra % (len(places), middle)
    tail = bytearray(b"\nendstream\nendobj\n" if middle else b"")
    start = len(head) + middle + len(tail)
    tail += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    tail += b"".join(b"%010d 00000 n \n" % place for place in places)
    tail += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\n" % (len(places) + 1)
    end = b"startxref\n%d\n%%%%EOF\n" % start
    short = wanted - len(head) - middle - len(tail) - len(end)
    # A comment fills the remaining bytes.
    tail += b"%" + b" " * (short - 2) + b"\n" if short >= 2 and middle else b""
    return bytes(head), middle, bytes(tail + end)
