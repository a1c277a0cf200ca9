"""The command `conformance`: compares a real instance with the contract that this provider was built from."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from dataclasses import asdict
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_oac import __version__
from airflow_provider_oac.cli.inspect import output
from airflow_provider_oac.cli.probes import AGREED, DISAGREED, NOT_TRIED, Probes, identity_answers
from airflow_provider_oac.cli.process import CommandFailed, connection, hook, tell
from airflow_provider_oac.cli.sql_probes import SqlProbes
from airflow_provider_oac.client.rest import snapshots
from airflow_provider_oac.hooks.credentials import seal
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.plain_text import plain

# Questions that reading, a sign-in and a snapshot cannot answer.
_UNANSWERED = (
    "the errors of a device sign-in while it waits, and slow_down",
    "whether a refresh token's life slides, whether its reuse ends the chain, and what scope does on a refresh",
    "whether assertions are checked for replay, and their longest life",
    "token exchange with an API key; mutual TLS",
    "rate limits; how long work requests, exports and histories are kept",
    "why exports answer 412 or 422; what a download answers before the export is ready",
    "how several parameters of a data flow are sent; operation types of registering, data flows and sequences",
    "the state of the server during a restore",
)


def conformance(arguments: argparse.Namespace) -> int:
    """``conformance``: call the instance, compare, and write the report. Return 1 if something disagreed."""
    oac = hook(arguments.oac_conn_id)
    checked = oac.check()
    if not checked.works:
        raise CommandFailed(f"The Connection does not work. {checked}")
    snapshot = _snapshot(oac, arguments) if arguments.allow_write else None
    # Open the file first: if that fails, no work is lost.
    with output(arguments.output) as file:
        report = _report(oac, snapshot, checked.facts, arguments.sql)
        text = json.dumps(report, indent=2) if arguments.json else _readable(report)
        file.write(f"{plain(text)}\n".encode())
        file.flush()
    if arguments.output:
        tell(f"The report is in {os.path.abspath(arguments.output)}.")
    return 1 if any(item["state"] == DISAGREED for item in report["operations"]) else 0


def _report(
    oac: OACHook, snapshot: tuple[str, dict[str, Any]] | None, facts: dict[str, Any], source: str | None
) -> dict[str, Any]:
    """Ask all questions and return the report."""
    probes = Probes(oac)
    tell("Reading what the user may read. Nothing is changed.")
    probes.read_everything()
    if snapshot:
        tell(f"Taking the snapshot {snapshot[0]}, then deleting it.")
        probes.snapshot(*snapshot)
    if source:
        tell("Querying the MCP server.")
        SqlProbes(probes, source).ask()
    probes.answers |= identity_answers(oac)
    order = (DISAGREED, AGREED, NOT_TRIED)
    findings = sorted(probes.findings, key=lambda item: (order.index(item.state), item.operation))
    report = {
        "provider": __version__,
        "airflow": version("apache-airflow"),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        **{name: facts.get(name) for name in ("grant", "token_lifetime", "administrator", "author")},
        "operations": [asdict(item) for item in findings],
        "answers": probes.answers,
        "unanswered": list(_UNANSWERED),
        "headers": sorted(probes.headers),
    }
    return _without_secrets(report, oac, facts, snapshot[0] if snapshot else "")


def _snapshot(oac: OACHook, arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return name and body of the snapshot to take, and check the options before anything else runs."""
    if not arguments.bucket or not arguments.seal_conn_id:
        raise CommandFailed(
            "--allow-write needs --bucket, which the instance may write to and delete from, and --seal-conn-id, the "
            "Connection whose password seals the snapshot."
        )
    connection(arguments.seal_conn_id, "--seal-conn-id")
    name = f"conformance-{oac.settings.instance}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    storage = snapshots.Storage(arguments.bucket)
    call = snapshots.create(name, f"file:///oac-conformance/{name}.bar", storage, seal(arguments.seal_conn_id)[1])
    return name, dict(call.body)


def _readable(report: dict[str, Any]) -> str:
    found = {
        state: [item for item in report["operations"] if item["state"] == state]
        for state in (DISAGREED, AGREED, NOT_TRIED)
    }
    lines = [
        f"# Conformance of an OAC instance, {report['date']}",
        "",
        f"airflow-provider-oac {report['provider']}, Airflow {report['airflow']}, Python {report['python']}; grant "
        f"{report['grant']}, tokens of {report['token_lifetime']:.0f} s; the user is "
        f"{'an' if report['administrator'] else 'no'} administrator and {'an' if report['author'] else 'no'} author.",
        f"{len(found[AGREED])} operations agreed with the contract, {len(found[DISAGREED])} did not. "
        "This report holds no values, addresses, names or secrets.",
    ]
    for state, items in found.items():
        lines += ["", f"## {state.capitalize()}", ""] if items else []
        for item in items:
            status = f" (HTTP {item['status']})" if item["status"] else ""
            lines.append(f"- {item['operation']}{status}{': ' if item['notes'] else ''}{' '.join(item['notes'])}")
    lines += ["", "## Open questions", ""]
    lines += [f"- {question}: {answer}" for question, answer in sorted(report["answers"].items())]
    lines += ["", "This command cannot answer:", "", *(f"- {text}" for text in report["unanswered"])]
    lines += ["", f"Headers seen: {', '.join(report['headers'])}."]
    return "\n".join(lines)


def _without_secrets(report: dict[str, Any], oac: OACHook, facts: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the report with secrets and names replaced, as a second safeguard: it should not contain any.

    :param name: the name of the snapshot that was taken.
    """
    settings = oac.settings
    removed = [
        *((secret, "***") for secret in settings.auth.secrets),
        (name, "<snapshot>"),
        *((str(user), "<user>") for user in (settings.auth.user, facts.get("user")) if user),
        (urlsplit(settings.address).netloc, "<OAC>"),
        (urlsplit(settings.auth.identity_url).netloc, "<identity domain>"),
        (settings.auth.client_id, "<client id>"),
        (settings.instance, "<instance>"),
    ]

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {clean(key): clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [clean(item) for item in value]
        if isinstance(value, str):
            for text, mark in removed:
                # Whole words only: a user named "admin" must not change the word "administrator".
                value = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", mark, value) if text else value
        return value

    # The fixed parts of a report need no cleaning, and the name of the instance may be a word in them.
    parts = ("operations", "answers", "headers")
    return {key: clean(value) if key in parts else value for key, value in report.items()}
