"""When somebody leaves: hand over what is theirs in Oracle Analytics Cloud, keep their folder, tell who sees it.

Nothing is deleted. Start it by hand, while the account of the leaver is still there or after it is gone, with the user
names of the leaver, of the heir, and of the Connection's own user.

Needs the Connection ``oac_default`` (type ``oac``) of an administrator. The list goes to the folder that the Variable
``oac_audit_folder`` names: any URL that Airflow's ``ObjectStoragePath`` takes.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_oac.operators.acl import OACAuditACLOperator
from airflow_provider_oac.operators.catalog import (
    OACChangeOwnerOperator,
    OACListCatalogOperator,
    OACMoveCatalogItemOperator,
)

LEAVER, HEIR = "{{ params.leaver }}", "{{ params.heir }}"
KEPT = "/@Catalog/shared/Leavers"
FOLDER = "{{ var.value.get('oac_audit_folder', 'file:///tmp/oac-audit') }}"
# What lies in no folder, and is handed over one by one.
KINDS = ["connections", "datasets", "dataflows", "sequences"]


@task
def each(lists: list[list[dict]]) -> list[dict[str, str]]:
    """What the mapped task below takes, one item each."""
    return [{"catalog_type": item["type"], "path": item["path"]} for found in lists for item in found]


with DAG(
    dag_id="oac_offboarding",
    description="Hand over what a leaver owns, and keep their folder",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "catalog"],
    params={"leaver": "jane.doe@example.com", "heir": "john.doe@example.com", "connection_user": "oac@example.com"},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # To move a folder its permissions count, and those of a personal one name nobody else: be its owner first.
    take = OACChangeOwnerOperator(
        task_id="take",
        catalog_type="folders",
        path=f"/@Catalog/users/{LEAVER}",
        new_owner="{{ params.connection_user }}",
    )

    # A retry finds what an earlier try moved.
    keep = OACMoveCatalogItemOperator(
        task_id="keep",
        catalog_type="folders",
        path=f"/@Catalog/users/{LEAVER}",
        to_folder_path=KEPT,
        create_folders=True,
    )

    # Everything of the leaver below, also in the folder that was moved there. What others own stays theirs.
    hand_over = OACChangeOwnerOperator(
        task_id="hand_over",
        catalog_type="folders",
        path="/@Catalog/shared",
        recursive=True,
        only_owner=LEAVER,
        new_owner=HEIR,
    )

    owned = OACListCatalogOperator.partial(
        task_id="owned",
        owned_by=LEAVER,
        manage_content=True,
        map_index_template="{{ task.catalog_type }}",
    ).expand(catalog_type=KINDS)

    # None or more: without any the task is skipped.
    OACChangeOwnerOperator.partial(
        task_id="hand_over_each",
        new_owner=HEIR,
        map_index_template="{{ task.path }}",
    ).expand_kwargs(each(owned.output))

    # Permissions move along: the leaver's own are in this list, to be taken away if the account stays.
    who_sees_it = OACAuditACLOperator(
        task_id="who_sees_it",
        folder_path=f"{KEPT}/{LEAVER}",
        destination=f"{FOLDER}/leavers/{{{{ dag_run.start_date | ts_nodash }}}} {LEAVER}.csv",
        manage_content=True,
        unreadable="record",
    )

    # The folder itself last: its permissions count for the Connection's user, too, once it is somebody else's.
    give = OACChangeOwnerOperator(task_id="give", catalog_type="folders", path=f"{KEPT}/{LEAVER}", new_owner=HEIR)

    take >> keep >> hand_over >> who_sees_it >> give
