"""Operators that reload datasets and run data flows and sequences."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context, order_began
from airflow_provider_oac.arguments import AtLeast, Duration, Template, seconds
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACWorkRequestError
from airflow_provider_oac.operators.base import OACWorkOperator
from airflow_provider_oac.operators.task_state import Started, Succeeded, TaskState
from airflow_provider_oac.triggers.oac import OACJobTrigger, OACWorkRequestTrigger


class RunningOperator(OACWorkOperator):
    """Starts a run, waits for its work request, and reports what the job history says about it.

    A retry reattaches to the run of an earlier try: by the id of its work request, if Airflow has a task state store
    (3.3), else by the job history since the first try. A job does not name the request that started it, so the task may
    adopt a job that another user started in the meantime. The log names the adopted job.

    The result (XCom) is a dictionary: ``work_request_id``; ``adopted`` (whether the task found the job in the history,
    where its work request is unknown); ``job_id``, ``job_status``, ``rows``, ``bytes``, ``seconds``,
    ``queued_seconds``; ``tasks``, a list of dictionaries with ``name``, ``status``, ``source``, ``target``, ``rows``,
    ``bytes``, ``seconds``, ``rows_per_second`` and ``throughput`` (as OAC reports it; its unit is not documented), at
    most 50, failed ones first; and ``tasks_left_out``. Values that OAC does not report are ``None``. If the job failed,
    the task has no result, but the members from ``job_id`` on are in its XCom ``oac_job``, for a failure callback.

    :param if_running: what to do if OAC answers that it is already running (409): ``fail``; ``wait`` until the present
        run ends, then start; or ``adopt``: wait for the present run and return its result.
    :param confirmation_timeout: how long, in seconds, the task searches the job history for a run that may have started
        before it starts the run again.
    """

    if_running: Literal["fail", "wait", "adopt"] = "fail"
    confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0

    # The kind of object to run. Its arguments have this name, and the module of its calls has the plural.
    kind: ClassVar[str]
    facts_class = ("start_run", "RunFacts")
    _job: lazy.jobs.Job | None = None

    def object_id(self) -> str:
        """Encoded id of the object to run.

        :raises OACConfigurationError: if the arguments cannot work.
        """
        item_id, path = getattr(self, f"{self.kind}_id"), getattr(self, self.kind)
        return lazy.ids.item_id(item_id=item_id, path=path, what=f"the {self.kind.replace('_', ' ')}")

    def runnable(self, object_id: str) -> lazy.jobs.Runnable:
        """The object to run, with the facts that its job history needs."""
        found: lazy.jobs.Runnable = getattr(lazy, f"{self.kind}s").runnable(object_id)
        return found

    @abstractmethod
    def starting(self, object_id: str) -> lazy.calls.Call[str]:
        """The call that starts the run.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    def handle(self, started: Started) -> str | None:
        """Id of the work request, or of the job if the work request is unknown."""
        job_id: str | None = started.facts.job_id
        return started.work_request_id or job_id

    def state_call(self, started: Started) -> lazy.calls.Call[lazy.work_requests.WorkRequest]:
        """The call that reads the state of the work request, or of the job."""
        if started.work_request_id:
            return super().state_call(started)
        return lazy.jobs.state(self._of(started), started.facts.job_id)

    def trigger(self, started: Started) -> OACWorkRequestTrigger | OACJobTrigger:
        """The trigger that waits for the work request, or for the job."""
        if started.work_request_id:
            return super().trigger(started)
        of, common = self._of(started), self._trigger_arguments(started, self._until)
        return OACJobTrigger(
            **common, kind=of.kind, noun=of.noun, object_id=of.object_id, job_id=started.facts.job_id,
            submitted_at=started.submitted_at,
        )  # fmt: skip

    def waits_for(self, started: Started) -> bool:
        """Whether to wait. The task always waits for the run of another user."""
        return super().waits_for(started) or started.facts.how == lazy.start_run.BUSY

    def _continuing(self, started: Started) -> str:
        if started.work_request_id:
            return super()._continuing(started)
        return f"Job {started.facts.job_id} of {self._of(started)} continues in OAC and cannot be canceled."

    def start(self, state: TaskState, context: Context) -> Started:
        """Start the run, unless an earlier try already has."""
        # If an earlier try of this order may have started a run, use its object, even if templates render to another.
        earlier = self._started(state.of_this_order())
        object_id = earlier.facts.object_id if earlier is not None else self.object_id()
        return self._launch(state, self._traces(state, context), object_id)

    def complete(self, started: Started, work: Succeeded, context: Context) -> dict[str, Any]:
        """Make the result from the job history.

        :raises OACWorkRequestError: if the work request succeeded, but the job history says that the job failed.
        """
        own = started.facts.how == lazy.start_run.OWN
        job = None if own and work is None else self._logged_job(started)
        if job is not None and job.failed:
            self._state(context).remember(work_request_id=None, facts=None)
            but = f"Work request {started.work_request_id} succeeded, but the" if own else "The"
            raise OACWorkRequestError(
                f"{but} job history says that job {job.id} of {self._of(started)} ended {job.status}. Next step: read "
                "the job in OAC; a retry starts a new run.",
                work_request_id=str(started.work_request_id),
                status=job.status,
            )
        summary = lazy.start_run.job_summary(job)
        summary["job_id"] = summary["job_id"] or started.facts.job_id
        return {"work_request_id": started.work_request_id, "adopted": not own, **summary}

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Log what the job history says about the failure, and forget the run: the next try starts anew."""
        self._logged_job(started)
        state.remember(work_request_id=None, facts=None, sending=False)

    def _found_again(self, state: TaskState) -> Started | None:
        earlier = self._started(state.recall())
        # If the task was waiting for another user's run, it begins again.
        return None if earlier and earlier.facts.how == lazy.start_run.BUSY else super()._found_again(state)

    def _finish(self, started: Started, context: Context) -> Any:
        """Wait and complete; push the summary of a failed job to XCom. After another user's run, start this task's."""
        if started.facts.how == lazy.start_run.BUSY:
            try:
                self._wait(started)
            except OACWorkRequestError as error:
                if error.status not in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED):
                    raise
                self.log.warning("The earlier run did not succeed. This task starts its own run anyway. %s", error)
            return self._launch(self._state(context), None, started.facts.object_id)
        try:
            return super()._finish(started, context)
        except OACWorkRequestError:
            if self._job is not None:
                context["ti"].xcom_push(key="oac_job", value=lazy.start_run.job_summary(self._job))
            raise

    def _launch(self, state: TaskState, traces: lazy.start_run.Mark | None, object_id: str) -> Started:
        def intent(mark: lazy.start_run.Mark) -> dict[str, Any]:
            facts = lazy.start_run.RunFacts(lazy.start_run.SENT, object_id, mark)
            return {"submitted_at": time.time(), "facts": facts.to_json()}

        patience = seconds(self.confirmation_timeout)
        wanted = lazy.start_run.Run(
            self.runnable(object_id), self.starting(object_id), self.if_running, traces, confirmation_timeout=patience
        )
        launched = self.hook.run(lazy.submit.submit_once(wanted, state.attempts(intent)))
        facts = lazy.start_run.RunFacts(launched.how, object_id, launched.mark, launched.job_id)
        return Started(launched.work_request_id, time.time(), facts)

    def _traces(self, state: TaskState, context: Context) -> lazy.start_run.Mark | None:
        """The point in the job history before an earlier try that may have started the run; ``None`` without one."""
        retries = self.retries or 0
        if not state.suspect(retries):
            return None
        if earlier := self._started(state.of_this_order()):
            mark: lazy.start_run.Mark = earlier.facts.mark
            return mark
        began = order_began(context, state.key.first_try(retries))
        return None if began is None else lazy.start_run.Mark(since=began)

    def _logged_job(self, started: Started) -> lazy.jobs.Job | None:
        """Find and log the job of a run; ``None`` if the job history cannot be read.

        An unreadable history is not an error, since the work request shows how the run ended.
        """
        of, job_id = self._of(started), started.facts.job_id
        try:
            if job_id:
                job: lazy.jobs.Job | None = self.hook.run(lazy.jobs.one(of, job_id))
            else:
                job = self.hook.run(lazy.start_run.job_since(of, started.facts.mark))
        except OACKilledError:
            raise
        except OACError as error:
            self.log.warning("Could not read the job history of %s, so the result has no rows: %s", of, error)
            return None
        if job is None:
            self.log.warning("The job history of %s shows no new job, so the result has no rows.", of)
            return None
        for failed, line in lazy.start_run.job_lines(job):
            (self.log.error if failed else self.log.info)(line)
        self._job = job
        return job

    def _of(self, started: Started) -> lazy.jobs.Runnable:
        return self.runnable(started.facts.object_id)


class OACReloadDatasetOperator(RunningOperator):
    """Reloads the cached data of a dataset, so workbooks show the present data of the warehouse.

    OAC reloads only datasets that are built on a connection, with at least one table that is cached automatically; not
    those made from files (documented). Needs DV Content Author (documented). :class:`RunningOperator` describes
    waiting, retries, ``if_running`` and the result.

    :param dataset: its plain id: ``'owner'.'name'``, with the quotes; or
    :param dataset_id: its id as lists return it, already encoded.
    """

    dataset: Template[str | None] = None
    dataset_id: Template[str | None] = None

    kind = "dataset"

    def starting(self, object_id: str) -> lazy.calls.Call[str]:
        """The call that reloads it."""
        return lazy.datasets.reload(object_id)


class OACRunDataFlowOperator(RunningOperator):
    """Runs a data flow, as saved or with a source, a target or an Essbase cube replaced for this run.

    Needs DV Content Author (documented). :class:`RunningOperator` describes waiting, retries, ``if_running`` and the
    result.

    :param data_flow: its plain id: ``'owner'.'name'``, with the quotes; or
    :param data_flow_id: its id as lists return it, already encoded.
    :param override: what to replace, in the members of OAC's REST API:
        ``{"type": "source", "parameterName": "P_SOURCE", "datasetId": "'jane'.'Sales 2026'"}``; the same with
        ``"type": "target"``; or ``"type": "cube"`` with ``appParameterName``, ``appName``, ``cubeParameterName`` and
        ``cubeName``. The parameter must be one of the data flow's. How OAC takes several replacements at once is not
        established; a dictionary without ``type`` is sent unchanged.
    """

    data_flow: Template[str | None] = None
    data_flow_id: Template[str | None] = None
    override: Template[Mapping[str, Any] | None] = None

    kind = "data_flow"

    def starting(self, object_id: str) -> lazy.calls.Call[str]:
        """The call that runs it."""
        return lazy.data_flows.run(object_id, self.override or None)


class OACRunSequenceOperator(RunningOperator):
    """Runs a sequence as saved.

    Needs DV Content Author (documented). :class:`RunningOperator` describes waiting, retries, ``if_running`` and the
    result.

    :param sequence: its plain id: ``'owner'.'name'``, with the quotes; or
    :param sequence_id: its id as lists return it, already encoded.
    """

    sequence: Template[str | None] = None
    sequence_id: Template[str | None] = None

    kind = "sequence"

    def starting(self, object_id: str) -> lazy.calls.Call[str]:
        """The call that runs it."""
        return lazy.sequences.run(object_id)
