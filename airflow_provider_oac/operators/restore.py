"""The operator that restores a snapshot."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException, Context
from airflow_provider_oac.arguments import DEFAULT_FOLDER, EMPTY, CatalogPath, Duration, Template, path_text, seconds
from airflow_provider_oac.exceptions import (
    OACApiError,
    OACConfigurationError,
    OACError,
    OACKilledError,
    OACUncertainError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.base import OTHER_VERSION, no_retry
from airflow_provider_oac.operators.snapshot_base import SnapshotArguments, SnapshotOperator, origin_facts
from airflow_provider_oac.operators.task_state import Started, Succeeded, TaskState
from airflow_provider_oac.triggers.oac import OACReadyTrigger, carried_by

# The two phases of a restore, each with its own work request.
SAFETY, RESTORE = "safety snapshot", "restore"
# Maximum number of safety snapshots to take until the task sees one succeed.
_SAFETY_SNAPSHOTS = 3


class OACRestoreSnapshotOperator(SnapshotOperator):
    """Restores a snapshot. This **replaces the whole instance and cannot be undone**, except by an earlier snapshot.

    The task does this in order: refuse DAG runs that are not of an allowed type, and any instance other than
    ``expected_host``; find the snapshot and its password; take a safety snapshot of the target and see it succeed; send
    the restore, once; wait for it; wait until the instance answers again and its search index is ready.

    **A restore is never sent twice.** A retry or a Clear reattaches to a restore that OAC accepted. If its response was
    lost, the task fails without a retry and names what to check. After success, a Clear sends nothing unless
    ``approval`` has changed; if the instance was not seen ready, the Clear only checks it again. After OAC reported
    that the restore failed, a retry sends nothing, but a Clear sends the restore again; the safety snapshot from before
    the failure remains the way back. Airflow before 3.3 stores nothing from one try to the next: there, only the first
    try of a DAG run sends anything. ``retries`` is 0 unless it is set on this task; ``default_args`` do not apply.

    A restore replaces the catalog with its permissions, connections, semantic models, application roles with their
    members, and system settings. A snapshot does not contain schedules of deliveries, data of uploaded files and data
    in external sources, so these are not restored. Needs the application role BI Service Administrator (documented).

    The result (XCom) is a dictionary: ``snapshot_id``, ``name``, ``host``, ``work_request_id``, ``safety`` (the result
    of the safety snapshot, or ``None``), ``safety_after_failure`` (the result of the additional safety snapshot that
    is taken after an earlier restore of this task failed, or ``None``), ``searchable`` (whether the task saw the search
    index ready; ``None`` if this user may not search), ``seal``, ``source_instance``, ``taken_at``, ``verified``.

    :param expected_host: host of the instance whose content is replaced, with the port unless it is 443. Write it out
        or keep it in a Variable. Taken from the Connection, it would guard nothing.
    :param snapshot: the result of the task that registered or created the snapshot in this instance, such as
        ``register.output``; or
    :param snapshot_id: its id in this instance.
    :param expected_system: key or description of the target as ``GET /system`` shows it, as a second guard.
    :param seal_conn_id: Airflow Connection whose password sealed the snapshot; by default the one in the snapshot's
        name.
    :param safety_label: series of the safety snapshot. After a failed restore, a cleared task puts its safety snapshot
        into a separate series with ``-failed`` at the end, so pruning never deletes the good one in its favor.
    :param safety_bucket: bucket of the safety snapshot.
    :param safety_seal_conn_id: Airflow Connection whose password seals the safety snapshot.
    :param safety_folder: its folder in the bucket.
    :param safety_region: OCI region of its bucket, if it is not the instance's.
    :param safety_namespace: Object Storage namespace of its bucket, if it is in another tenancy.
    :param safety_storage_conn_id: Airflow Connection with an OCI user's API key for its bucket, if the instance is not
        to access it as a resource principal.
    :param without_safety_snapshot: ``True`` restores without a safety snapshot: the present content is lost for good.
    :param approval: a text that differs from one approval to the next, such as the time of the answer. A Clear after
        success restores again only if this has changed.
    :param allowed_run_types: types of DAG runs that may restore; by default only ``manual``, which a person starts.
        Others are ``scheduled``, ``backfill``, ``asset_triggered``, ``operator_triggered``. Before Airflow 3.3, a run
        that another DAG triggered also has the type ``manual`` and passes: put an approval before the restore.
    :param ready_timeout: how long the instance may take, after the restore, to answer and to build its search index.
    :param confirmation_timeout: how long, in seconds, the task searches OAC's list for a safety snapshot whose
        acceptance is uncertain.
    """

    expected_host: Template[str]
    snapshot: Template[Mapping[str, Any] | None] = None
    snapshot_id: Template[str | None] = None
    expected_system: Template[str | None] = None
    seal_conn_id: Template[str | None] = None
    safety_label: Template[str] = "before-restore"
    safety_bucket: Template[str | None] = None
    safety_seal_conn_id: Template[str | None] = None
    safety_folder: Template[Annotated[CatalogPath, EMPTY]] = DEFAULT_FOLDER
    safety_region: Template[str | None] = None
    safety_namespace: Template[str | None] = None
    safety_storage_conn_id: Template[str | None] = None
    without_safety_snapshot: bool = False
    approval: Template[Annotated[str, EMPTY] | None] = None
    allowed_run_types: Sequence[str] = ("manual",)
    ready_timeout: Duration = timedelta(minutes=30)

    # A DAG's default arguments are meant for tasks that are safe to retry.
    _airflow_defaults: ClassVar[dict[str, Any]] = {"retries": 0}

    facts_class = ("restore", "RestoreFacts")
    must_wait = "a restore comes after its safety snapshot"

    def _begin(self, context: Context) -> Any:
        """Refuse a wrong run or instance, else begin."""
        refuse_run(context, self.allowed_run_types)
        self._refuse_other_target(self.expected_host)
        return super()._begin(context)

    def _refuse_other_target(self, expected: str) -> None:
        """Refuse any instance other than the expected one."""
        with no_retry(OACConfigurationError):
            lazy.restore.check_target(expected, self.hook.settings.address)

    # -- what an earlier try did

    def _found_again(self, state: TaskState) -> Started | None:
        """The work of an earlier try, of this order or of one before a Clear.

        :raises AirflowFailException: if an earlier try may have sent the restore and that cannot be determined.
        """
        if state.unreadable or (not state.available and (state.interrupted or state.key.try_number > 1)):
            raise AirflowFailException(
                "This is not the first try of this task in its DAG run, and nothing shows whether an earlier try sent "
                "the restore: Airflow before 3.3 and durable=False store no record, and an upgrade may make it "
                f"unreadable. Nothing is sent. {lazy.restore.what_to_check(self.expected_host)}"
            )
        started = self._started(state.recall())
        if started is None or started.facts.work != RESTORE:
            # After a Clear, templates may name another snapshot, so a safety snapshot that was started does not count.
            return super()._found_again(state) if state.repeated else None
        if not started.work_request_id:
            raise AirflowFailException(
                f"An earlier try sent the restore of snapshot {started.facts.name}; its response was lost, so OAC may "
                f"have accepted it. Nothing is sent again. {lazy.restore.what_to_check(self.expected_host)}"
            )
        return self._restore_found(started, state)

    def _restore_found(self, started: Started, state: TaskState) -> Started | None:
        """Decide what to do with a restore that OAC accepted from an earlier try; ``None`` to send it anew.

        :raises AirflowFailException: if it must not be sent again.
        """
        # The first is true for a retry, and false after a Clear.
        repeated, name = state.repeated, started.facts.name
        try:
            work = self.hook.run(lazy.work_requests.get(str(started.work_request_id)))
        except OACKilledError:
            raise
        except OACError as error:
            self.log.warning("Could not read the restore of an earlier try; waiting for it: %s", error)
            return started
        if work.status == lazy.work_requests.SUCCEEDED and not repeated:
            if self.approval and self.approval != started.facts.approval:
                self.log.info("The earlier restore had another approval (%s). Restoring again.", started.facts.approval)
                return None
            if not state.recall().checked and self._wanted_id() == started.facts.snapshot_id:
                self.log.info("This task has restored snapshot %s (work request %s), but did not see the instance "
                              "ready. It only checks that now, and sends nothing.", name, work.id)  # fmt: skip
                return started
            raise AirflowFailException(
                f"This task has already restored snapshot {name} (work request {work.id} succeeded), under the same "
                "approval. Nothing is sent again. Next step: to restore once more, start a new DAG run, or also clear "
                "the approval, so it is given again (see docs/restore.md)."
            )
        if work.status in (lazy.work_requests.FAILED, lazy.work_requests.CANCELED):
            if repeated:
                errors = "; ".join(work.errors) or "OAC gave no reason"
                raise AirflowFailException(
                    f"The restore of an earlier try ended {work.status} (work request {work.id}): {errors}. A retry "
                    "does not send it again. Next step: remove the cause, then clear the task."
                )
            self.log.info("The earlier restore ended %s. The task was cleared, so it restores again.", work.status)
            if safety := started.facts.safety:
                state.remember(way_back={"address": started.facts.address, "safety": safety})
            return None
        if not repeated and self._wanted_id() != started.facts.snapshot_id:
            raise AirflowFailException(
                f"Before it was cleared, this task sent the restore of snapshot {name}, which is still {work.status} "
                f"(work request {work.id}) and cannot be canceled. Nothing is sent. Next step: wait until it ends, "
                "then start a new DAG run for the other snapshot."
            )
        self.log.info("The restore of an earlier try is %s (work request %s).", work.status, work.id)
        return started

    def _wanted_id(self) -> Any:
        return self.snapshot_id or (self.snapshot or {}).get("snapshot_id")

    # -- the safety snapshot

    def start(self, state: TaskState, context: Context) -> Started:
        """Check all that can be checked, and take the safety snapshot. If none is needed, send the restore."""
        with no_retry(OACConfigurationError):
            facts = self._facts()
        self.log.warning(
            "This REPLACES the content of %s (%s) by snapshot %s of %s, taken at %s. Replaced: %s. Not in a snapshot, "
            "so not restored: %s. Only an earlier snapshot can undo this.",
            facts.host, facts.system, facts.name, facts.source_instance or "an unknown instance",
            facts.taken_at or "an unknown time", lazy.restore.REPLACED, lazy.restore.NOT_SAVED,
        )  # fmt: skip
        if way_back := self._way_back(facts, state):
            facts = replace(facts, safety=way_back, after_failure=True)
        if self.without_safety_snapshot:
            self.log.warning("Restoring without a safety snapshot: the present content of %s is lost.", facts.host)
            return self._submit(facts, state)
        record = state.of_this_order()
        # Compare the address, since the Connection may have been edited in the meantime.
        if (safety := record.safety) and record.safety_of == facts.address:
            self.log.info("Using the safety snapshot %s of an earlier try, which is complete.", safety["name"])
            return self._submit(_with_safety(facts, safety), state)
        return self._safety_snapshot(facts, state)

    def _facts(self) -> lazy.restore.RestoreFacts:
        """The facts before anything is sent: target, snapshot, and the Connection whose password opens it."""
        found = self.hook.run(lazy.system.get())
        lazy.restore.check_system(self.expected_system, found)
        item, address = self._found_snapshot(), self.hook.settings.address
        origin = origin_facts(item.name)
        system, seal = found.description or found.service_instance_key, self.seal_conn_id or lazy.restore.seal_of(item)
        facts = lazy.restore.RestoreFacts(
            item.id, item.name, address, address.partition("://")[2], system, origin["source_instance"],
            origin["taken_at"], seal,
        )  # fmt: skip
        opening_passwords(facts)
        return facts

    def _found_snapshot(self) -> lazy.snapshots.Snapshot:
        wanted = self._wanted_id()
        if bool(self.snapshot) == bool(self.snapshot_id) or not isinstance(wanted, str):
            raise OACConfigurationError(
                "Give either snapshot (the result of the task that registered it in this instance) or snapshot_id (now "
                f"{wanted!r}). Nothing was restored."
            )
        try:
            return self.hook.run(lazy.snapshots.get(wanted))
        except OACApiError as error:
            if error.status != 404:
                raise
            raise OACConfigurationError(
                f"{self.hook.settings.address} lists no snapshot {wanted}. Nothing was restored. Likely cause: the id "
                "is of another instance. Next step: register the snapshot in this instance "
                f"(OACRegisterSnapshotOperator with this Connection). OAC's error: {error}"
            ) from error

    def _way_back(self, facts: lazy.restore.RestoreFacts, state: TaskState) -> dict[str, Any] | None:
        """The safety snapshot of an earlier restore that failed. One taken now would contain what the failure left."""
        way_back = state.recall().way_back
        if not way_back or way_back["address"] != facts.address:
            return None
        state.remember(way_back=way_back)
        safety: dict[str, Any] = way_back["safety"]
        self.log.warning(
            "An earlier restore of this task failed, and %s may hold a part of it. To go back to the content before "
            "it, restore safety snapshot %s (%s).", facts.host, safety["name"], safety["snapshot_id"],
        )  # fmt: skip
        return safety

    def _safety_snapshot(self, facts: lazy.restore.RestoreFacts, state: TaskState) -> Started:
        new = self._new_safety(facts)
        unverified: list[str] = []
        for _ in range(_SAFETY_SNAPSHOTS):
            created = self._create(new, state, unverified)
            if created.work_request_id:
                return created._replace(facts=replace(facts, work=SAFETY, taking=created.facts))
            name = created.facts.name
            self.log.warning("Safety snapshot %s may be incomplete: its work request is unknown. Taking another.", name)
            unverified.append(name)
            state.remember(failed=(*state.of_this_order().failed, name))
        raise OACError(
            f"None of {_SAFETY_SNAPSHOTS} safety snapshots of {facts.host} was seen to succeed. The restore was not "
            "sent. Next step: check the instance, then clear the task."
        )

    def _new_safety(self, facts: lazy.restore.RestoreFacts) -> SnapshotArguments:
        if not self.safety_bucket or not self.safety_seal_conn_id:
            raise AirflowFailException(
                "A safety snapshot of the target needs safety_bucket and safety_seal_conn_id. Nothing was sent. Only "
                "without_safety_snapshot=True restores without one."
            )
        label = f"{self.safety_label}-failed" if facts.after_failure else self.safety_label
        place = self.safety_bucket, path_text(self.safety_folder), self.safety_region, self.safety_namespace
        return SnapshotArguments(label, self.safety_seal_conn_id, *place, self.safety_storage_conn_id, SAFETY)

    # -- the restore

    def tolerated(self, started: Started) -> tuple[int, ...]:
        """HTTP statuses to ignore: during a restore, OAC may log all users out or not know its own work request."""
        return lazy.restore.TOLERATED if started.facts.work == RESTORE else ()

    def complete(self, started: Started, work: Succeeded, context: Context) -> Any:
        """After the safety snapshot, send the restore. After the restore, wait until the instance is ready."""
        state, facts = self._state(context), started.facts
        if facts.work == SAFETY:
            safety = self._created(facts.taking, started.work_request_id, work)
            state.remember(safety=safety, safety_of=facts.address, work_request_id=None, facts=None, sending=False)
            return self._submit(_with_safety(facts, safety), state)
        self.log.info(
            "Snapshot %s is restored in %s. Not restored: %s.", facts.name, facts.host, lazy.restore.NOT_SAVED
        )
        deadline = time.time() + seconds(self.ready_timeout)
        if self._latest is not None:
            deadline = min(deadline, self._latest)
        if self.deferrable:
            if ready := self.hook.run(lazy.restore.ready_now()):
                return self._result(started, ready, state)
            self._defer(OACReadyTrigger(**self._trigger_arguments(started, deadline)), "resume_ready")
        return self._checked(started, deadline, 300.0, state)

    def resume_ready(self, context: Context, event: dict[str, Any] | None) -> Any:
        """Resume after the wait for the instance in the triggerer: check it once more."""
        started = self._carried_on(carried_by(event))
        if started is None:
            return self._search_again(context, OTHER_VERSION)
        return self._checked(started, self._until, 0.0, self._state(context))

    def _submit(self, facts: lazy.restore.RestoreFacts, state: TaskState) -> Started:
        """Send the restore. If OAC may have accepted it, it is never sent again."""
        # The Connection may have been edited during the safety snapshot.
        self._refuse_other_target(facts.address)
        self._refuse_other_target(self.expected_host)
        with no_retry(OACConfigurationError):
            passwords = opening_passwords(facts)
        facts = replace(facts, work=RESTORE, approval=self.approval)
        intent = {"submitted_at": time.time(), "facts": facts.to_json(), "checked": False}
        # The Connection may have been edited in the meantime and have fewer forms now.
        password = passwords[min(facts.form, len(passwords) - 1)]
        wanted = lazy.restore.Restore(facts.snapshot_id, password, facts.host)
        try:
            # If OAC certainly refused it, the record is taken back, and a retry may send the restore.
            with no_retry(OACUncertainError):
                accepted = self.hook.run(lazy.submit.submit_once(wanted, state.attempts(lambda _clue: intent)))
        except OACError as error:
            if not self._has_other_form(facts, error):
                raise
            return self._submit(replace(facts, form=1), state)
        self.log.info("OAC accepted the restore of %s as work request %s.", facts.name, accepted)
        return Started(accepted, time.time(), facts)

    def _finish(self, started: Started, context: Context) -> Any:
        try:
            return super()._finish(started, context)
        except OACWorkRequestError as error:
            if started.facts.work != RESTORE or not self._has_other_form(started.facts, error):
                raise
        return self._submit(replace(started.facts, form=1), self._state(context))

    def _has_other_form(self, facts: lazy.restore.RestoreFacts, error: OACError) -> bool:
        """Whether OAC refused the password and another form of it is left: without the line break at its end."""
        if facts.form or "password" not in str(error).lower() or len(opening_passwords(facts)) < 2:
            return False
        self.log.warning(
            "OAC refused the password of the Airflow Connection %s, which ends in a line break. Trying it without the "
            "line break. OAC's error: %s", facts.seal, error,
        )  # fmt: skip
        return True

    def clean_up(self, started: Started, state: TaskState) -> None:
        """Remove a failed safety snapshot. After a failed restore, log the way back."""
        facts, safety = started.facts, started.facts.safety
        if facts.work == SAFETY:
            self._forget_failed(facts.taking.name, state, delete_storage=True)
            return
        next_step = "There is no safety snapshot to go back to."
        if safety:
            next_step = f"To go back, restore the safety snapshot {safety['name']} ({safety['snapshot_id']})."
        self.log.error(
            "The restore failed. %s may now hold a part of snapshot %s. %s", facts.host, facts.name, next_step
        )

    def _checked(self, started: Started, deadline: float, refusal_patience: float, state: TaskState) -> dict[str, Any]:
        facts = started.facts
        plan = lazy.polling.WaitPlan(deadline=deadline, longest_pause=seconds(self.poll_interval))
        flow = lazy.restore.ready_again(plan, refusal_patience=refusal_patience)
        try:
            with self._stopping(
                f"Snapshot {facts.name} is restored in {facts.host} (work request {started.work_request_id}), but the "
                "task did not see the instance ready. The next try only checks it, and sends nothing."
            ):
                ready = self.hook.run(flow)
        except OACApiError as error:
            raise OACError(
                f"Snapshot {facts.name} is restored in {facts.host}, but OAC now refuses this user. Likely cause: the "
                "restore replaced the members of the application roles. Next step: give the user BI Service "
                "Administrator again (OAC, Console, Users and Roles), then clear this task, which only checks the "
                f"instance (before Airflow 3.3: mark it as success). Do not restore again. OAC's error: {error}"
            ) from error
        return self._result(started, ready, state)

    def _result(self, started: Started, ready: lazy.restore.Readiness, state: TaskState) -> dict[str, Any]:
        facts = started.facts
        self.log.info("%s is ready again: %s.", facts.host, ready.system.description)
        state.remember(checked=True, way_back=None)
        names = "snapshot_id name host seal source_instance taken_at safety safety_after_failure"
        return {
            **{name: getattr(facts, name) for name in names.split()},
            "work_request_id": started.work_request_id,
            "searchable": ready.searchable,
            "verified": True,
        }


def _with_safety(facts: lazy.restore.RestoreFacts, safety: dict[str, Any]) -> lazy.restore.RestoreFacts:
    """Return the facts with the safety snapshot that was taken now."""
    if facts.after_failure:
        return replace(facts, taking=None, safety_after_failure=safety)
    return replace(facts, taking=None, safety=safety)


def refuse_run(context: Context, allowed: Sequence[str]) -> None:
    """Refuse DAG runs of other types, such as those of a backfill or a schedule.

    Airflow before 3.3 gives a run that another DAG triggered the type ``manual``, and nothing in the context
    distinguishes it from one that a person started: only an approval stops it there.

    :param allowed: the types of DAG runs that may restore.
    """
    run_type = getattr(context["dag_run"], "run_type", None)
    kind = str(getattr(run_type, "value", run_type))
    if kind not in allowed:
        raise AirflowFailException(
            f"This DAG run is of the type {kind!r}, but only runs of the type {', '.join(allowed)} may restore. "
            "Nothing was sent. Next step: start a run manually, or add the type to allowed_run_types."
        )


def opening_passwords(facts: lazy.restore.RestoreFacts) -> tuple[str, ...]:
    """The password that opens the snapshot, in the forms to try in order.

    :raises OACConfigurationError: naming the Connection that should hold it.
    """
    try:
        return lazy.credentials.sealed_with(facts.seal)
    # The class of Airflow's error for a missing Connection differs between versions.
    except Exception as error:
        raise OACConfigurationError(
            f"Snapshot {facts.name} was sealed with the password of the Airflow Connection {facts.seal!r}, which "
            f"cannot be read: {error} Nothing was restored. Next step: create that Connection again with its former "
            "password, or set seal_conn_id to a Connection with that password."
        ) from None
