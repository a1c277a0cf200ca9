"""What is checked before a restore is sent. What is refused here fails the task for good: a retry changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowFailException
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.operators.register import origin_facts

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.flows.restore import RestoreFacts
    from airflow_provider_oac.client.rest.snapshots import Snapshot
    from airflow_provider_oac.hooks.oac import OACHook


def refuse_run(context: Context, allowed: Sequence[str]) -> None:
    """Refuse DAG runs that nobody started on purpose, such as those of a backfill or a schedule.

    Airflow before 3.3 gives a run that another DAG triggered the type ``manual``, and nothing in the context tells it
    from one that a person started: only an approval stops it there.

    :param allowed: the types of DAG runs that may restore.
    """
    run_type = getattr(context["dag_run"], "run_type", None)
    kind = str(getattr(run_type, "value", run_type))
    if kind not in allowed:
        raise AirflowFailException(
            f"A restore replaces the whole instance, so only runs of the type {', '.join(allowed)} may start one. This "
            f"DAG run is of the type {kind!r}. Nothing was sent. Start a run manually, or add the type to "
            "allowed_run_types."
        )


def refuse_other_target(expected_host: str, hook: OACHook) -> None:
    """Refuse any instance but the one that is meant."""
    try:
        lazy.restore.check_target(expected_host, hook.settings.address)
    except OACConfigurationError as error:
        raise AirflowFailException(str(error)) from None


def facts_of_restore(
    hook: OACHook,
    *,
    snapshot: Mapping[str, Any] | None,
    snapshot_id: str | None,
    seal_conn_id: str | None,
    expected_system: str | None,
) -> RestoreFacts:
    """What is known of a restore before it is sent: target, snapshot, and whose password opens it."""
    try:
        found = hook.run(lazy.system.get())
        lazy.restore.check_system(expected_system, found)
        item = _find(hook, snapshot, snapshot_id)
        address = hook.settings.address
        origin = origin_facts(item.name)
        facts = lazy.restore.RestoreFacts(
            item.id,
            item.name,
            address,
            address.partition("://")[2],
            found.description or found.service_instance_key,
            origin["source_instance"],
            origin["taken_at"],
            seal_conn_id or lazy.restore.seal_of(item),
        )
        opening_passwords(facts)
    except OACConfigurationError as error:
        raise AirflowFailException(str(error)) from None
    return facts


def _find(hook: OACHook, snapshot: Mapping[str, Any] | None, snapshot_id: str | None) -> Snapshot:
    known = snapshot or {}
    wanted = snapshot_id or known.get("snapshot_id")
    if bool(snapshot) == bool(snapshot_id) or not isinstance(wanted, str):
        raise OACConfigurationError(
            "Give either snapshot (the result of the task that registered it in this instance) or snapshot_id (now "
            f"{wanted!r}). Nothing was restored."
        )
    try:
        found: Snapshot = hook.run(lazy.snapshots.get(wanted))
    except OACApiError as error:
        if error.status != 404:
            raise
        raise OACConfigurationError(
            f"{hook.settings.address} lists no snapshot {wanted}. Nothing was restored. Register the snapshot in this "
            "instance first (OACRegisterSnapshotOperator with this Connection): the ids of other instances are not "
            f"valid here. OAC's error: {error}"
        ) from error
    return found


def opening_passwords(facts: RestoreFacts) -> tuple[str, ...]:
    """The password that opens the snapshot, in the forms to try one after the other.

    :raises OACConfigurationError: naming the Connection that should hold it.
    """
    try:
        return lazy.credentials.sealed_with(facts.seal)
    # Airflow's error for a missing Connection has another class in each line.
    except Exception as error:
        raise OACConfigurationError(
            f"Snapshot {facts.name} was sealed with the password of the Airflow Connection {facts.seal!r}, which "
            f"cannot be read: {error} Nothing was restored. Create that Connection again with its former password, or "
            "set seal_conn_id to a Connection that holds that password."
        ) from None
