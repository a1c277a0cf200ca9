"""The one durable base of all operators that start work in OAC."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from airflow_provider_oac._compat import BaseOperatorLink, default_deferrable
from airflow_provider_oac.arguments import Duration, seconds
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACError,
    OACKilledError,
    OACWorkRequestError,
)
from airflow_provider_oac.links import OACInstanceLink, OACWorkRequestLink
from airflow_provider_oac.operators.memory import TaskMemory
from airflow_provider_oac.tasks import CheckedOperator, TaskArguments

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.waiting import WaitPlan
    from airflow_provider_oac.client.work_requests import WorkRequest
    from airflow_provider_oac.hooks.oac import OACHook


class Started(NamedTuple):
    """Work that OAC has accepted. JSON as a whole, and without secrets: it crosses the database.

    :param work_request_id: its work request; ``None`` if the work was found by its traces only.
    :param submitted_at: when it was submitted, in seconds since the epoch.
    :param facts: what completing it needs to know, since templates may render differently by then.
    """

    work_request_id: str | None
    submitted_at: float
    facts: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """As a plain dictionary."""
        return {
            "work_request_id": self.work_request_id,
            "submitted_at": self.submitted_at,
            "facts": self.facts,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Started:
        """Read it back."""
        return cls(record["work_request_id"], record["submitted_at"], record["facts"])


class OACArguments(TaskArguments, total=False):
    """Arguments of all operators for OAC."""

    oac_conn_id: str


class WorkArguments(OACArguments, total=False):
    """Arguments of all operators that start work and wait for it."""

    deferrable: bool | None
    poll_interval: Duration
    timeout: Duration
    durable: bool


class WaitingArguments(WorkArguments, total=False):
    """Arguments of all operators that may wait for the work that they start, or not."""

    wait_for_completion: bool


class OACBaseOperator(CheckedOperator):
    """What all operators for OAC share.

    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    """

    template_fields: Sequence[str] = ("oac_conn_id",)
    operator_extra_links: Sequence[BaseOperatorLink] = (OACInstanceLink(),)
    _killed = False

    def __init__(self, *, oac_conn_id: str = "oac_default", **kwargs: Unpack[TaskArguments]) -> None:
        super().__init__(**kwargs)
        # All there is to do: OACWorkOperator does it itself.
        self.oac_conn_id = oac_conn_id

    @cached_property
    def hook(self) -> OACHook:
        """The hook of this task; its waits end soon after the task is killed."""
        from airflow_provider_oac.hooks.oac import OACHook

        return OACHook(self.oac_conn_id, stopped=lambda: self._killed)

    def pre_execute(self, context: Context) -> None:
        """Keep Airflow 3 from pushing the links when the task's process ends.

        Each is pushed as soon as its address is known. One without an address would become an empty XCom.
        """
        super().pre_execute(context)
        self.operator_extra_links = ()

    def on_kill(self) -> None:
        """Only sets a flag: it runs inside a signal handler, and Airflow kills hard some seconds later."""
        self._killed = True

    @contextmanager
    def _stopping(self, what_goes_on: str) -> Iterator[None]:
        """Say what goes on in OAC when the task is told to stop.

        :param what_goes_on: the same for people, as whole sentences, with the ids.
        """
        try:
            yield
        except OACKilledError:
            raise OACKilledError(f"The task was told to stop. {what_goes_on}") from None
        except BaseException:
            # Airflow 2 ends a task by an exception out of its signal handler, wherever it is.
            if self._killed:
                self.log.warning("The task was told to stop. %s", what_goes_on)
            raise

    def _push_link(self, context: Context) -> None:
        context["ti"].xcom_push(key=OACInstanceLink.xcom_key, value=f"{self.hook.settings.address}/ui/")


class OACWorkOperator(OACBaseOperator):
    """Starts work in OAC, waits for it, and completes it: once per logical task, whatever happens to its process.

    A retry finds the work of an earlier try again instead of starting it twice: by what Airflow's task state store
    remembers (Airflow 3.3), else by the traces that the work left in OAC. A Clear orders the work anew. The work
    itself cannot be canceled: OAC has no operation for it.

    :param wait_for_completion: whether to wait; if not, the result holds the id of the work request, for
        :class:`~airflow_provider_oac.sensors.work_requests.OACWorkRequestSensor`.
    :param deferrable: whether to wait in the triggerer, without a worker slot; by default what the deployment says.
    :param poll_interval: longest pause between two polls, as a duration or in seconds. A pause is 5 % of the age of the
        work, at least a second and at most this.
    :param timeout: how long one try waits, as a duration or in seconds. ``execution_timeout`` counts, too, if it is
        shorter.
    :param durable: ``False`` starts the work anew on each try, without looking for that of an earlier one.
    """

    def __init__(
        self,
        *,
        oac_conn_id: str = "oac_default",
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Duration = 30.0,
        timeout: Duration = timedelta(hours=6),
        durable: bool = True,
        **kwargs: Unpack[TaskArguments],
    ) -> None:
        # Past the base's: Airflow goes through the DAG's default arguments once more for each `__init__` on the way.
        super(OACBaseOperator, self).__init__(**kwargs)
        self.oac_conn_id = oac_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.durable = durable

    operator_extra_links: Sequence[BaseOperatorLink] = (OACInstanceLink(), OACWorkRequestLink())

    @abstractmethod
    def start(self, memory: TaskMemory, context: Context) -> Started:
        """Submit the work, unless OAC shows that an earlier try already has."""

    @abstractmethod
    def complete(self, started: Started, work: WorkRequest | None, context: Context) -> Any:
        """Make the task's result.

        :param work: the work request, which succeeded; ``None`` if the task does not wait, or the work was found by
            its traces only.
        """

    def clean_up(self, started: Started, memory: TaskMemory) -> None:
        """Put away what work that failed or was canceled left behind."""

    def tolerated(self, started: Started) -> tuple[int, ...]:
        """HTTP statuses that this very work brings about, so that the wait for it waits them out."""
        return ()

    def execute(self, context: Context) -> Any:
        """Start or find the work, wait, complete."""
        deadline = self._deadline()
        memory = TaskMemory(context, self.durable)
        with self._stopping("What it may have started in OAC goes on there; the next try looks for it first."):
            started = self._found_again(memory) or self.start(memory, context)
        return self._pursue(started, memory, deadline, context)

    def _pursue(self, started: Started, memory: TaskMemory, deadline: float, context: Context) -> Any:
        """Remember what was started, wait for it here or in the triggerer, and complete it."""
        memory.remember(**started.record())
        self._push_link(context)
        self._push_work_link(started, context)
        if not self.wait_for_completion or started.work_request_id is None:
            return self.complete(started, None, context)
        if self.deferrable:
            with self._stopping(self._goes_on(started.work_request_id)):
                soon = self._over_soon(started, started.work_request_id, deadline)
            if not soon:
                self._defer(started, started.work_request_id, deadline)
        return self._finish(started, started.work_request_id, deadline, context)

    def _defer(self, started: Started, work_request_id: str, deadline: float) -> None:
        from airflow_provider_oac.triggers.work_requests import OACWorkRequestTrigger

        self.defer(
            trigger=OACWorkRequestTrigger(
                self.oac_conn_id,
                work_request_id,
                started.submitted_at,
                deadline,
                seconds(self.poll_interval),
                carried={"started": started.record(), "deadline": deadline},
                tolerated=self.tolerated(started),
            ),
            method_name="resume",
        )

    @staticmethod
    def _goes_on(work_request_id: str) -> str:
        return (
            f"Its work goes on in OAC as work request {work_request_id}, which cannot be canceled; the next try of "
            "the task finds it again."
        )

    def _over_soon(self, started: Started, work_request_id: str, deadline: float) -> bool:
        from airflow_provider_oac.client.waiting import WorkWatch
        from airflow_provider_oac.hooks.deferring import over_soon

        watch = WorkWatch(work_request_id, self._plan(started, deadline), started_at=started.submitted_at)
        return over_soon(self.hook, watch)

    def _plan(self, started: Started, deadline: float) -> WaitPlan:
        from airflow_provider_oac.client.waiting import WaitPlan

        return WaitPlan(deadline=deadline, longest_pause=seconds(self.poll_interval), tolerated=self.tolerated(started))

    def resume(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Go on after the triggerer waited: the same completion as without it, which reads the state itself.

        What the task started stands in the event: ``airflow dags test`` drops the arguments of a deferral.
        """
        from airflow_provider_oac.triggers.base import carried_by

        carried = carried_by(event)
        started = Started.of(carried["started"])
        return self._finish(started, carried["started"]["work_request_id"], carried["deadline"], context)

    def _finish(self, started: Started, work_request_id: str, deadline: float, context: Context) -> Any:
        """Wait in this process until the work request ends, and complete what was started."""
        from airflow_provider_oac.client.waiting import wait
        from airflow_provider_oac.client.work_requests import CANCELED, FAILED

        plan = self._plan(started, deadline)
        flow = wait(work_request_id, plan, started_at=started.submitted_at, report=self.log.info)
        try:
            with self._stopping(self._goes_on(work_request_id)):
                work = self.hook.run(flow)
        except OACWorkRequestError as error:
            if error.status in (FAILED, CANCELED):
                self.clean_up(started, TaskMemory(context, self.durable))
            raise
        return self.complete(started, work, context)

    def _push_work_link(self, started: Started, context: Context) -> None:
        """Say where the state of the work is, as soon as there is some."""
        if started.work_request_id is not None:
            from airflow_provider_oac.client.calls import API_BASE, segment

            address = f"{self.hook.settings.address}{API_BASE}/workRequests/{segment(started.work_request_id)}"
            context["ti"].xcom_push(key=OACWorkRequestLink.xcom_key, value=address)

    def _deadline(self) -> float:
        limits = [seconds(self.timeout)]
        if self.execution_timeout:
            # A little earlier than Airflow's own alarm, which knows no work request to name.
            limits.append(max(0.0, seconds(self.execution_timeout) - 2.0))
        return time.time() + min(limits)

    def _found_again(self, memory: TaskMemory) -> Started | None:
        """The work of an earlier try, if the store knows its id and it is still of use."""
        from airflow_provider_oac.client import work_requests
        from airflow_provider_oac.client.waiting import WaitPlan

        record = memory.recall()
        if not record.get("work_request_id"):
            return None
        started = Started.of(record)
        try:
            work = self.hook.run(work_requests.get(record["work_request_id"]))
        except OACError as error:
            if isinstance(error, OACApiError) and error.status == 404:
                if time.time() - started.submitted_at < WaitPlan().not_found_grace:
                    return started
                self.log.warning("OAC does not know the work request of an earlier try any more. %s", error)
                return None
            if not memory.of_this_order():
                raise
            # The wait knows what passes and what does not.
            self.log.warning("The work request of an earlier try cannot be read yet, waiting for it: %s", error)
            return started
        if work.status == work_requests.SUCCEEDED:
            if not memory.of_this_order():
                self.log.info("Work request %s succeeded before the task was cleared; starting anew.", work.id)
                return None
            self.log.info("Work request %s of an earlier try succeeded; nothing is sent again.", work.id)
        elif work.status in work_requests.ENDED:
            self.log.info("Work request %s of an earlier try ended %s; starting anew.", work.id, work.status)
            self.clean_up(started, memory)
            return None
        else:
            self.log.info("Work request %s of an earlier try is %s; waiting for it.", work.id, work.status)
        return started
