"""A hook of mkdocs: links to the example DAGs, which a code host shows as files, lead to their section in the site."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Called by mkdocs for each page."""
    return re.sub(r"\]\(\.\./dags/(\w+)\.py\)", r"](examples.md#\1)", markdown)
