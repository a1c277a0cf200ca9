"""What the operators that export workbooks share."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack
from urllib.parse import quote

from airflow_provider_oac import lazy
from airflow_provider_oac.arguments import Location, Number, path_text, seconds
from airflow_provider_oac.assets import catalog_uri
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACKilledError
from airflow_provider_oac.links import OACInstanceLink, OACWorkbookLink, OACWorkRequestLink, workbook_url
from airflow_provider_oac.operators.base import OACWorkOperator, Started, WorkArguments
from airflow_provider_oac.operators.files import sink_of
from airflow_provider_oac.operators.lineage import Made, lineage, tell
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
    """The URI of a file's asset: without what stands before its host, which is the Connection of the store."""
    # By hand: in the name of a file, `#`, `?` and `%` are signs like others.
    scheme, found, rest = url.partition("://")
    if not found:
        return quote(url, safe="/")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{quote(path, safe='/')}"


class ExportingArguments(WorkArguments, total=False):
    """Arguments of all operators that export workbooks."""

    screen_width: int
    screen_height: int
    max_parallel: int


class ExportingOperator(OACWorkOperator):
    """Makes files of workbooks, in rounds.

    A round orders up to ``max_parallel`` exports and waits for the last of them, here or in the triggerer. Then all of
    them are settled, and the next round begins. A process that waits itself takes all that is left into one round. An
    export does no harm when it is repeated, so that all that a retry must find again is what saves time: exports
    that are still running, and files that are whole.

    :param destination: where the files go; what its end means is the operator's to say.
    :param destination_conn_id: the Airflow Connection of the store, if the URL names none.
    :param screen_width: width of the screen that is drawn, in pixels; at most 3600 (documented).
    :param screen_height: its height; at most 3600 (documented).
    :param max_parallel: how many exports run side by side.
    """

    operator_extra_links = (OACInstanceLink(), OACWorkRequestLink(), OACWorkbookLink())

    def __init__(
        self,
        *,
        destination: Location,
        destination_conn_id: str | None = None,
        screen_width: Number = 1440,
        screen_height: Number = 900,
        max_parallel: Number = 3,
        **kwargs: Unpack[WorkArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.destination = path_text(destination)
        self.destination_conn_id = destination_conn_id
        self.screen_width = screen_width
        self.screen_height = screen_height
        self.max_parallel = max_parallel

    def check_together(self) -> None:
        """Its result is the work's."""
        if not self.wait_for_completion:
            raise OACConfigurationError(
                f"Task {self.task_id!r}: wait_for_completion=False is not supported for exports: the file would not be "
                "downloaded. Use deferrable=True to wait without a worker."
            )

    @abstractmethod
    def wishes(self) -> list[ExportRequest]:
        """What is to be exported.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    @abstractmethod
    def failed(self, label: str, error: OACError, facts: ExportFacts) -> None:
        """A file could not be made: raise, or note it and let the others go on."""

    def made_before(self, memory: TaskState, file: WantedFile) -> dict[str, Any] | None:
        """The entry of a file that an earlier try made and that is still whole in its place."""
        return None

    def note(self, memory: TaskState, file: WantedFile, entry: dict[str, Any]) -> None:
        """A file is in its place. Called by one thread at a time."""

    def wish(
        self,
        label: str,
        url: str,
        workbook_id: str,
        name: str,
        file_format: str,
        canvases: Sequence[str] | None,
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

    def start(self, memory: TaskState, context: Context) -> Started:
        """Find out what to make, leave out what is there, and order the first exports."""
        wishes = self.wishes()
        self._push_workbook_link(wishes, context)
        facts = lazy.export.ExportFacts()
        files = self._planned(wishes, facts)
        facts.order = tuple(file.url for file in files)
        facts.left = tuple(self._missing(files, facts, memory))
        return self._next_round(facts)

    def _push_workbook_link(self, wishes: list[ExportRequest], context: Context) -> None:
        """Where the workbook is, if it is just one."""
        paths = {lazy.ids.plain_id(wish.file.workbook_id) or "" for wish in wishes}
        if len(paths) == 1 and (path := paths.pop()).startswith("/"):
            address = workbook_url(self.hook.settings.address, path)
            context["ti"].xcom_push(key=OACWorkbookLink.xcom_key, value=address)

    def _missing(self, files: Sequence[WantedFile], facts: ExportFacts, memory: TaskState) -> list[WantedFile]:
        """The files that are not in their places yet; the others are done."""
        missing = []
        for file in files:
            entry = self.made_before(memory, file)
            if entry is None:
                missing.append(file)
            else:
                self.log.info("%s is complete at %s, written by an earlier try.", file.label, file.url)
                facts.done += (entry,)
        return missing

    def _planned(self, wishes: list[ExportRequest], facts: ExportFacts) -> list[WantedFile]:
        """The files with their canvases."""
        ids = list(dict.fromkeys(wish.file.workbook_id for wish in wishes))

        listed = lazy.export.side_by_side(map(lazy.workbooks.canvases, ids), self.max_parallel)
        canvases = dict(zip(ids, self.hook.run(listed), strict=True))
        files: list[WantedFile] = []
        for wish in wishes:
            found = canvases[wish.file.workbook_id]
            try:
                if isinstance(found, OACError):
                    raise found
                made = lazy.export.planned(wish.file, lazy.workbooks.chosen(found, wish.canvases))
                if any(len(file.exports) > 1 for file in made):
                    lazy.export.check_can_join()
                files += made
            except OACError as error:
                self.failed(wish.file.label, error, facts)
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
                self.failed(file.label, error, facts)
                continue
            ids = [export.work_request_id for export in file.exports if export.work_request_id]
            self.log.info("OAC accepted the export of %s as %s.", file.label, ", ".join(ids))
            last, budget = ids[-1], budget - len(ids)
            current.append(file)
        return Started(last, time.time(), replace(facts, left=tuple(left), round=tuple(current)))

    def _finish(self, started: Started, work_request_id: str, deadline: float, context: Context) -> Any:
        """Settle a round, whatever became of the export that was waited for, and go on with the next."""
        memory, facts = self._memory(context), replace(started.facts)
        now = facts.round
        if not self.deferrable:
            now, facts.left = now + facts.left, ()
        try:
            self._settle(self._missing(now, facts, memory), facts, deadline, memory)
            following = self._next_round(facts)
            if following.work_request_id is None:
                return self.complete(following, None, context)
        except OACKilledError:
            # The next try finds the exports again.
            raise
        except OACError:
            # An export that OAC has forgotten, or whose file is spoiled, must not be found again by each further try.
            memory.remember(work_request_id=None)
            raise
        return self._pursue(following, memory, deadline, context)

    def _settle(self, files: list[WantedFile], facts: ExportFacts, deadline: float, memory: TaskState) -> None:
        """Make files side by side."""
        plan = lazy.polling.WaitPlan(deadline=deadline, longest_pause=seconds(self.poll_interval))
        parts = max(1, self.max_parallel // max(1, len(files)))
        # Not kept on the operator: Airflow copies operators, and a lock cannot be copied.
        recording = threading.Lock()

        def record(file: WantedFile, made: MadeFile) -> None:
            with recording:
                self._made(file, made, facts, memory)

        # Before any thread starts: a store asks Airflow for its Connection.
        sinks = [sink_of(file.url, self.destination_conn_id, memory.identity) for file in files]
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
                self.failed(file.label, result, facts)

    def _made(self, file: WantedFile, made: MadeFile, facts: ExportFacts, memory: TaskState) -> None:
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
        self.note(memory, file, entry)

    def made(self, facts: ExportFacts) -> list[dict[str, Any]]:
        """The files that were made, in the order in which they are wanted."""
        return sorted(facts.done, key=lambda entry: facts.order.index(entry["path"]))

    def tell(self, files: list[dict[str, Any]], context: Context) -> None:
        """Say in asset events, and to OpenLineage, what was made of what."""
        address, made = self.hook.settings.address, []
        for file in files:
            workbook = catalog_uri(address, lazy.ids.plain_id(file["workbook_id"]) or file["workbook_id"])
            path = asset_uri(file["path"])
            extra = {name: file[name] for name in ("size", "sha256", "format", "work_request_ids")}
            made.append(Made(path, (workbook, path), {**extra, "workbook": workbook}))
        tell(self, context, made)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What OpenLineage's provider asks for when the task succeeded: workbooks, and their files."""
        return lineage(self)

    def store(self, url: str) -> Destination:
        """A file in the store."""
        return lazy.object_storage.Destination(url, self.destination_conn_id)

    def _found_again(self, memory: TaskState) -> Started | None:
        # A Clear orders everything anew, also what still runs: arguments may be others, and nothing is lost.
        return super()._found_again(memory) if memory.repeated else None
