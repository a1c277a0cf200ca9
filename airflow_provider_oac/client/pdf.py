"""Joining PDF files, by pypdf, which the extra ``pdf`` brings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from airflow_provider_oac.client.flows.download import local_disk
from airflow_provider_oac.exceptions import OACConfigurationError, OACContentError


def check_can_join() -> None:
    """Refuse what :func:`join` could not do, before anything is ordered for it.

    :raises OACConfigurationError: if pypdf is not installed.
    """
    if find_spec("pypdf") is None:
        raise OACConfigurationError(
            "More than five canvases in one PDF are joined of several exports, for which pypdf is needed: install "
            "airflow-provider-oac[pdf] where the task runs, or export at most five canvases per file."
        )


def join(parts: Sequence[Path], target: Path) -> int:
    """Write the pages of all parts into one file, in order. What it holds in memory grows with the size of the parts.

    :returns: the number of pages.
    :raises OACConfigurationError: if pypdf is not installed.
    :raises OACContentError: if a part is no PDF that can be read.
    """
    check_can_join()
    # An optional package.
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
                raise _unreadable("What the parts of the PDF are joined to", problem) from problem
    return pages


def _unreadable(what: str, problem: Exception) -> OACContentError:
    """What pypdf raises at a damaged file is of any class."""
    return OACContentError(f"{what} cannot be read ({type(problem).__name__}: {str(problem)[:200]!r}).")
