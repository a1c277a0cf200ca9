"""Joining PDF files."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest

from airflow_provider_oac.client.flows.export import join
from airflow_provider_oac.exceptions import OACContentError, OACStorageError


def part(path: Path, *widths: int) -> Path:
    with pypdf.PdfWriter() as writer:
        for width in widths:
            writer.add_blank_page(width, 100)
        writer.write(str(path))
    return path


def test_the_pages_of_all_parts_come_in_order(tmp_path: Path) -> None:
    parts = [part(tmp_path / f"{number}.pdf", *range(number, number + 5)) for number in (100, 200, 300)]
    assert join(parts, tmp_path / "whole.pdf") == 15
    pages = pypdf.PdfReader(tmp_path / "whole.pdf").pages
    assert [int(page.mediabox.width) for page in pages] == [*range(100, 105), *range(200, 205), *range(300, 305)]


PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"


def of_objects(*objects: bytes) -> bytes:
    """A file with a catalog as its first object, and others."""
    content, places = b"%PDF-1.7\n", []
    for number, body in enumerate((b"<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>", *objects), 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(places) + 1
    return content + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, len(content))
    )


ONE_PAGE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
GROWING = (b"<< /Type /Pages /Kids [" + b"%d 0 R " % number * 10 + b"] /Count 9 >>" for number in range(3, 12))
LOOP = b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Prev 9 >>\nstartxref\n9\n%%EOF\n"
BAD = {
    "pages that are themselves": of_objects(b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
    "a reference to itself": of_objects(b"2 0 R"),
    "a page that is a number": of_objects(ONE_PAGE, b"5"),
    "no pages": of_objects(),
    "deep": of_objects(ONE_PAGE, b"<< /Type /Page /MediaBox " + b"[" * 5000 + b" >>"),
    "wide": of_objects(b"<< /Type /Pages /Kids [" + b"3 0 R " * 200_000 + b"] /Count 1 >>", PAGE),
    "one that grows": of_objects(*GROWING, PAGE),
    "an xref that leads to itself": LOOP,
    "an xref before the file": b"%PDF-1.7\ntrailer\n<< /Size 1 >>\nstartxref\n-9\n%%EOF\n",
    "nothing": b"",
    "no objects": b"%PDF-1.7\nnothing\n%%EOF\n",
    "a web page": b"<html>",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_part_that_means_harm_or_is_no_pdf_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pdf").write_bytes(content)
    with pytest.raises(OACContentError, match="Part 2 of 2"):
        join([part(tmp_path / "good.pdf", 100), tmp_path / "bad.pdf"], tmp_path / "whole.pdf")
    assert not (tmp_path / "whole.pdf").exists()


def test_an_outline_that_leads_to_itself_is_joined(tmp_path: Path) -> None:
    loop = b"<< /Title (x) /Next 5 0 R /First 5 0 R >>"
    (tmp_path / "loop.pdf").write_bytes(of_objects(ONE_PAGE, PAGE, b"<< /First 5 0 R /Last 5 0 R >>", loop))
    assert join([tmp_path / "loop.pdf"], tmp_path / "whole.pdf") == 1


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    good = part(tmp_path / "good.pdf", 100)
    with pytest.raises(OACStorageError, match="no-such-folder"):
        join([good, good], tmp_path / "no-such-folder" / "whole.pdf")
