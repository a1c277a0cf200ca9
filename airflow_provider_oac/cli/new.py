"""``new``: write a DAG file for a beginner, from options or a few questions. The folder ``templates`` has the DAGs."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from string import Template

from airflow_provider_oac.cli.process import CommandFailed, say, tell

# The questions for each kind of DAG: option, text, default.
QUESTIONS = {
    "backup": (
        ("oac_conn_id", "Airflow Connection of OAC", "oac_default"),
        ("bucket", "Bucket for the snapshots", "oac-backups"),
        ("seal_conn_id", "Airflow Connection whose password seals the snapshots", "oac_seal"),
        ("schedule", "When to run (cron)", "0 1 * * *"),
    ),
    "export": (
        ("oac_conn_id", "Airflow Connection of OAC", "oac_default"),
        ("workbook", "Path of the workbook", "/@Catalog/shared/Sales/Pipeline"),
        ("destination", "Folder for the PDF (file:///, s3://, gs://, oci://)", "file:///tmp/oac-exports"),
        ("schedule", "When to run (cron)", "0 6 * * 1"),
    ),
    "reload": (
        ("oac_conn_id", "Airflow Connection of OAC", "oac_default"),
        ("dataset", "Dataset, as 'owner'.'name'", "'admin'.'Orders'"),
        ("if_running", "If a reload is already running (fail, wait, adopt)", "wait"),
        ("schedule", "When to run (cron)", "0 5 * * *"),
    ),
}


def new(arguments: argparse.Namespace) -> None:
    """``new``: write a DAG file."""
    target = Path(arguments.output or f"oac_{arguments.kind}.py")
    if target.exists():
        raise CommandFailed(f"{target} already exists. Set --output to another file.")
    answers = {"dag_id": target.stem}
    for name, question, default in QUESTIONS[arguments.kind]:
        answers[name] = getattr(arguments, name) or _ask(question, default)
    # In a template, $BUCKET is a Python literal, and $bucket is text in the docstring.
    values = {name.upper(): _literal(value) for name, value in answers.items()}
    values |= {name: value.replace("\\", "\\\\").replace('"""', "'''") for name, value in answers.items()}
    template = Path(__file__).parent / "templates" / f"{arguments.kind}.txt"
    text = Template(template.read_text()).substitute(values)
    needs = (ast.get_docstring(ast.parse(text)) or "").partition("Needs:\n")[2]
    target.write_text(text)
    say(f"{target} is written. It needs:\n{needs}")
    say(f"Next: python -m airflow_provider_oac check --oac-conn-id {answers['oac_conn_id']}")
    say("Then copy the file to the DAGs folder.")


def _ask(question: str, default: str) -> str:
    """Ask the user on a terminal; without a terminal, return the default."""
    if not sys.stdin.isatty():
        return default
    tell(f"{question} [{default}]: ", end="")
    return sys.stdin.readline().strip() or default


def _literal(value: str) -> str:
    """Return a text as a Python literal, in double quotes if the text contains none."""
    return f'"{value}"' if value.isprintable() and not set(value) & {'"', "\\"} else repr(value)
