"""Joining PDF files, by pypdf, which the extra ``pdf`` brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airflow_provider_oac.client.transfer import local_disk
from airflow_provider_oac.exceptions import OACConfigurationError, OACContentError


def check_can_join() -> None:
    """Refuse what :func:`join` could not do, before anything is ordered for it.

    :raises OACConfigurationError: if pypdf is not installed.
    """
    try:
        import pypdf  # noqa: F401
    except ImportError:
        raise OACConfigurationError(
            "More than five canvases in one PDF are joined of several exports, for which pypdf is needed: install "
            "airflow-provider-oac[pdf] where the task runs, or export at most five canvases per file."
        ) from None


def join(parts: Sequence[Path], target: Path) -> int:
    """Write the pages of all parts into one file, in order. What it holds in memory grows with the size of the parts.

    :returns: the number of pages.
    :raises OACConfigurationError: if pypdf is not installed.
    :raises OACContentError: if a part is no PDF that can be read.
    """
    check_can_join()
    import pypdf
    import pypdf.errors

    pages = 0
    with pypdf.PdfWriter() as writer:
        for number, part in enumerate(parts, 1):
            try:
                before = len(writer.pages)
                writer.append(str(part), import_outline=True)
                pages = len(writer.pages)
            except pypdf.errors.PyPdfError as problem:
                raise OACContentError(
                    f"Part {number} of {len(parts)} of the PDF cannot be read: {problem}"
                ) from problem
            if pages == before:
                raise OACContentError(f"Part {number} of {len(parts)} of the PDF has no page.")
        with local_disk(target):
            writer.write(str(target))
    return pages
