"""What the operators that reload datasets and run data flows and sequences share."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import order_began
from airflow_provider_oac.arguments import AtLeast, Duration, seconds
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.base import OACWorkOperator, Started, WaitingArguments
from airflow_provider_oac.operators.task_state import TaskState
from airflow_provider_oac.triggers.oac import OACJobTrigger

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.calls import Call
    from airflow_provider_oac.client.flows.start_run import Mark, RunFacts
    from airflow_provider_oac.client.rest.jobs import Job, Runnable
    from airflow_provider_oac.client.rest.work_requests import WorkRequest
    from airflow_provider_oac.records import Record


class RunningArguments(WaitingArguments, total=False):
    """Arguments of all operators that start a run."""

    if_running: Literal["fail", "wait", "adopt"]
    confirmation_timeout: Duration


class RunningOperator(OACWorkOperator):
    """Starts a run, waits for its work request, and tells from the job history what it did.

    A retry finds the run of an earlier try again: by the id of its work request, where Airflow has a task state store
    (3.3), else by the job history since the first try. A job does not say who asked for it, so that a job that somebody
    else started meanwhile may be taken for the task's own; the log says which one is adopted.

    The result (XCom) is a dictionary: ``work_request_id``; ``adopted``: whether the job was found in the history, so
    that its work request is not known; ``job_id``, ``job_status``, ``rows``, ``bytes``, ``seconds``,
    ``queued_seconds``; ``tasks``, a list of dictionaries with ``name``, ``status``, ``source``, ``target``, ``rows``,
    ``bytes``, ``seconds``, ``rows_per_second`` and ``throughput`` (as OAC tells it; its unit is not documented), at
    most 50 and those that failed first; and ``tasks_left_out``. What OAC does not tell is ``None``. If the job failed,
    the task has no result, but the members from ``job_id`` on stand in its XCom ``oac_job``, for a failure callback.

    :param if_running: what to do if OAC says that it is running already (409): ``fail``; ``wait`` for the end of what
        runs, then start; or ``adopt``: wait for what runs and take it for the result.
    :param confirmation_timeout: seconds for which a run that may have been started is looked for in the job history
        before it is started again.
    """

    _job: Job | None = None

    def __init__(
        self,
        *,
        if_running: Literal["fail", "wait", "adopt"] = "fail",
        confirmation_timeout: Annotated[Duration, AtLeast(0)] = 30.0,
        **kwargs: Unpack[WaitingArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.if_running = if_running
        self.confirmation_timeout = seconds(confirmation_timeout)

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

    def start(self, memory: TaskState, context: Context) -> Started:
        """Start the run, unless an earlier try has."""
        if found := self._job_found_again(memory):
            return found
        # What an earlier try of this order may have started counts, whatever templates render by now.
        facts = self._facts(memory)
        object_id = facts.object_id if facts is not None else self.object_id()
        return self._launch(memory, self._traces(memory, context), object_id)

    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> dict[str, Any]:
        """Make the result, with what the job history tells.

        :raises OACWorkRequestError: if the work request succeeded, but the job history says that the job failed.
        """
        own = started.facts.how == lazy.start_run.OWN
        job = None if own and work is None else self._told_job(started)
        if job is not None and job.failed:
            self._memory(context).remember(work_request_id=None, facts=None)
            but = f"Work request {started.work_request_id} succeeded, but the" if own else "The"
            raise OACWorkRequestError(
                f"{but} job history says that job {job.id} of {self._of(started)} ended {job.status}. Next step: look "
                "at the job in OAC; a retry starts it anew.",
                work_request_id=str(started.work_request_id),
                status=job.status,
            )
        summary = lazy.start_run.job_summary(job)
        return {"work_request_id": started.work_request_id, "adopted": not own, **summary}

    def clean_up(self, started: Started, memory: TaskState) -> None:
        """Tell what the job history knows of the failure, and forget the run: the next try starts anew."""
        self._told_job(started)
        memory.remember(work_request_id=None, facts=None, sending=False)

    def _pursue(self, started: Started, memory: TaskState, deadline: float, context: Context) -> Any:
        how = started.facts.how
        if how == lazy.start_run.OWN:
            return super()._pursue(started, memory, deadline, context)
        memory.remember(**started.record(), sending=False)
        self._push_link(context)
        self._push_work_link(started, context)
        if not self.wait_for_completion and how != lazy.start_run.BUSY:
            return self.complete(started, None, context)
        if self.deferrable:
            with self._stopping(self._job_goes_on(started)):
                soon = self._job_over_soon(started, deadline)
            if not soon:
                self._defer_for_job(started, deadline)
        return self._finish(started, "", deadline, context)

    def _job_goes_on(self, started: Started) -> str:
        return f"Job {started.facts.job_id} of {self._of(started)} goes on in OAC and cannot be canceled."

    def _defer_for_job(self, started: Started, deadline: float) -> None:
        of = self._of(started)
        self.defer(
            trigger=OACJobTrigger(
                **self._trigger_arguments(started, deadline),
                kind=of.kind,
                noun=of.noun,
                object_id=of.object_id,
                job_id=started.facts.job_id,
                submitted_at=started.submitted_at,
            ),
            method_name="execute_complete",
            timeout=self._trigger_timeout(deadline),
        )

    def _job_over_soon(self, started: Started, deadline: float) -> bool:
        plan, since = self._plan(started, deadline), started.submitted_at
        return lazy.defer_decision.over_soon(
            self.hook, lazy.start_run.job_target(self._of(started), started.facts.job_id, plan, started_at=since)
        )

    def _finish(self, started: Started, work_request_id: str, deadline: float, context: Context) -> Any:
        """As for every work; what the history tells of a job that failed is kept."""
        try:
            if started.facts.how == lazy.start_run.OWN:
                return super()._finish(started, work_request_id, deadline, context)
            return self._finish_job(started, deadline, context)
        except OACWorkRequestError:
            if self._job is not None:
                context["ti"].xcom_push(key="oac_job", value=lazy.start_run.job_summary(self._job))
            raise

    def _finish_job(self, started: Started, deadline: float, context: Context) -> Any:
        """Wait for a job that is known by the history only, and complete it, or start ours if it is somebody else's."""
        how, job_id = started.facts.how, started.facts.job_id
        memory = self._memory(context)
        plan = self._plan(started, deadline)
        of, since = self._of(started), started.submitted_at
        flow = lazy.start_run.wait_for_job(of, job_id, plan, started_at=since)
        try:
            with self._stopping(self._job_goes_on(started)):
                self.hook.run(flow)
        except OACWorkRequestError as error:
            ended = error.status in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED)
            if how != lazy.start_run.BUSY or not ended:
                if ended:
                    self.clean_up(started, memory)
                raise
            self.log.warning("What ran before did not succeed; ours starts all the same. %s", error)
        if how == lazy.start_run.BUSY:
            return self._pursue(self._launch(memory, None, of.object_id), memory, deadline, context)
        return self.complete(started, None, context)

    def _launch(self, memory: TaskState, traces: Mark | None, object_id: str) -> Started:
        def intent(mark: Mark) -> dict[str, Any]:
            return {
                "submitted_at": time.time(),
                "facts": lazy.start_run.RunFacts(lazy.start_run.SENT, object_id, mark).to_json(),
            }

        wanted = lazy.start_run.Run(
            self.runnable(object_id),
            self.starting(object_id),
            self.if_running,
            traces,
            confirmation_timeout=self.confirmation_timeout,
        )
        launched = self.hook.run(lazy.submit.submit_once(wanted, memory.attempts(intent)))
        facts = lazy.start_run.RunFacts(launched.how, object_id, launched.mark, launched.job_id)
        return Started(launched.work_request_id, time.time(), facts)

    def _traces(self, memory: TaskState, context: Context) -> Mark | None:
        """The point before an attempt of an earlier try that may have started the run; ``None`` if there was none."""
        retries = self.retries or 0
        if not memory.suspect(retries):
            return None
        if facts := self._facts(memory):
            return facts.mark
        began = order_began(context, memory.identity.first_try(retries))
        return None if began is None else lazy.start_run.Mark(since=began)

    def _job_found_again(self, memory: TaskState) -> Started | None:
        """The job that an earlier try has adopted, if the store knows it and it is still of use."""
        started = self._started(memory.recall())
        if started is None or started.facts.how not in (lazy.start_run.FOUND, lazy.start_run.ADOPTED):
            return None
        if self._differs(memory, f"job {started.facts.job_id} of {self._of(started)}"):
            return None
        try:
            job = self.hook.run(lazy.jobs.one(self._of(started), started.facts.job_id, tasks=False))
        except OACKilledError:
            raise
        except OACError as error:
            if isinstance(error, OACApiError) and error.status == 404:
                self.log.warning("OAC does not know the job of an earlier try any more. %s", error)
                return None
            if not memory.repeated:
                raise
            self.log.warning("The job of an earlier try cannot be read yet, waiting for it: %s", error)
            return started
        if job.over and (job.failed or not memory.repeated):
            self.log.info("Job %s of an earlier try ended %s; starting anew.", job.id, job.status)
            return None
        self.log.info("Job %s of an earlier try is %s; it is this task's.", job.id, job.status)
        return started

    def _told_job(self, started: Started) -> Job | None:
        """The job of a run, told in the log. The work request says how it ended; a history that cannot be read is no
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

    def _facts(self, memory: TaskState) -> RunFacts | None:
        """What earlier tries of this order know of the run."""
        started = self._started(memory.of_this_order())
        return started.facts if started is not None else None
