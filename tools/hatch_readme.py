"""Make the links of README.md absolute in the package's metadata, for package indexes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def absolute(text: str, repository: str) -> str:
    """Point links to files in the repository, and images to their raw content."""
    text = re.sub(r"(!\[[^]]*\])\((?!https?:|#)", rf"\1({repository}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^]]*\])\((?!https?:|#)", rf"\1({repository}/blob/main/", text)


class ReadmeHook(MetadataHookInterface):
    """Set the metadata field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the field; hatchling calls this."""
        text = Path(self.root, "README.md").read_text()
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, metadata["urls"]["Repository"]),
        }
