#!/usr/bin/env python3
"""Write llms.txt: the pages of docs/ with their titles and headings, for language models. A test compares the file.

python3 tools/llms_txt.py
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "llms.txt"


def menu() -> list[str]:
    """Return the pages in the order of the site's menu."""
    return re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])


def text() -> str:
    """Build the content of llms.txt."""
    readme = (ROOT / "README.md").read_text()
    summary = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(readme.split("\n\n")[1].split()))
    lines = ["# airflow-provider-oac", "", f"> {summary}", "", "## Docs", ""]
    for page in menu():
        content = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / page).read_text(), flags=re.DOTALL | re.MULTILINE)
        title, *headings = re.findall(r"^#{1,2} (.+)$", content, re.MULTILINE)
        lines.append(f"- [{title}](docs/{page})" + (f": {'; '.join(headings)}" if headings else ""))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
