"""Every Monday, write all permissions of shared items to a file, and log what changed since the last time.

Needs the Connection ``oac_default`` (type ``oac``) of an administrator, who sees everything. The Variable
``oac_audit_folder`` names the folder for the files: any URL of Airflow's ``ObjectStoragePath``, such as
``s3://aws_default@audit/oac``; the provider of that store must be installed.
"""

from __future__ import annotations

import csv
import io
import logging
from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG, ObjectStoragePath, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.io.path import ObjectStoragePath

from airflow_provider_oac.operators.acl import OACAuditACLOperator

FOLDER = "{{ var.value.get('oac_audit_folder', 'file:///tmp/oac-audit') }}"
# The start of the run: in Airflow 3, a run that was triggered by hand has no other date.
MOMENT = "{{ dag_run.start_date | ts_nodash }}"
# Maximum number of changes to log; the files contain all of them.
SHOWN = 100


def grants(file: ObjectStoragePath) -> set[str]:
    """Every permission of every account on every item, as one line each."""
    # Read as a whole, since the files that Airflow 2.11 opens cannot be read line by line.
    return {
        f"{row['path']} ({row['type']}): {row['account_type']} {row['account']} may {permission}"
        for row in csv.DictReader(io.StringIO(file.read_text()))
        for permission, allowed in row.items()
        if allowed == "true"
    }


@task
def compare(path: str) -> dict[str, int]:
    """Compare with the previous audit in the folder, if there is one."""
    log, new = logging.getLogger("airflow.task"), ObjectStoragePath(path)
    earlier = sorted(file.name for file in new.parent.iterdir() if "acl-" <= file.name < new.name)
    if not earlier:
        log.info("There is no earlier audit to compare with.")
        return {"granted": 0, "revoked": 0}
    before, after = grants(new.parent / earlier[-1]), grants(new)
    for sign, lines in (("+", after - before), ("-", before - after)):
        for line in sorted(lines)[:SHOWN]:
            log.warning("%s %s", sign, line)
    return {"granted": len(after - before), "revoked": len(before - after)}


with DAG(
    dag_id="oac_acl_audit",
    description="Who may do what in the catalog, as CSV, and what changed",
    schedule="0 5 * * 1",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "audit"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    # If the user may not read the permissions of an item, the file records the error, and so lists every item.
    audit = OACAuditACLOperator(
        task_id="audit",
        folder_path="/@Catalog/shared",
        destination=f"{FOLDER}/acl-{MOMENT}.csv",
        manage_content=True,
        unreadable="record",
    )

    compare("{{ ti.xcom_pull('audit')['path'] }}") << audit
