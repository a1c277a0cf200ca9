"""Which files of an order are whole already, from try to try."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy
from airflow_provider_oac.operators.task_state import TaskState

if TYPE_CHECKING:
    from airflow_provider_oac.client.flows.export import WantedFile
    from airflow_provider_oac.hooks.object_storage import Destination


class Progress:
    """Remembers the files that a task made, for its own retries.

    In Airflow's task state store where there is one (3.3 and later), else in a manifest in the folder of the files. Its
    name holds the mark of the order, which a Clear changes: what was made for a former order does not count.

    :param memory: the task's memory.
    :param folder: URL of the folder.
    :param store: makes a file in the store of a URL.
    :param used: ``False`` remembers nothing.
    """

    def __init__(self, memory: TaskState, folder: str, store: Callable[[str], Destination], used: bool) -> None:
        self._memory = memory
        self._store = store
        self._manifest: Destination | None = None
        if used and not memory.available:
            me = memory.identity
            mark = lazy.snapshot_names.task_mark(me.dag_id, me.run_id, me.task_id, me.map_index, me.max_tries)
            self._manifest = store(f"{folder.rstrip('/')}/.oac-export-{mark}.json")
        self._entries = self._remembered()

    def whole(self, file: WantedFile) -> dict[str, Any] | None:
        """The entry of a file that was made as it is wanted now, and is still there with the same size."""
        entry = self._entries.get(file.url)
        if entry is None or entry["made_as"] != _made_as(file) or self._store(file.url).size() != entry["size"]:
            return None
        return {name: value for name, value in entry.items() if name != "made_as"}

    def add(self, file: WantedFile, entry: dict[str, Any]) -> None:
        """Remember a file that is in its place."""
        self._entries[file.url] = {**entry, "made_as": _made_as(file)}
        if self._manifest is not None:
            self._manifest.write(json.dumps(self._entries, indent=1).encode())
        else:
            self._memory.remember(exported=self._entries)

    def finish(self) -> None:
        """Everything is made: nothing needs to be remembered."""
        if self._manifest is not None:
            self._manifest.remove()
        else:
            self._memory.remember(exported={})

    def _remembered(self) -> dict[str, Any]:
        if self._manifest is None:
            entries = self._memory.of_this_order().exported
        elif self._manifest.size() is None:
            entries = {}
        else:
            entries = json.loads(self._manifest.read())
        return dict(entries)


def _made_as(file: WantedFile) -> str:
    """A digest of all that decides how a file looks: arguments may have changed from try to try."""
    canvases = [canvas for export in file.exports for canvas in export.canvas_ids]
    what = [file.workbook_id, file.file_format, file.width, file.height, canvases]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:20]
