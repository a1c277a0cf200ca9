"""When a user leaves, hand over their content in Oracle Analytics Cloud, keep their folder, and list who may see it.

The DAG deletes nothing. Start it by hand, before or after the leaver's account is deleted, with the user names of the
leaver, the heir, and the Connection's user.

Needs the Connection ``oac_default`` (type ``oac``) of an administrator. The Variable ``oac_audit_folder`` names the
folder for the list: any URL of Airflow's ``ObjectStoragePath``.
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
# Types of items that are in no folder, and are handed over one by one.
KINDS = ["connections", "datasets", "dataflows", "sequences"]


@task
def each(lists: list[list[dict]]) -> list[dict[str, str]]:
    """The arguments of each mapped task below, one for each item."""
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
    # Moving a folder needs permissions on it, and only its owner has them on a personal folder: take it over first.
    take = OACChangeOwnerOperator(
        task_id="take",
        catalog_type="folders",
        path=f"/@Catalog/users/{LEAVER}",
        new_owner="{{ params.connection_user }}",
    )

    # A retry accepts a folder that an earlier try moved.
    keep = OACMoveCatalogItemOperator(
        task_id="keep",
        catalog_type="folders",
        path=f"/@Catalog/users/{LEAVER}",
        to_folder_path=KEPT,
        create_folders=True,
    )

    # Everything that the leaver owns below, also in the moved folder. Items of other owners stay unchanged.
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

    # One task for each item. Without any, Airflow skips the task.
    OACChangeOwnerOperator.partial(
        task_id="hand_over_each",
        new_owner=HEIR,
        map_index_template="{{ task.path }}",
    ).expand_kwargs(each(owned.output))

    # A moved folder keeps its permissions. The list shows those of the leaver: revoke them if the account stays.
    who_sees_it = OACAuditACLOperator(
        task_id="who_sees_it",
        folder_path=f"{KEPT}/{LEAVER}",
        destination=f"{FOLDER}/leavers/{{{{ dag_run.start_date | ts_nodash }}}} {LEAVER}.csv",
        manage_content=True,
        unreadable="record",
    )

    # The folder itself comes last: without ownership, the Connection's user depends on the folder's permissions.
    give = OACChangeOwnerOperator(task_id="give", catalog_type="folders", path=f"{KEPT}/{LEAVER}", new_owner=HEIR)

    take >> keep >> hand_over >> who_sees_it >> give
