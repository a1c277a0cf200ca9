"""Notifiers: a backup, an export or a run failed or is late, with its state in OAC."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import AirflowNotFoundException, BaseNotifier, Context, is_airflow_2, setting
from airflow_provider_oac.arguments import Template
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.links import WORK_REQUEST, work_request_page
from airflow_provider_oac.tasks import Checked, Declared


class _Notifier(BaseNotifier, Checked, metaclass=Declared):
    """Writes a log line at the level ERROR, and sends an email if ``to`` is given."""

    #: Subject and verb of the sentence for a state that is unknown because OAC cannot be reached.
    subject: ClassVar[str]

    to: Template[str | Sequence[str] | None] = None
    smtp_conn_id: Template[str] = "smtp_default"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the work in messages."""

    @abstractmethod
    def question(self, context: Context) -> tuple[str, lazy.api.Work[Any]] | None:
        """Return the Connection's ID and the call to make; ``None`` if there is nothing to ask OAC."""

    @abstractmethod
    def answered(self, answer: Any, hook: lazy.oac.OACHook) -> str:
        """Return the result of the call as a sentence."""

    def more(self, context: Context) -> str:
        """Return further sentences for the message."""
        return ""

    def notify(self, context: Context) -> None:
        """Notify, from a callback."""

        async def ask(hook: lazy.oac.OACHook, work: lazy.api.Work[Any]) -> Any:
            return hook.run(work)

        mail = lazy.blocking.run(self._mail(context, ask))
        if self.to:
            with self._smtp() as smtp:
                smtp.send_email_smtp(**mail)

    async def async_notify(self, context: Context) -> None:
        """Notify, from the triggerer."""
        mail = await self._mail(context, lambda hook, work: hook.arun(work))
        if self.to:
            async with self._smtp() as smtp:
                await smtp.asend_email_smtp(**mail)

    async def _mail(
        self, context: Context, ask: Callable[[lazy.oac.OACHook, lazy.api.Work[Any]], Awaitable[Any]]
    ) -> dict[str, Any]:
        """Ask OAC, log the message, and return the arguments of the email.

        :param ask: makes the call, in a task or on an event loop.
        """
        oac_conn_id, state = "", ""
        try:
            self.check_arguments(rendered=True)
            if question := self.question(context):
                oac_conn_id, work = question
                hook = lazy.oac.OACHook(oac_conn_id)
                state = self.answered(await ask(hook, work), hook)
        except Exception as error:
            # Airflow may raise any error, for a missing Connection for example. The email is sent anyway.
            state = self._unknown(error, oac_conn_id)
        return self._message(context, state)

    def _smtp(self) -> Any:
        # An optional package.
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        return SmtpHook(smtp_conn_id=self.smtp_conn_id)

    def _unknown(self, error: Exception, oac_conn_id: str) -> str:
        """Return the text for an unknown state, with the reason."""
        # The texts of other errors may quote the Connection with its secrets.
        why = type(error).__name__ + (f": {error}" if isinstance(error, AirflowNotFoundException) else "")
        text = f"{self.subject} unknown because OAC could not be reached: "
        if isinstance(error, OACError) or not oac_conn_id:
            return text + (str(error) if isinstance(error, OACError) else why)
        check = f"python -m airflow_provider_oac check --oac-conn-id {oac_conn_id}"
        return f"{text}{why.rstrip('.')}. To test the Connection {oac_conn_id!r}, run `{check}`."

    def _message(self, context: Context, state: str) -> dict[str, Any]:
        """Log the message, and return the arguments of the email."""
        (what, reason), more = _event(context), ""
        try:
            more = self.more(context)
        except Exception:
            self.log.exception("Could not read the task's XCom.")
        lines = [f"The OAC {self.name} {what}{reason}.", *filter(None, (state, more))]
        self.log.error(" ".join(["%s"] * len(lines)), *lines)
        text = "\n".join([*lines, "Next step: read the log of the task in Airflow."])
        content = "<br>".join(html.escape(line) for line in text.splitlines())
        return {"to": self.to, "subject": f"OAC {self.name} {what}", "html_content": content}


class OACBackupNotifier(_Notifier):
    """Reports that a backup failed or is late, with the newest snapshot that OAC lists and its age.

    Use it in callbacks of DAGs and tasks (``on_failure_callback``), and in deadline alerts (Airflow 3.1 and later),
    which run it in the triggerer. It writes a log line at the level ERROR. If ``to`` is given, it also sends an email,
    which needs Airflow's provider ``smtp``. If OAC cannot be reached, it still reports the failure. The user of the
    Connection needs the application role BI Service Administrator (documented), as for the backup itself.

    :param snapshot_label: the label of the snapshot series.
    :param oac_conn_id: the Airflow Connection of the type ``oac``.
    :param bucket: count only snapshots whose file is in this bucket; by default all.
    :param to: email addresses of the recipients.
    :param smtp_conn_id: the Airflow Connection of the mail server, with ``from_email`` in its extra.
    """

    subject = "OAC's snapshots are"

    snapshot_label: Template[str]
    oac_conn_id: Template[str] = "oac_default"
    bucket: Template[str | None] = None

    @property
    def name(self) -> str:
        """The backup's name in messages."""
        return f"backup {self.snapshot_label}"

    def question(self, context: Context) -> tuple[str, lazy.api.Work[Any]]:
        """Return the call that lists all snapshots."""
        return self.oac_conn_id, lazy.snapshots.list_all()

    def answered(self, answer: list[lazy.snapshots.Snapshot], hook: lazy.oac.OACHook) -> str:
        """Return a sentence about the newest snapshot of the series."""
        instance, now = hook.settings.instance, datetime.now(UTC)
        here = [item for item in answer if self.bucket in (None, item.bucket)]
        found = lazy.retention.newest(here, self.snapshot_label, instance, registered=False, now=now)
        if found is None:
            return f"OAC lists NO snapshot of the series {self.snapshot_label} of {instance}."
        item, name = found
        hours = (now - name.time).total_seconds() / 3600
        return f"The newest snapshot that OAC lists is {item.name}, {hours:.1f} hours old."


class OACWorkNotifier(_Notifier):
    """Reports that an export, a run or other work failed or is late, with its state in OAC.

    Use it in ``on_failure_callback`` of tasks, where it asks OAC for the task's work request and repeats the job
    history's result of a run. In a DAG's callback or a deadline alert (Airflow 3.1 and later), it names only the DAG
    run. It writes a log line at the level ERROR. If ``to`` is given, it also sends an email, which needs Airflow's
    provider ``smtp``. If OAC cannot be reached, it still reports the failure.

    :param work_name: the name of the work in messages, such as ``export of the sales board``.
    :param to: email addresses of the recipients.
    :param smtp_conn_id: the Airflow Connection of the mail server, with ``from_email`` in its extra.
    """

    subject = "The state of the work request is"

    work_name: Template[str]

    @property
    def name(self) -> str:
        """The name of the work in messages."""
        return self.work_name

    def question(self, context: Context) -> tuple[str, lazy.api.Work[Any]] | None:
        """Return the call that reads the work request, if the task has pushed one to XCom."""
        known = _xcom(context, WORK_REQUEST)
        if not known:
            return None
        return str(known["oac_conn_id"]), lazy.work_requests.get(str(known["work_request_id"]))

    def answered(self, answer: lazy.work_requests.WorkRequest, hook: lazy.oac.OACHook) -> str:
        """Return a sentence about the state of the work request."""
        errors = f": {'; '.join(answer.errors)}" if answer.errors else ""
        return f"Work request {answer.id} ({answer.operation}) is {answer.status} in OAC{errors}."

    def more(self, context: Context) -> str:
        """Return the job history's result, and the address of the work request's page."""
        sentences = []
        if job := _xcom(context, "oac_job"):
            failed = [str(task["name"]) for task in job["tasks"] if task["status"] == job["job_status"]]
            of = f", in {', '.join(failed)}" if failed else ""
            sentences.append(f"Job {job['job_id']} ended {job['job_status']} after {job['rows']} rows{of}.")
        base = setting("api", "base_url")
        if base and not is_airflow_2() and _xcom(context, WORK_REQUEST):
            sentences.append(f"See {base.rstrip('/')}/{work_request_page(_ti(context))}")
        return " ".join(sentences)


def _ti(context: Mapping[str, Any]) -> Any:
    return context.get("ti") or context.get("task_instance")


def _xcom(context: Mapping[str, Any], key: str) -> Any:
    """Return an XCom of the callback's task."""
    ti = _ti(context)
    # Without task_ids, Airflow 2 returns the XCom of any task of the run.
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index) if ti is not None else None


def _event(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return what happened, and the reason in parentheses, from the context of a callback or a deadline alert."""
    run = context.get("dag_run")
    # A deadline alert's context holds plain data instead of objects.
    names = run if isinstance(run, Mapping) else {name: getattr(run, name, None) for name in ("dag_id", "run_id")}
    # The callback of a DAG may get only the ID of the run.
    run_id = names.get("run_id") or names.get("dag_run_id") or context.get("run_id")
    where = f"the run {run_id} of {names.get('dag_id') or getattr(context.get('dag'), 'dag_id', None)}"
    if "deadline" in context:
        return f"did not come in time: {where} missed its deadline", ""
    ti = _ti(context)
    reason = context.get("exception") or context.get("reason")
    task = f"task {ti.task_id} of " if ti is not None else ""
    return f"failed: {task}{where}", f" ({reason})" if reason else ""
