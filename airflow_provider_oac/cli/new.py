"""``new``: write a DAG file for a beginner, from options or a few questions."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from string import Template
from typing import Any

from airflow_provider_oac.cli.process import CommandFailed, say, tell

HEAD = '''\
"""$SUMMARY Written by `new $KIND`: change it as you like.

Needs:
$NEEDS
"""

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

$IMPORTS

with DAG(
    dag_id=$DAG_ID,
    # Minute, hour, day of the month, month, day of the week; in UTC.
    schedule=$SCHEDULE,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    # No runs for the time before the DAG was switched on, and one run at a time.
    catchup=False,
    max_active_runs=1,
    # A retry reattaches to what the previous try started in OAC.
    default_args={"oac_conn_id": $OAC_CONN_ID, "retries": 2, "retry_delay": timedelta(minutes=5)},
):
'''
CONNECTION = "the Connection {oac_conn_id!r} of the type oac, whose user has the role {role}: docs/connect.md"
# For each kind: the questions (option, text, default), the code, and the requirements of the DAG.
KINDS: dict[str, dict[str, Any]] = {
    "backup": {
        "questions": (
            ("bucket", "Bucket for the snapshots", "oac-backups"),
            ("seal_conn_id", "Airflow Connection whose password seals the snapshots", "oac_seal"),
            ("schedule", "When to run (cron)", "0 1 * * *"),
        ),
        "summary": "Back up Oracle Analytics Cloud and delete old backups.",
        "role": "BI Service Administrator",
        "imports": "from airflow_provider_oac.operators.snapshots import "
        "OACCreateSnapshotOperator, OACPruneSnapshotsOperator",
        "code": '''\
    # deferrable=True waits in the triggerer, without a worker. Leave it out if no triggerer runs.
    backup = OACCreateSnapshotOperator(
        task_id="backup",
        snapshot_label="nightly",
        bucket=$BUCKET,
        seal_conn_id=$SEAL_CONN_ID,
        deferrable=True,
    )
    # Keeps the newest 7, and the newest of each of 4 weeks and 12 months (UTC). Deletes the others with their files.
    prune = OACPruneSnapshotsOperator(
        task_id="prune", snapshot_label="nightly", bucket=$BUCKET, keep_last=7, keep_weekly=4, keep_monthly=12
    )
    backup >> prune
''',
        "needs": (
            "the Connection {seal_conn_id!r} of any type, whose password has 14 to 50 characters with a digit, a "
            "lower-case letter, an upper-case letter and a special character",
            "the bucket {bucket!r} in OCI, with a policy for the OAC instance: docs/security.md, Bucket policies",
        ),
    },
    "export": {
        "questions": (
            ("workbook", "Path of the workbook", "/@Catalog/shared/Sales/Board"),
            ("destination", "Folder for the PDF (file:///, s3://, gs://, oci://)", "file:///tmp/oac-exports"),
            ("schedule", "When to run (cron)", "0 6 * * 1"),
        ),
        "summary": "Export a workbook of Oracle Analytics Cloud as PDF.",
        "role": "DV Content Author and may read the workbook",
        "imports": "from airflow_provider_oac.operators.workbooks import OACExportWorkbookOperator",
        "code": '''\
    # One folder for each day on which the DAG ran. The file appears when it is complete.
    OACExportWorkbookOperator(
        task_id="export",
        workbook_path=$WORKBOOK,
        destination=$DESTINATION.rstrip("/") + "/{{ dag_run.start_date.date() }}/",
        deferrable=True,
    )
''',
        "needs": ("write access to {destination}, with the Airflow provider of that store: docs/exports.md",),
    },
    "reload": {
        "questions": (
            ("dataset", "Dataset, as 'owner'.'name'", "'admin'.'Orders'"),
            ("if_running", "If it is reloading already (fail, wait, adopt)", "wait"),
            ("schedule", "When to run (cron)", "0 5 * * *"),
        ),
        "summary": "Reload the cached data of a dataset of Oracle Analytics Cloud.",
        "role": "DV Content Author",
        "imports": "from airflow_provider_oac.operators.runs import OACReloadDatasetOperator",
        "code": '''\
    # The result holds the rows, and how long it took.
    OACReloadDatasetOperator(task_id="reload", dataset=$DATASET, if_running=$IF_RUNNING, deferrable=True)
''',
        "needs": ("a dataset on a connection, with a table that OAC caches; datasets from files cannot be reloaded",),
    },
}  # fmt: skip


def new(arguments: argparse.Namespace) -> int:
    """``new``: write a DAG file."""
    kind = KINDS[arguments.kind]
    target = Path(arguments.output or f"oac_{arguments.kind}.py")
    if target.exists():
        raise CommandFailed(f"{target} already exists. Set --output to another file.")
    questions = (("oac_conn_id", "Airflow Connection of OAC", "oac_default"), *kind["questions"])
    answers = {name: getattr(arguments, name, None) or _ask(text, suggestion) for name, text, suggestion in questions}
    needs = [CONNECTION.format(role=kind["role"], **answers), *(text.format(**answers) for text in kind["needs"])]
    values = {name.upper(): _literal(value) for name, value in {**answers, "dag_id": target.stem}.items()}
    text = Template(HEAD + kind["code"]).substitute(
        values, KIND=arguments.kind, SUMMARY=kind["summary"], IMPORTS=kind["imports"],
        NEEDS="\n".join(f"- {need}" for need in needs).replace("\\", "\\\\").replace('"""', "'''"),
    )  # fmt: skip
    ast.parse(text)
    target.write_text(text)
    say(f"{target} is written. It needs:\n" + "\n".join(f"- {need}" for need in needs))
    check = f"python -m airflow_provider_oac check --oac-conn-id {answers['oac_conn_id']}"
    say(f"Next: {check}; then copy the file to the DAGs folder.")
    return 0


def _ask(question: str, suggestion: str) -> str:
    """Ask the user on a terminal; without a terminal, return the suggestion."""
    if not sys.stdin.isatty():
        return suggestion
    tell(f"{question} [{suggestion}]: ", end="")
    return sys.stdin.readline().strip() or suggestion


def _literal(value: str) -> str:
    """Return a text as a Python literal, in double quotes if the text contains none."""
    return f'"{value}"' if value.isprintable() and not set(value) & {'"', "\\"} else repr(value)
