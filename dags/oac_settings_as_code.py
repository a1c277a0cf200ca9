"""Manage settings of Oracle Analytics Cloud as code: check the instance against this file, and apply the file to it.

Two DAGs from one dictionary. ``oac_settings_check`` runs every morning, changes nothing, and fails if a setting differs
from this file. ``oac_settings_apply`` brings the instance to the desired state; start it by hand after you change this
file or review the result of a check. Settings that are not named here stay unchanged.

Needs the Connection ``oac_default`` (type ``oac``) of an administrator, and ``oac_mail`` (any type), with the login and
password of the mail server. This file, the logs and XComs contain no password.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum

try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

from airflow_provider_oac.operators.system import (
    OACMailServerOperator,
    OACSafeDomainsOperator,
    OACSystemSettingsOperator,
)

WANTED = {
    "settings": {"EmailMaxRecipients": 200, "AllowHTMLJavaScriptCSSContent": False},
    "mail": {
        "host": "smtp.example.com",
        "port": 587,
        "sender": {"displayName": "Oracle Analytics", "emailAddress": "oac@example.com"},
        "connectionSecurity": "START_TLS_CONNECTION_SECURITY",
    },
    "domains": {"maps.example.com": ["img-src", "connect-src"], "*.intranet.example.com": ["frame-ancestors"]},
}


@task
def no_difference(settings: dict, mail: dict, domains: dict) -> None:
    """Fail if a setting differs. The logs of the tasks before list each difference."""
    found = {
        "settings": sorted(settings["changed"]),
        "mail server": sorted(mail["changed"]),
        "safe domains": sorted([*domains["created"], *domains["updated"]]),
    }
    if any(found.values()):
        told = "; ".join(f"{area}: {', '.join(names)}" for area, names in found.items() if names)
        raise ValueError(f"Not as it is wanted: {told}. Run oac_settings_apply, or change what is wanted.")


for name, schedule, dry_run in (("oac_settings_check", "0 6 * * *", True), ("oac_settings_apply", None, False)):
    with DAG(
        dag_id=name,
        description="Are the settings as they are wanted?" if dry_run else "Bring the settings to what is wanted",
        schedule=schedule,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,
        tags=["oac", "settings"],
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    ) as dag:
        settings = OACSystemSettingsOperator(task_id="settings", settings=WANTED["settings"], dry_run=dry_run)

        # OAC returns no password, so the check cannot see a changed one. oac_settings_apply sends it on each run.
        mail = OACMailServerOperator(task_id="mail", server=WANTED["mail"], mail_conn_id="oac_mail", dry_run=dry_run)

        domains = OACSafeDomainsOperator(task_id="domains", domains=WANTED["domains"], dry_run=dry_run)

        if dry_run:
            # Without retries: the differences would stay the same.
            no_difference.override(retries=0)(settings.output, mail.output, domains.output)
    globals()[name] = dag
