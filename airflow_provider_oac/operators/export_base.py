"""What the operators that export workbooks share."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import Location, Number, Template, path_text, seconds
from airflow_provider_oac.assets import catalog_uri
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACKilledError
from airflow_provider_oac.links import WORK_LINKS, OACWorkbookLink, workbook_url
from airflow_provider_oac.operators.base import Started, sink_of
from airflow_provider_oac.operators.lineage import LineageOperator, Made
from airflow_provider_oac.operators.task_state import TaskState

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.export import ExportFacts, MadeFile, WantedFile
    from airflow_provider_oac.hooks.object_storage import Destination
    from airflow_provider_oac.records import Record


class ExportRequest(NamedTuple):
    """A workbook in a format.

    :param file: where it goes and how it looks; its canvases are not known yet.
    :param canvases: names or ids; ``None`` for all of the visualize tab.
    """

    file: WantedFile
    canvases: Sequence[str] | None


def asset_uri(url: str) -> str:
    """The URI of a file's asset: without the Connection of the store, which precedes the host."""
    # By hand: in the name of a file, `#`, `?` and `%` are signs like others.
    scheme, found, rest = url.partition("://")
    if not found:
        return quote(url, safe="/")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{quote(path, safe='/')}"


class ExportingOperator(LineageOperator):
    """Makes files of workbooks, in rounds.

    A round orders up to ``max_parallel`` exports and waits for the last of them, here or in the triggerer. Then all of
    them are settled, and the next round begins. A process that waits itself takes all that is left into one round. A
    repeated export does no harm. A retry finds again what saves time: exports that are still running, and complete
    files.

    :param destination: where the files go; what its end means is the operator's to say.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param screen_width: width of the screen that is drawn, in pixels; at most 3600 (documented).
    :param screen_height: its height; at most 3600 (documented).
    :param max_parallel: how many exports run side by side.
    """

    destination: Template[Location]
    destination_conn_id: Template[str | None] = None
    screen_width: Number = 1440
    screen_height: Number = 900
    max_parallel: Number = 3

    operator_extra_links = (*WORK_LINKS, OACWorkbookLink())

    def check_together(self) -> None:
        """Require the wait: the task downloads the files at the end."""
        if not self.wait_for_completion:
            raise OACConfigurationError(
                "wait_for_completion=False is not supported for exports: the file would not be downloaded. Use "
                "deferrable=True to wait without a worker."
            )

    # Of several workbooks, one that fails does not stop the others, and a retry makes what is missing.
    several = False
    _manifest: ExportManifest | None = None

    @abstractmethod
    def requests(self) -> list[ExportRequest]:
        """What is to be exported.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    def request(
        self, label: str, url: str, workbook_id: str, name: str, file_format: str, canvases: Sequence[str] | None
    ) -> ExportRequest:
        """A workbook in a format, checked as far as it can be without OAC.

        :raises OACConfigurationError: naming what OAC would refuse.
        """
        lazy.workbooks.check_format(file_format)
        lazy.workbooks.check_screen(self.screen_width, self.screen_height)
        # In a dictionary for one workbook.
        if canvases is not None and (isinstance(canvases, str | Mapping) or not isinstance(canvases, Collection)):
            raise OACConfigurationError(f"{label}: canvases is a list of names or ids, not {canvases!r}.")
        # A store that cannot be reached is found before anything is ordered for it.
        self.store(url)
        file = lazy.export.WantedFile(
            f"{label} as {file_format}", url, workbook_id, name, file_format, self.screen_width, self.screen_height
        )
        return ExportRequest(file, canvases)

    @property
    def facts_type(self) -> type[Record]:
        """What is made, and what is left."""
        return lazy.export.ExportFacts

    def start(self, state: TaskState, context: Context) -> Started:
        """Find out what to make, leave out what is there, and order the first exports."""
        requests, facts = self.requests(), lazy.export.ExportFacts()
        self._push_workbook_link(requests, context)
        files = self._planned(requests, facts)
        facts.order = tuple(file.url for file in files)
        facts.left = tuple(self._missing(files, facts, state))
        return self._next_round(facts)

    def _push_workbook_link(self, requests: list[ExportRequest], context: Context) -> None:
        """Where the workbook is, if it is just one."""
        paths = {lazy.ids.plain_id(request.file.workbook_id) or "" for request in requests}
        if len(paths) == 1 and (path := paths.pop()).startswith("/"):
            address = workbook_url(self.hook.settings.address, path)
            context["ti"].xcom_push(key=OACWorkbookLink.xcom_key, value=address)

    def _missing(self, files: Sequence[WantedFile], facts: ExportFacts, state: TaskState) -> list[WantedFile]:
        """The files that are not in their places yet; the others are done."""
        missing, manifest = [], self._manifest_of(state)
        for file in files:
            entry = manifest.whole(file) if manifest else None
            if entry is None:
                missing.append(file)
            else:
                self.log.info("%s is complete at %s, written by an earlier try.", file.label, file.url)
                facts.done += (entry,)
        return missing

    def _planned(self, requests: list[ExportRequest], facts: ExportFacts) -> list[WantedFile]:
        """The files with their canvases."""
        ids = list(dict.fromkeys(request.file.workbook_id for request in requests))

        listed = lazy.export.side_by_side(map(lazy.workbooks.canvases, ids), self.max_parallel)
        canvases = dict(zip(ids, self.hook.run(listed), strict=True))
        files: list[WantedFile] = []
        for request in requests:
            found = canvases[request.file.workbook_id]
            try:
                if isinstance(found, OACError):
                    raise found
                made = lazy.export.planned(request.file, lazy.workbooks.chosen(found, request.canvases))
                if any(len(file.exports) > 1 for file in made):
                    lazy.export.check_can_join()
                files += made
            except OACError as error:
                self._failed(request.file.label, error, facts)
        return files

    def _next_round(self, facts: ExportFacts) -> Started:
        """Order the next exports of what is left; none if nothing is."""
        left, current, budget, last = list(facts.left), [], self.max_parallel, None
        while left and budget > 0:
            file = left.pop(0)
            try:
                file = self.hook.run(lazy.export.order_exports(file, budget))
            except OACKilledError:
                raise
            except OACError as error:
                self._failed(file.label, error, facts)
                continue
            ids = [export.work_request_id for export in file.exports if export.work_request_id]
            self.log.info("OAC accepted the export of %s as %s.", file.label, ", ".join(ids))
            last, budget = ids[-1], budget - len(ids)
            current.append(file)
        return Started(last, time.time(), replace(facts, left=tuple(left), round=tuple(current)))

    def _finish(self, started: Started, context: Context) -> Any:
        """Make the files of a round, whatever became of the export that was waited for, and begin the next one."""
        state, facts = self._state(context), replace(started.facts)
        now = facts.round
        if not self.deferrable:
            now, facts.left = now + facts.left, ()
        try:
            self._settle(self._missing(now, facts, state), facts, state)
            following = self._next_round(facts)
            if following.work_request_id is None:
                return self.complete(following, None, context)
        except OACKilledError:
            # The next try finds the exports again.
            raise
        except OACError:
            # An export that OAC has forgotten, or whose file is spoiled, must not be found again by each further try.
            state.remember(work_request_id=None)
            raise
        return self._pursue(following, state, context)

    def _settle(self, files: list[WantedFile], facts: ExportFacts, state: TaskState) -> None:
        """Make files side by side."""
        plan = lazy.polling.WaitPlan(deadline=self._until, longest_pause=seconds(self.poll_interval))
        parts = max(1, self.max_parallel // max(1, len(files)))
        # Not kept on the operator: Airflow copies operators, and a lock cannot be copied.
        recording = threading.Lock()

        def record(file: WantedFile, made: MadeFile) -> None:
            with recording:
                self._made(file, made, facts, state)

        # Before any thread starts: a store asks Airflow for its Connection.
        sinks = [sink_of(file.url, self.destination_conn_id, state.key) for file in files]
        works = [
            lazy.export.make(file, sink, plan, limit=parts, on_made=partial(record, file))
            for file, sink in zip(files, sinks, strict=True)
        ]
        ids = ", ".join(str(one.work_request_id) for file in files for one in file.exports if one.work_request_id)
        with self._stopping(
            f"Its exports continue in OAC as work requests {ids}, which cannot be canceled. A retry reattaches to them "
            "or starts them again."
        ):
            results = self.hook.run(lazy.export.side_by_side(works, self.max_parallel))
        for file, result in zip(files, results, strict=True):
            if isinstance(result, OACError):
                self._failed(file.label, result, facts)

    def _made(self, file: WantedFile, made: MadeFile, facts: ExportFacts, state: TaskState) -> None:
        entry = {
            "path": file.url,
            "size": made.size,
            "sha256": made.sha256,
            "format": file.file_format,
            "workbook_id": file.workbook_id,
            "canvases": list(file.canvases),
            "work_request_ids": list(made.work_request_ids),
        }
        self.log.info("%s is at %s: %d bytes, SHA-256 %s.", file.label, file.url, made.size, made.sha256)
        facts.done += (entry,)
        if manifest := self._manifest_of(state):
            manifest.add(file, entry)

    def _manifest_of(self, state: TaskState) -> ExportManifest | None:
        if self.several and self._manifest is None:
            self._manifest = ExportManifest(state, path_text(self.destination), self.store, self.durable)
        return self._manifest

    def _failed(self, label: str, error: OACError, facts: ExportFacts) -> None:
        """A file could not be made: raise the error, which names workbook and canvas first; of several, note it."""
        error.of(label)
        if not self.several:
            raise error
        self.log.error("An export failed. %s", error)
        facts.failed += ((label, str(error)),)

    def made(self, facts: ExportFacts) -> list[dict[str, Any]]:
        """The files that were made, in the order in which they are wanted."""
        return sorted(facts.done, key=lambda entry: facts.order.index(entry["path"]))

    def report_files(self, files: list[dict[str, Any]], context: Context) -> None:
        """Say in asset events, and to OpenLineage, what was made of what."""
        address, made = self.hook.settings.address, []
        for file in files:
            workbook = catalog_uri(address, lazy.ids.plain_id(file["workbook_id"]) or file["workbook_id"])
            path = asset_uri(file["path"])
            extra = {name: file[name] for name in ("size", "sha256", "format", "work_request_ids")}
            made.append(Made(path, (workbook, path), {**extra, "workbook": workbook}))
        self.report_made(context, made)

    def store(self, url: str) -> Destination:
        """A file in the store."""
        return lazy.object_storage.Destination(url, self.destination_conn_id)

    def _found_again(self, state: TaskState) -> Started | None:
        # A Clear orders everything anew, also what still runs: arguments may be others, and nothing is lost.
        return super()._found_again(state) if state.repeated else None


class ExportManifest:
    """Remembers the files that a task made, for its own retries.

    In Airflow's task state store where there is one (3.3 and later), else in a manifest in the folder of the files. Its
    name holds the mark of the order, which a Clear changes: what was made for a former order does not count.

    :param state: of the task.
    :param folder: URL of the folder.
    :param store: makes a file in the store of a URL.
    :param used: ``False`` remembers nothing.
    """

    def __init__(self, state: TaskState, folder: str, store: Callable[[str], Destination], used: bool) -> None:
        self._state = state
        self._store = store
        self._manifest: Destination | None = None
        if used and not state.available:
            me = state.key
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
            self._state.remember(exported=self._entries)

    def finish(self) -> None:
        """Everything is made: nothing needs to be remembered."""
        if self._manifest is not None:
            self._manifest.remove()
        else:
            self._state.remember(exported={})

    def _remembered(self) -> dict[str, Any]:
        if self._manifest is None:
            entries = self._state.of_this_order().exported
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
