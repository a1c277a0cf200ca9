"""Base class of the operators that export workbooks."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import Location, Number, Template, path_text, seconds
from airflow_provider_oac.assets import catalog_uri
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACKilledError
from airflow_provider_oac.links import WORK_LINKS, OACWorkbookLink, workbook_url
from airflow_provider_oac.operators.base import OACWorkOperator, sink_of
from airflow_provider_oac.operators.lineage import Made, ReportsMade
from airflow_provider_oac.operators.task_state import Started, TaskState


class ExportRequest(NamedTuple):
    """One workbook to export in one format.

    :param file: the file to make, still without its canvases.
    :param canvases: names or ids of canvases; ``None`` for all of the visualize tab.
    """

    file: lazy.export.WantedFile
    canvases: Sequence[str] | None


def asset_uri(url: str) -> str:
    """The URI of a file's asset: its URL without the Connection of the store, which precedes the host."""
    # Not urllib, since `#`, `?` and `%` are ordinary characters in a file name.
    scheme, found, rest = url.partition("://")
    if not found:
        return quote(url, safe="/")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{quote(path, safe='/')}"


class ExportingOperator(OACWorkOperator, ReportsMade):
    """Exports workbooks to files, in rounds.

    A round starts up to ``max_parallel`` exports and waits for the last of them, in the worker or the triggerer. Then
    it downloads all of them, and the next round begins. A task that waits in the worker takes all remaining files into
    one round. Repeating an export is safe. A retry reuses exports that are still running and files that are complete.

    :param destination: URL of the file or folder, as the operator defines it.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param screen_width: width of the rendered screen in pixels; at most 3600 (documented).
    :param screen_height: its height in pixels; at most 3600 (documented).
    :param max_parallel: how many exports run in parallel.
    """

    destination: Template[Location]
    destination_conn_id: Template[str | None] = None
    screen_width: Number = 1440
    screen_height: Number = 900
    max_parallel: Number = 3

    operator_extra_links = (*WORK_LINKS, OACWorkbookLink())

    facts_class = ("export", "ExportFacts")
    must_wait = "the task downloads the files at the end"

    # Whether the operator exports several workbooks: then one failure does not stop the others, and a retry makes only
    # the missing files.
    several = False
    _manifest: ExportManifest | None = None

    @abstractmethod
    def requests(self) -> list[ExportRequest]:
        """The exports that the arguments ask for.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    def request(
        self, label: str, url: str, workbook_id: str, name: str, file_format: str, canvases: Sequence[str] | None
    ) -> ExportRequest:
        """Make the request for one workbook in one format, checked as far as possible without OAC.

        :raises OACConfigurationError: if OAC would refuse an argument.
        """
        lazy.workbooks.check_format(file_format)
        lazy.workbooks.check_screen(self.screen_width, self.screen_height)
        # The declared types do not check canvases in the dictionary of one workbook.
        if canvases is not None and (isinstance(canvases, str | Mapping) or not isinstance(canvases, Collection)):
            raise OACConfigurationError(f"{label}: canvases is a list of names or ids, not {canvases!r}.")
        # Fail before starting an export if the store cannot be reached.
        self.store(url)
        file = lazy.export.WantedFile(
            f"{label} as {file_format}", url, workbook_id, name, file_format, self.screen_width, self.screen_height
        )
        return ExportRequest(file, canvases)

    def start(self, state: TaskState, context: Context) -> Started:
        """Plan the files, leave out complete ones, and start the first exports."""
        requests, facts = self.requests(), lazy.export.ExportFacts()
        self._push_workbook_link(requests, context)
        files = self._planned(requests, facts)
        facts.order = tuple(file.url for file in files)
        facts.left = tuple(self._missing(files, facts, state))
        return self._next_round(facts)

    def _push_workbook_link(self, requests: list[ExportRequest], context: Context) -> None:
        """Push the link to the workbook, if there is only one."""
        paths = {lazy.ids.plain_id(request.file.workbook_id) or "" for request in requests}
        if len(paths) == 1 and (path := paths.pop()).startswith("/"):
            address = workbook_url(self.hook.settings.address, path)
            context["ti"].xcom_push(key=OACWorkbookLink.xcom_key, value=address)

    def _missing(
        self, files: Sequence[lazy.export.WantedFile], facts: lazy.export.ExportFacts, state: TaskState
    ) -> list[lazy.export.WantedFile]:
        """The files that are missing in the store; the others are recorded as done."""
        missing, manifest = [], self._manifest_of(state)
        for file in files:
            entry = manifest.whole(file) if manifest else None
            if entry is None:
                missing.append(file)
            else:
                self.log.info("%s is already complete at %s.", file.label, file.url)
                facts.done += (entry,)
        return missing

    def _planned(self, requests: list[ExportRequest], facts: lazy.export.ExportFacts) -> list[lazy.export.WantedFile]:
        """Read the canvases of each workbook, and plan the files from them."""
        ids = list(dict.fromkeys(request.file.workbook_id for request in requests))
        listed = lazy.export.side_by_side(map(lazy.workbooks.canvases, ids), self.max_parallel)
        canvases = dict(zip(ids, self.hook.run(listed), strict=True))
        files: list[lazy.export.WantedFile] = []
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

    def _next_round(self, facts: lazy.export.ExportFacts) -> Started:
        """Start the next exports of the remaining files; none if no file remains."""
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
        """Make the files of a round, even if the export that it waited for failed, and start the next round."""
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
            # The next try reattaches to the exports.
            raise
        except OACError:
            # Each further try would otherwise reattach to an export that OAC has forgotten or whose file is broken.
            state.remember(work_request_id=None)
            raise
        return following

    def _settle(self, files: list[lazy.export.WantedFile], facts: lazy.export.ExportFacts, state: TaskState) -> None:
        """Wait for the exports of files and download them, in parallel."""
        plan = lazy.polling.WaitPlan(deadline=self._until, longest_pause=seconds(self.poll_interval))
        parts = max(1, self.max_parallel // max(1, len(files)))
        # Not an attribute of the operator: Airflow copies operators, and a lock cannot be copied.
        recording = threading.Lock()

        def record(file: lazy.export.WantedFile, made: lazy.export.MadeFile) -> None:
            with recording:
                self._made(file, made, facts, state)

        # Before any thread starts, since a store asks Airflow for its Connection.
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

    def _made(
        self, file: lazy.export.WantedFile, made: lazy.export.MadeFile, facts: lazy.export.ExportFacts, state: TaskState
    ) -> None:
        entry = {
            "path": file.url, "size": made.size, "sha256": made.sha256, "format": file.file_format,
            "workbook_id": file.workbook_id, "canvases": list(file.canvases),
            "work_request_ids": list(made.work_request_ids),
        }  # fmt: skip
        self.log.info("%s is at %s: %d bytes, SHA-256 %s.", file.label, file.url, made.size, made.sha256)
        facts.done += (entry,)
        if manifest := self._manifest_of(state):
            manifest.add(file, entry)

    def _manifest_of(self, state: TaskState) -> ExportManifest | None:
        if self.several and self._manifest is None:
            self._manifest = ExportManifest(state, path_text(self.destination), self.store, self.durable)
        return self._manifest

    def _failed(self, label: str, error: OACError, facts: lazy.export.ExportFacts) -> None:
        """Raise the error of a file, with workbook and canvas in front; with several workbooks, record it instead."""
        error.of(label)
        if not self.several:
            raise error
        self.log.error("An export failed. %s", error)
        facts.failed += ((label, str(error)),)

    def made(self, facts: lazy.export.ExportFacts) -> list[dict[str, Any]]:
        """The files that were made, in the order of the arguments."""
        return sorted(facts.done, key=lambda entry: facts.order.index(entry["path"]))

    def report_files(self, files: list[dict[str, Any]], context: Context) -> None:
        """Report files and their workbooks in asset events and to OpenLineage."""
        address, made = self.hook.settings.address, []
        for file in files:
            workbook = catalog_uri(address, lazy.ids.plain_id(file["workbook_id"]) or file["workbook_id"])
            path = asset_uri(file["path"])
            extra = {name: file[name] for name in ("size", "sha256", "format", "work_request_ids")}
            made.append(Made(path, (workbook, path), {**extra, "workbook": workbook}))
        self.report_made(context, made)

    def store(self, url: str) -> lazy.object_storage.Destination:
        """A file in the store."""
        return lazy.object_storage.Destination(url, self.destination_conn_id)

    def _found_again(self, state: TaskState) -> Started | None:
        # A Clear starts everything anew, even exports that still run: arguments may have changed, and nothing is lost.
        return super()._found_again(state) if state.repeated else None


class ExportManifest:
    """Records the files that a task made, for its retries.

    It uses Airflow's task state store (3.3 and later), or else a manifest in the folder of the files. The name of the
    manifest contains the mark of the order, which a Clear changes: files of an earlier order do not count.

    :param state: state of the task.
    :param folder: URL of the folder.
    :param store: makes a file in the store from a URL.
    :param used: ``False`` records nothing.
    """

    def __init__(
        self, state: TaskState, folder: str, store: Callable[[str], lazy.object_storage.Destination], used: bool
    ) -> None:
        self._state = state
        self._store = store
        self._manifest: lazy.object_storage.Destination | None = None
        if used and not state.available:
            me = state.key
            mark = lazy.snapshot_names.task_mark(me.dag_id, me.run_id, me.task_id, me.map_index, me.max_tries)
            self._manifest = store(f"{folder.rstrip('/')}/.oac-export-{mark}.json")
        self._entries = dict(self._stored())

    def whole(self, file: lazy.export.WantedFile) -> dict[str, Any] | None:
        """The entry of a file that was made with the same arguments and is still there with the same size."""
        entry = self._entries.get(file.url)
        if entry is None or entry["made_as"] != _made_as(file) or self._store(file.url).size() != entry["size"]:
            return None
        return {name: value for name, value in entry.items() if name != "made_as"}

    def add(self, file: lazy.export.WantedFile, entry: dict[str, Any]) -> None:
        """Record a file that is complete in the store."""
        self._entries[file.url] = {**entry, "made_as": _made_as(file)}
        if self._manifest is not None:
            self._manifest.write(json.dumps(self._entries, indent=1).encode())
        else:
            self._state.remember(exported=self._entries)

    def finish(self) -> None:
        """Remove the record: all files are made."""
        if self._manifest is not None:
            self._manifest.remove()
        else:
            self._state.remember(exported={})

    def _stored(self) -> dict[str, Any]:
        if self._manifest is None:
            return self._state.of_this_order().exported
        return {} if self._manifest.size() is None else json.loads(self._manifest.read())


def _made_as(file: lazy.export.WantedFile) -> str:
    """A digest of all that determines the content of a file. Arguments may change from one try to the next."""
    canvases = [canvas for export in file.exports for canvas in export.canvas_ids]
    what = [file.workbook_id, file.file_format, file.width, file.height, canvases]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:20]
