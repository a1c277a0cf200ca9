"""Work that takes time: it follows the wall clock, reports progress, and continues after a restart."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from oac_simulator.clock import Clock
from oac_simulator.faults import Fault
from oac_simulator.ids import encoded
from oac_simulator.settings import Settings
from oac_simulator.store import Record, Table

log = logging.getLogger(__name__)

#: Fraction of its duration that a work request stays ACCEPTED.
_ACCEPTED_SHARE = 0.15


class WorkFailed(Exception):
    """A job fails, and its work request ends as FAILED.

    :param code: code of the work request's error.
    :param message: message of that error.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.errors = [{"code": code, "message": message}]


#: Carries out a work request and returns its resources.
Job = Callable[[Record], Awaitable[list[Record]]]
#: Called with the work request when work fails or is canceled.
Undo = Callable[[Record], None]


class WorkEngine:
    """Starts, finishes and reports work requests.

    :param settings: the duration of work, and the resources that a finished work request lists.
    :param clock: the time that work requests show.
    :param records: the table of work requests.
    """

    def __init__(self, settings: Settings, clock: Clock, records: Table) -> None:
        self._settings, self._clock, self._records = settings, clock, records
        self._jobs: dict[str, tuple[Job, Undo | None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last_number = 3_962_653

    def register(self, kind: str, job: Job, undo: Undo | None = None) -> None:
        """Register the functions for this kind of work, called when its time is over."""
        self._jobs[kind] = (job, undo)

    def start(
        self,
        instance: str,
        user: str,
        operation: str,
        resource_type: str,
        job: Record,
        *,
        fault: Fault | None = None,
        seconds: float | None = None,
    ) -> str:
        """Accept work and schedule it.

        :param instance: name of the instance.
        :param user: the user who started it.
        :param operation: the `operationType`.
        :param resource_type: the `resourceType`.
        :param job: `kind`, as registered, and the parameters.
        :param fault: an injected fault; `fail_work` makes the work fail.
        :param seconds: its duration; None for the setting.
        :returns: ID of the work request, in one of the two observed forms.
        """
        errors = None
        if fault is not None and fault.fault == "fail_work":
            errors = fault.errors or [{"code": "InternalError", "message": "Failure ordered by a test"}]
        work_id = self._new_id(operation)
        record = {
            "id": work_id, "instance": instance, "user": user, "operation": operation, "plain": job.get("plain"),
            "resource_type": resource_type, "job": job, "ordered_errors": errors, "status": None,
            "accepted": time.time(), "finished": None, "resources": [], "errors": [],
            "seconds": self._settings.work_seconds if seconds is None else seconds,
        }  # fmt: skip
        self._records.put(work_id, record)
        self._schedule(record)
        return work_id

    def _new_id(self, operation: str) -> str:
        """Return an ID in the observed form; IDs of exports encode a pair of numbers (documented in an example)."""
        self._last_number += 1
        first = secrets.randbelow(90_000) + 10_000
        if operation == "CREATE_WORKBOOK_EXPORT":
            pair = f"'cp:{first}'.'ce:{self._last_number}'"
            return f"biwj-{encoded(pair)}"
        return f"lfc-cc:{first}-c9:{self._last_number}"

    async def finish(self, record: Record, status: str, errors: list[Record] | None = None) -> None:
        """End work now, as a person or a failure of the server would.

        :param record: the work request, which must be running.
        :param status: SUCCEEDED (the job is carried out), FAILED or CANCELED.
        :param errors: errors that a failed work request reports.
        """
        ordered = errors or [{"code": "InternalError", "message": "Failure ordered by a test"}]
        bad = {"FAILED": ordered, "CANCELED": []}.get(status)
        self._tasks.pop(record["id"]).cancel()
        now = {**record, "seconds": time.time() - record["accepted"], "ordered_errors": bad, "ordered_status": status}
        self._records.put(record["id"], now)
        self._schedule(now)
        await asyncio.wait([self._tasks[record["id"]]])

    def resume(self) -> None:
        """Resume the work that was running when the simulator stopped."""
        self._last_number += len(self._records)
        for record in self._records:
            if record["status"] is None:
                self._schedule(record)

    async def stop(self) -> None:
        """Stop all running work but keep its records, so a restart resumes it."""
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def running(self, instance: str, operation: str) -> bool:
        """Return whether such work is running."""
        return any(
            record["status"] is None and record["instance"] == instance and record["operation"] == operation
            for record in self._records
        )

    def _schedule(self, record: Record) -> None:
        task = asyncio.get_running_loop().create_task(self._run(record))
        self._tasks[record["id"]] = task

        def forget(done: asyncio.Task[None]) -> None:
            if self._tasks.get(record["id"]) is done:
                del self._tasks[record["id"]]

        task.add_done_callback(forget)

    async def _run(self, record: Record) -> None:
        await asyncio.sleep(max(0.0, record["accepted"] + record["seconds"] - time.time()))
        job, undo = self._jobs[record["job"]["kind"]]
        resources: list[Record] = []
        errors = record["ordered_errors"]
        if errors is None:
            try:
                resources = await job(record)
            except WorkFailed as failure:
                errors = failure.errors
            except Exception as failure:  # the work must end after any error
                log.exception("Work request %s met a problem of the simulator", record["id"])
                errors = [{"code": "InternalError", "message": f"The simulator failed: {failure}"}]
        if errors is not None and undo is not None:
            undo({**record, "errors": errors})
        # Discard the parameters, which contain passwords and are no longer needed.
        done = {
            **record, "job": {"kind": record["job"]["kind"]}, "resources": resources, "errors": errors or [],
            "status": self._end(record, errors), "finished": time.time(),
        }  # fmt: skip
        self._records.put(record["id"], done)

    @staticmethod
    def _end(record: Record, errors: list[Record] | None) -> str:
        if errors is None:
            return "SUCCEEDED"
        return "CANCELED" if record.get("ordered_status") == "CANCELED" else "FAILED"

    def report(self, record: Record) -> dict[str, Any]:
        """Return the work request as the REST API shows it."""
        iso = self._clock.iso
        body: dict[str, Any] = {
            "id": record["id"],
            "operationType": record["operation"],
            "status": record["status"],
            "percentComplete": 100.0,
            "resourceType": record["resource_type"],
            "timeAccepted": iso(record["accepted"]),
        }
        seconds = record["seconds"]
        if record["status"] is None:
            share = (time.time() - record["accepted"]) / seconds if seconds > 0 else 1.0
            accepted = share < _ACCEPTED_SHARE
            body["status"] = "ACCEPTED" if accepted else "IN_PROGRESS"
            body["percentComplete"] = 0.0 if accepted else round(min(99.0, 100.0 * share), 1)
        if body["status"] != "ACCEPTED":
            body["timeStarted"] = iso(record["accepted"] + seconds * _ACCEPTED_SHARE)
        if record["finished"] is not None:
            body["timeFinished"] = iso(record["finished"])
            self._outcome(record, body)
        return body

    def _outcome(self, record: Record, body: dict[str, Any]) -> None:
        if record["status"] == "FAILED":
            body["Errors"] = record["errors"]
        elif record["status"] == "CANCELED":
            body["percentComplete"] = 50.0
        elif self._settings.work_resources == "full":
            body["resources"] = record["resources"]
        elif self._settings.work_resources == "no_id":
            body["resources"] = [
                {name: value for name, value in resource.items() if name != "id"} for resource in record["resources"]
            ]
