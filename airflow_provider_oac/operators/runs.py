"""Operators that reload datasets and run data flows and sequences."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import order_began
from airflow_provider_oac.arguments import AtLeast, Duration, Template, seconds
from airflow_provider_oac.exceptions import OACError, OACKilledError, OACWorkRequestError
from airflow_provider_oac.operators.base import OACWorkOperator, Started
from airflow_provider_oac.operators.task_state import TaskState
from airflow_provider_oac.triggers.oac import OACJobTrigger, OACWorkRequestTrigger

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.calls import Call
    from airflow_provider_oac.client.flows.start_run import Mark
    from airflow_provider_oac.client.rest.jobs import Job, Runnable
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.records import Record


class RunningOperator(OACWorkOperator):
    """Starts a run, waits for its work request, and reports from the job history what it did.

    A retry finds the run of an earlier try again: by the id of its work request, where Airflow has a task state store
    (3.3), else by the job history since the first try. A job does not say who asked for it, so a job that another user
    started meanwhile may be taken for the task's own; the log says which one is adopted.

    The result (XCom) is a dictionary: ``work_request_id``; ``adopted``: whether the job was found in the history, so
    that its work request is not known; ``job_id``, ``job_status``, ``rows``, ``bytes``, ``seconds``,
    ``queued_seconds``; ``tasks``, a list of dictionaries with ``name``, ``status``, ``source``, ``target``, ``rows``,
    ``bytes``, ``seconds``, ``rows_per_second`` and ``throughput`` (as OAC tells it; its unit is not documented), at
    most 50 and those that failed first; and ``tasks_left_out``. What OAC does not tell is ``None``. If the job failed,
    the task has no result, but the members from ``job_id`` on are in its XCom ``oac_job``, for a failure callback.

    :param if_running: what to do if OAC says that it is running already (409): ``fail``; ``wait`` for the end of what
        runs, then start; or ``adopt``: wait for what runs and take it for the result.
    :param confirmation_timeout: seconds for which a run that may have been started is looked for in the job history
        before it is started again.
    """

    if_running: Literal["fail", "wait", "adopt"] = "fail"
    confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0

    _job: Job | None = None

    @abstractmethod
    def object_id(self) -> str:
        """Id of what is to run, encoded.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    @abstractmethod
    def runnable(self, object_id: str) -> Runnable:
        """What is to run, as something that has a job history."""

    @abstractmethod
    def starting(self, object_id: str) -> Call[str]:
        """The call that starts it.

        :raises OACConfigurationError: if the arguments cannot work.
        """

    @property
    def facts_type(self) -> type[Record]:
        """What is known of the run."""
        return lazy.start_run.RunFacts

    def handle(self, started: Started) -> str | None:
        """The work request, or the job where that is not known."""
        job_id: str | None = started.facts.job_id
        return started.work_request_id or job_id

    def state_call(self, started: Started) -> Call[WorkRequest]:
        """The call that reads the state of the work request, or of the job."""
        if started.work_request_id:
            return super().state_call(started)
        return lazy.jobs.state(self._of(started), started.facts.job_id)

    def trigger(self, started: Started) -> OACWorkRequestTrigger | OACJobTrigger:
        """The trigger that waits for the work request, or for the job."""
        if started.work_request_id:
            return super().trigger(started)
        of = self._of(started)
        return OACJobTrigger(
            **self._trigger_arguments(started, self._until),
            kind=of.kind,
            noun=of.noun,
            object_id=of.object_id,
            job_id=started.facts.job_id,
            submitted_at=started.submitted_at,
        )

    def waits_for(self, started: Started) -> bool:
        """Whether to wait. The run of another user is waited for in any case."""
        return super().waits_for(started) or started.facts.how == lazy.start_run.BUSY

    def _continuing(self, started: Started) -> str:
        if started.work_request_id:
            return super()._continuing(started)
        return f"Job {started.facts.job_id} of {self._of(started)} continues in OAC and cannot be canceled."

    def start(self, state: TaskState, context: Context) -> Started:
        """Start the run, unless an earlier try has."""
        # Work that an earlier try of this order may have started counts, whatever templates render now.
        earlier = self._started(state.of_this_order())
        object_id = earlier.facts.object_id if earlier is not None else self.object_id()
        return self._launch(state, self._traces(state, context), object_id)

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result, with what the job history tells.

        :raises OACWorkRequestError: if the work request succeeded, but the job history says that the job failed.
        """
        own = started.facts.how == lazy.start_run.OWN
        job = None if own and work is None else self._logged_job(started)
        if job is not None and job.failed:
            self._state(context).remember(work_request_id=None, facts=None)
            but = f"Work request {started.work_request_id} succeeded, but the" if own else "The"
            raise OACWorkRequestError(
                f"{but} job history says that job {job.id} of {self._of(started)} ended {job.status}. Next step: look "
                "at the job in OAC; a retry starts it anew.",
                work_request_id=str(started.work_request_id),
                status=job.status,
            )
        summary = lazy.start_run.job_summary(job)
        return {"work_request_id": started.work_request_id, "adopted": not own, **summary}

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Log what the job history knows of the failure, and forget the run: the next try starts anew."""
        self._logged_job(started)
        state.remember(work_request_id=None, facts=None, sending=False)

    def _found_again(self, state: TaskState) -> Started | None:
        earlier = self._started(state.recall())
        # The run of another user is waited for anew.
        return None if earlier and earlier.facts.how == lazy.start_run.BUSY else super()._found_again(state)

    def _finish(self, started: Started, context: Context) -> Any:
        """Wait, and complete. What a job that failed did becomes an XCom. After another user's run, start ours."""
        if started.facts.how == lazy.start_run.BUSY:
            try:
                self._wait(started)
            except OACWorkRequestError as error:
                if error.status not in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED):
                    raise
                self.log.warning("The run before did not succeed; ours starts anyway. %s", error)
            state = self._state(context)
            return self._pursue(self._launch(state, None, started.facts.object_id), state, context)
        try:
            return super()._finish(started, context)
        except OACWorkRequestError:
            if self._job is not None:
                context["ti"].xcom_push(key="oac_job", value=lazy.start_run.job_summary(self._job))
            raise

    def _launch(self, state: TaskState, traces: Mark | None, object_id: str) -> Started:
        def intent(mark: Mark) -> dict[str, Any]:
            facts = lazy.start_run.RunFacts(lazy.start_run.SENT, object_id, mark)
            return {"submitted_at": time.time(), "facts": facts.to_json()}

        wanted = lazy.start_run.Run(
            self.runnable(object_id),
            self.starting(object_id),
            self.if_running,
            traces,
            confirmation_timeout=seconds(self.confirmation_timeout),
        )
        launched = self.hook.run(lazy.submit.submit_once(wanted, state.attempts(intent)))
        facts = lazy.start_run.RunFacts(launched.how, object_id, launched.mark, launched.job_id)
        return Started(launched.work_request_id, time.time(), facts)

    def _traces(self, state: TaskState, context: Context) -> Mark | None:
        """The point before an attempt of an earlier try that may have started the run; ``None`` if there was none."""
        retries = self.retries or 0
        if not state.suspect(retries):
            return None
        if earlier := self._started(state.of_this_order()):
            mark: Mark = earlier.facts.mark
            return mark
        began = order_began(context, state.key.first_try(retries))
        return None if began is None else lazy.start_run.Mark(since=began)

    def _logged_job(self, started: Started) -> Job | None:
        """The job of a run, which it logs. The work request says how it ended; a history that cannot be read is no
        reason to fail."""
        of, job_id = self._of(started), started.facts.job_id
        try:
            if job_id:
                job: Job | None = self.hook.run(lazy.jobs.one(of, job_id))
            else:
                job = self.hook.run(lazy.start_run.job_since(of, started.facts.mark))
        except OACKilledError:
            raise
        except OACError as error:
            self.log.warning("The job history of %s cannot be read, so that rows are not known: %s", of, error)
            return None
        if job is None:
            self.log.warning("The job history of %s shows no new job, so that rows are not known.", of)
            return None
        for failed, line in lazy.start_run.job_lines(job):
            (self.log.error if failed else self.log.info)(line)
        self._job = job
        return job

    def _of(self, started: Started) -> Runnable:
        return self.runnable(started.facts.object_id)


class OACReloadDatasetOperator(RunningOperator):
    """Reloads the cached data of a dataset: workbooks then show what the warehouse holds now.

    OAC reloads only datasets that are built on a connection, with at least one table that is cached automatically; not
    those made from files (documented). Needs DV Content Author (documented).

    Everything else is as :class:`RunningOperator` says: waiting, retries, what
    happens if it is running already, and the result.

    :param dataset: its plain id: ``'owner'.'name'``, with the quotes; or
    :param dataset_id: its id as lists return it, already encoded.
    """

    dataset: Template[str | None] = None
    dataset_id: Template[str | None] = None

    def object_id(self) -> str:
        """Id of the dataset."""
        return lazy.ids.item_id(item_id=self.dataset_id, path=self.dataset, what="the dataset")

    def runnable(self, object_id: str) -> Runnable:
        """The dataset."""
        return lazy.datasets.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that reloads it."""
        return lazy.datasets.reload(object_id)


class OACRunDataFlowOperator(RunningOperator):
    """Runs a data flow, as it was saved or with a source, a target or an Essbase cube replaced for this run.

    Needs DV Content Author (documented). Everything else is as
    :class:`RunningOperator` says: waiting, retries, what happens if it is
    running already, and the result.

    :param data_flow: its plain id: ``'owner'.'name'``, with the quotes; or
    :param data_flow_id: its id as lists return it, already encoded.
    :param override: what to replace, in the words of OAC's REST API:
        ``{"type": "source", "parameterName": "P_SOURCE", "datasetId": "'jane'.'Sales 2026'"}``, ``"type": "target"``
        alike, or ``"type": "cube"`` with ``appParameterName``, ``appName``, ``cubeParameterName`` and ``cubeName``. The
        parameter must be one of the data flow's. How several are replaced at once is not established; a dictionary
        without ``type`` is sent as it is.
    """

    data_flow: Template[str | None] = None
    data_flow_id: Template[str | None] = None
    override: Template[Mapping[str, Any] | None] = None

    def object_id(self) -> str:
        """Id of the data flow."""
        return lazy.ids.item_id(item_id=self.data_flow_id, path=self.data_flow, what="the data flow")

    def runnable(self, object_id: str) -> Runnable:
        """The data flow."""
        return lazy.data_flows.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that runs it."""
        return lazy.data_flows.run(object_id, self.override or None)


class OACRunSequenceOperator(RunningOperator):
    """Runs a sequence as it was saved.

    Needs DV Content Author (documented). Everything else is as
    :class:`RunningOperator` says: waiting, retries, what happens if it is
    running already, and the result.

    :param sequence: its plain id: ``'owner'.'name'``, with the quotes; or
    :param sequence_id: its id as lists return it, already encoded.
    """

    sequence: Template[str | None] = None
    sequence_id: Template[str | None] = None

    def object_id(self) -> str:
        """Id of the sequence."""
        return lazy.ids.item_id(item_id=self.sequence_id, path=self.sequence, what="the sequence")

    def runnable(self, object_id: str) -> Runnable:
        """The sequence."""
        return lazy.sequences.runnable(object_id)

    def starting(self, object_id: str) -> Call[str]:
        """The call that runs it."""
        return lazy.sequences.run(object_id)
