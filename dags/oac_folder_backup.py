"""Every night, copy a catalog folder within the instance, and keep the latest copies.

A snapshot saves the whole instance, and a restore replaces the whole instance. These copies are an undo for one folder:
copy a workbook back from them. They are in the same instance, so they do not replace a backup.

Needs the Connection ``oac_default`` (type ``oac``) of an administrator. Connections, datasets and data flows are not in
folders, so they are not copied with the workbooks that use them.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_oac.operators.acl import OACUpdateACLOperator
from airflow_provider_oac.operators.catalog import (
    OACCopyCatalogItemOperator,
    OACCreateFolderOperator,
    OACDeleteFolderOperator,
    OACListCatalogOperator,
)

FOLDER, COPIES = "{{ params.folder }}", "{{ params.copies }}"
NAME = "{{ params.folder.split('/')[-1] }}"
# The start of the run: in Airflow 3, a run that was triggered by hand has no other date.
MOMENT = "{{ dag_run.start_date | ts_nodash }}"
# A limit, so a mistake in the rule cannot empty the folder in one night.
MOST_DELETED = 10

ADMINISTRATORS = {
    "account": "BI Service Administrator",
    "account_type": "ApplicationRole",
    "permissions": ["read", "list", "write", "execute", "delete", "changePermission", "takeOwnership"],
}


@task
def outdated(found: list[dict], name: str, keep: str) -> list[str]:
    """Paths of the copies to delete. Only folders with exactly the name of a copy count."""
    copies = [item for item in found if re.fullmatch(re.escape(name) + r" \d{8}T\d{6}", item["name"])]
    doomed = sorted(copies, key=lambda item: item["name"], reverse=True)[max(1, int(keep)) :]
    if len(doomed) > MOST_DELETED:
        raise ValueError(f"{len(doomed)} copies would be deleted, more than {MOST_DELETED}; none was.")
    return [item["path"] for item in doomed]


with DAG(
    dag_id="oac_folder_backup",
    description="Dated copies of a catalog folder, with retention",
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "backup", "catalog"],
    params={"folder": "/@Catalog/shared/Sales", "copies": "/@Catalog/shared/Copies", "keep": 7},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    place = OACCreateFolderOperator(task_id="place", path=COPIES)

    # Only administrators see the copies: ReplaceAll removes all other accounts.
    protect = OACUpdateACLOperator(
        task_id="protect", catalog_type="folders", path=COPIES, entries=[ADMINISTRATORS], mode="ReplaceAll"
    )

    copy = OACCopyCatalogItemOperator(
        task_id="copy", catalog_type="folders", path=FOLDER, to_folder_path=COPIES, new_name=f"{NAME} {MOMENT}"
    )

    copies = OACListCatalogOperator(task_id="copies", folder_path=COPIES, catalog_type="folders")

    # One task for each copy to delete. Without any, Airflow skips the task.
    delete = OACDeleteFolderOperator.partial(
        task_id="delete",
        recursive=True,
        map_index_template="{{ task.path }}",
    ).expand(path=outdated(copies.output, NAME, "{{ params.keep }}"))

    place >> protect >> copy >> copies
