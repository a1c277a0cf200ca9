"""Make the links of README.md absolute in the package's metadata: a package index shows it without the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def absolute(text: str, repository: str) -> str:
    """Lead links to files of the repository, and pictures to their content."""
    text = re.sub(r"(!\[[^]]*\])\((?!https?:|#)", rf"\1({repository}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^]]*\])\((?!https?:|#)", rf"\1({repository}/blob/main/", text)


class ReadmeHook(MetadataHookInterface):
    """Sets the field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling."""
        text = Path(self.root, "README.md").read_text()
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, metadata["urls"]["Repository"]),
        }
