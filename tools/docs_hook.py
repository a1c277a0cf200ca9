"""An mkdocs hook: additions that the site has and the files, as shown on a code host, do not have."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import docs_reference

# Names do not become links inside links, code blocks and headings.
_LEFT_ALONE = re.compile(r"(<a\b.*?</a>|<pre\b.*?</pre>|<h[1-6]\b.*?</h[1-6]>)", re.DOTALL)
_ROLE = re.compile(r":(?:class|meth|func|mod|data|attr|exc):<code>(~?)([\w.]+)</code>")
_PLACES = docs_reference.places()


def on_config(config: Any) -> None:
    """Add the version to the site's name; mkdocs calls this once."""
    text = (docs_reference.PACKAGE / "__init__.py").read_text()
    config.site_name += " " + re.findall(r'^__version__ = "(.+)"', text, re.MULTILINE)[0]


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Point links to example DAGs to their sections of the site; mkdocs calls this for each page."""
    return re.sub(r"\]\((?:\.\./)+dags/(\w+)\.py\)", r"](examples.md#\1)", markdown)


def on_page_content(html: str, **_context: Any) -> str:
    """Link class names, including those in Sphinx roles, to the reference; mkdocs calls this for each page."""
    html = _ROLE.sub(lambda role: f"<code>{role[2].rpartition('.')[2] if role[1] else role[2]}</code>", html)
    parts = _LEFT_ALONE.split(html)
    return "".join(part if number % 2 else _linked(part) for number, part in enumerate(parts))


def _linked(html: str) -> str:
    def link(name: re.Match[str]) -> str:
        if name[1] not in _PLACES:
            return name[0]
        return f'<autoref optional identifier="{_PLACES[name[1]]}">{name[0]}</autoref>'

    return re.sub(r"<code>(OAC\w+|ItemOperator|[A-Z]\w+ingOperator)</code>", link, html)
