"""Telling people that a backup failed or is missing, and what there is instead."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowNotFoundException, BaseNotifier
from airflow_provider_oac.arguments import check
from airflow_provider_oac.exceptions import OACError

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Context
    from airflow_provider_oac.client.rest.snapshots import Snapshot


class _NotifierArguments(TypedDict, total=False):
    """The arguments of Airflow's ``BaseNotifier``."""

    context: Any


class OACBackupNotifier(BaseNotifier):
    """Says that a backup failed or did not come in time, with the newest snapshot that OAC lists and its age.

    For the callbacks of DAGs and tasks (``on_failure_callback``), and for deadline alerts (Airflow 3.1 and later),
    which run it in the triggerer. It writes a line of the log, at the level of errors, and a mail if ``to`` is given,
    which needs Airflow's provider ``smtp``. That OAC cannot be asked keeps nobody from being told. The user of the
    Connection needs the application role BI Service Administrator (documented), as for the backup itself.

    :param snapshot_label: the series.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param bucket: only snapshots whose file is in this bucket count; by default any.
    :param to: addresses of people.
    :param smtp_conn_id: the Airflow Connection of the mail server, with ``from_email`` in its extra.
    """

    template_fields: Sequence[str] = ("snapshot_label", "oac_conn_id", "bucket", "to", "smtp_conn_id")

    def __init__(
        self,
        *,
        snapshot_label: str,
        oac_conn_id: str = "oac_default",
        bucket: str | None = None,
        to: str | Sequence[str] | None = None,
        smtp_conn_id: str = "smtp_default",
        **kwargs: Unpack[_NotifierArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot_label = snapshot_label
        self.oac_conn_id = oac_conn_id
        self.bucket = bucket
        self.to = to
        self.smtp_conn_id = smtp_conn_id
        check(self, type(self).__name__, rendered=False)

    def notify(self, context: Context) -> None:
        """Tell, from a callback."""
        hook = lazy.oac.OACHook(self.oac_conn_id)
        try:
            check(self, type(self).__name__, rendered=True)
            listed = hook.run(lazy.snapshots.list_all())
            state = self._state(listed, hook.settings.instance)
        except Exception as error:
            # Airflow has errors of its own, such as that of a missing Connection. People are told all the same.
            state = self._unknown(error)
        mail = self._said(context, state)
        if self.to:
            with self._smtp() as smtp:
                smtp.send_email_smtp(**mail)

    async def async_notify(self, context: Context) -> None:
        """Tell, from the triggerer."""
        hook = lazy.oac.OACHook(self.oac_conn_id)
        try:
            check(self, type(self).__name__, rendered=True)
            listed = await hook.arun(lazy.snapshots.list_all())
            state = self._state(listed, hook.settings.instance)
        except Exception as error:
            # Airflow has errors of its own, such as that of a missing Connection. People are told all the same.
            state = self._unknown(error)
        mail = self._said(context, state)
        if self.to:
            async with self._smtp() as smtp:
                await smtp.asend_email_smtp(**mail)

    def _smtp(self) -> Any:
        # An optional package.
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        return SmtpHook(smtp_conn_id=self.smtp_conn_id)

    def _state(self, listed: list[Snapshot], instance: str) -> str:
        """What OAC lists, in a sentence."""
        now = datetime.now(UTC)
        here = [item for item in listed if self.bucket in (None, item.bucket)]
        found = lazy.retention.newest(here, self.snapshot_label, instance, registered=False, now=now)
        if found is None:
            return f"OAC lists NO snapshot of the series {self.snapshot_label} of {instance}."
        item, name = found
        hours = (now - name.time).total_seconds() / 3600
        return f"The newest snapshot that OAC lists is {item.name}, {hours:.1f} hours old."

    def _unknown(self, error: Exception) -> str:
        """That OAC could not be asked, and why."""
        # The texts of other errors may quote the Connection, with its secrets.
        known = isinstance(error, OACError | AirflowNotFoundException)
        why = str(error) if isinstance(error, OACError) else f"{type(error).__name__}{f': {error}' if known else ''}"
        text = f"OAC's snapshots are unknown because OAC could not be reached: {why}"
        if isinstance(error, OACError):
            return text
        check = f"python -m airflow_provider_oac check --oac-conn-id {self.oac_conn_id}"
        return f"{text.rstrip('.')}. To test the Connection {self.oac_conn_id!r}, run `{check}`."

    def _said(self, context: Context, state: str) -> dict[str, Any]:
        """Log it, and make the mail."""
        what = _what(context)
        self.log.error("The OAC backup %s %s %s", self.snapshot_label, what, state)
        text = f"The OAC backup {self.snapshot_label} {what}\n{state}\nNext step: read the log of the task in Airflow."
        content = "<br>".join(html.escape(line) for line in text.splitlines())
        return {
            "to": self.to,
            "subject": f"OAC backup {self.snapshot_label} {what.partition('.')[0]}",
            "html_content": content,
        }


def _what(context: Mapping[str, Any]) -> str:
    """What happened, by what a callback or a deadline alert hands over."""
    run = context.get("dag_run")
    # A deadline alert hands over plain data instead of objects.
    facts = run if isinstance(run, Mapping) else {name: getattr(run, name, None) for name in ("dag_id", "run_id")}
    # The callback of a DAG may get no run, only its id.
    run_id = facts.get("run_id") or facts.get("dag_run_id") or context.get("run_id")
    where = f"the run {run_id} of {facts.get('dag_id') or getattr(context.get('dag'), 'dag_id', None)}"
    if "deadline" in context:
        return f"did not come in time: {where} missed its deadline."
    ti = context.get("ti") or context.get("task_instance")
    reason = context.get("exception") or context.get("reason")
    task = f"task {ti.task_id} of " if ti is not None else ""
    return f"failed: {task}{where}{f' ({reason})' if reason else ''}."
