"""Copy the workbooks of a development folder into a production folder of the same instance, and keep the former ones.

The DAG first copies the production folder into a dated folder. Then each workbook of development replaces the one with
the same name, and the readers get their permissions on the folder and everything below it. Workbooks that exist only in
production stay unchanged. Start the DAG by hand; its params name the folders.

Needs the Connection ``oac_default`` (type ``oac``) of a user who may write into the folders and change their
permissions.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.acl import OACUpdateACLOperator
from airflow_provider_oac.operators.catalog import (
    OACCopyCatalogItemOperator,
    OACCreateFolderOperator,
    OACListCatalogOperator,
)

DEVELOPMENT, PRODUCTION = "{{ params.development }}", "{{ params.production }}"
KEPT = "/@Catalog/shared/Before"
# The readers of production. The permissions of all other accounts stay unchanged.
READERS = [{"account": "DV Consumer", "account_type": "ApplicationRole", "permissions": ["read", "list", "execute"]}]

with DAG(
    dag_id="oac_copy_to_production",
    description="Workbooks of a development folder into a production folder, with a way back",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "catalog"],
    params={"development": "/@Catalog/shared/Sales", "production": "/@Catalog/shared/Production/Sales"},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    target = OACCreateFolderOperator(task_id="target", path=PRODUCTION)
    # The target folder of a copy must exist.
    kept = OACCreateFolderOperator(task_id="kept", path=KEPT)

    # The way back. A retry accepts the copy that an earlier try made and does not make a second one.
    keep = OACCopyCatalogItemOperator(
        task_id="keep",
        catalog_type="folders",
        path=PRODUCTION,
        to_folder_path=KEPT,
        new_name="{{ params.production.split('/')[-1] }} {{ dag_run.start_date | ts_nodash }}",
    )

    workbooks = OACListCatalogOperator(task_id="workbooks", folder_path=DEVELOPMENT, catalog_type="workbooks")

    # One task for each workbook, so a failed one can be cleared alone.
    copies = OACCopyCatalogItemOperator.partial(
        task_id="copy",
        catalog_type="workbooks",
        to_folder_path=PRODUCTION,
        overwrite=True,
        max_active_tis_per_dagrun=4,
        map_index_template="{{ task.path }}",
    ).expand(path=workbooks.output.map(lambda workbook: workbook["path"]))

    readers = OACUpdateACLOperator(
        task_id="readers",
        catalog_type="folders",
        path=PRODUCTION,
        entries=READERS,
        recursive=True,
    )

    [target, kept] >> keep >> copies >> readers
    keep >> workbooks
