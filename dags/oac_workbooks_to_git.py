"""Every night, commit the definitions of workbooks to Git, so the history shows what changed and when.

A snapshot of OAC is one sealed file. These are JSON files, one for each workbook: canvases, visualizations and
calculations, without data. Importing a definition into OAC is not supported.

Needs the Connection ``oac_default`` (type ``oac``) of a user who may read the workbooks, and a checkout of a repository
on the worker, with the right to push. The Variable ``oac_git_checkout`` names the checkout. All tasks must run on the
same worker: if there are several workers, give the tasks a separate queue.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2.11
    from airflow.operators.bash import BashOperator
try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_oac.operators.sql import OACWorkbookBackupOperator

CHECKOUT = "{{ var.value.get('oac_git_checkout', '/tmp/oac-workbooks') }}"

with DAG(
    dag_id="oac_workbooks_to_git",
    description="Definitions of workbooks in a Git repository",
    schedule="0 1 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["oac", "sql", "backup"],
    default_args={"retries": 1, "retry_delay": timedelta(minutes=5)},
):
    # Remove the files first, so deleted workbooks disappear from the repository. Git keeps their history.
    update = BashOperator(
        task_id="update",
        bash_command='cd "$CHECKOUT" && git pull --quiet --ff-only && rm -rf workbooks',
        env={"CHECKOUT": CHECKOUT},
        append_env=True,
    )

    backup = OACWorkbookBackupOperator(
        task_id="backup", folder_path="/@Catalog/shared", destination=f"{CHECKOUT}/workbooks"
    )

    commit = BashOperator(
        task_id="commit",
        bash_command="""
            cd "$CHECKOUT" && git add --all workbooks
            git diff --cached --quiet || git commit --quiet --message "Workbooks of $DAY"
            git push --quiet
        """,
        env={"CHECKOUT": CHECKOUT, "DAY": "{{ dag_run.start_date | ds }}"},
        append_env=True,
    )

    update >> backup >> commit
