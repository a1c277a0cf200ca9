"""Joining PDF files."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest

from airflow_provider_oac.client.pdf import join
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
    data = (tmp_path / "whole.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\nnothing\n%%EOF\n", b"<html>"])
def test_a_part_that_is_no_pdf_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pdf").write_bytes(content)
    with pytest.raises(OACContentError, match="Part 2 of 2"):
        join([part(tmp_path / "good.pdf", 100), tmp_path / "bad.pdf"], tmp_path / "whole.pdf")


def test_a_disk_that_does_not_take_it_is_named(tmp_path: Path) -> None:
    good = part(tmp_path / "good.pdf", 100)
    with pytest.raises(OACStorageError, match="no-such-folder"):
        join([good, good], tmp_path / "no-such-folder" / "whole.pdf")
