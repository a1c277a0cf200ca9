"""Operators that bring an instance to a desired state: system settings, mail server, safe domains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_oac import lazy
from airflow_provider_oac._compat import Context
from airflow_provider_oac.arguments import Template, argument
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.operators.base import OACBaseOperator


class _DesiredState(OACBaseOperator):
    """Base class of these operators: they read the present state, log the difference, and change only what differs.

    :param template_oac_conn_id: Airflow Connection of the template: another instance, whose values are copied.
    :param dry_run: only log and return the difference.
    """

    template_oac_conn_id: Template[str | None] = None
    dry_run_only: bool = argument(alias="dry_run", default=False)

    def of_template(self, work: lazy.api.Work[Any]) -> Any:
        """Run a call or flow against the template instance."""
        return self._hook_of(str(self.template_oac_conn_id)).run(work)

    def log_change(self, what: str, before: Any, after: Any) -> None:
        """Log one difference."""
        verb = "would change" if self.dry_run_only else "changes"
        self.log.info("%s %s from %r to %r.", what, verb, before, after)


class OACSystemSettingsOperator(_DesiredState):
    """Brings system settings to the desired values. Needs BI Service Administrator (documented).

    The task sends only settings whose value differs. OAC may keep a change pending until it is applied (documented);
    such a setting counts as changed.

    The result (XCom) is a dictionary: ``changed`` (key to the values before and after; values of keys that sound like
    secrets are masked), ``unchanged`` (how many), ``pending`` (keys that are saved and not applied yet),
    ``unconfirmed`` (keys that were sent and still have another value afterwards, which is logged as a warning),
    ``not_here`` (keys of the template instance that this one does not list) and ``dry_run``.

    :param settings: key to value: texts, numbers, booleans. A text whose key sounds like a secret is refused.
    :param template_oac_conn_id: Airflow Connection of another instance, whose settings are copied; ``settings`` take
        precedence.
    :param keys: copy only these settings of the template instance; by default all.
    :param ignore: do not copy these settings of the template instance, such as those that contain its name.
    :param dry_run: only log and return the difference.
    """

    settings: Template[Mapping[str, Any] | None] = None
    keys: Template[Collection[str] | None] = None
    ignore: Template[Collection[str]] = ()

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, and change what differs."""
        if not self.settings and not self.template_oac_conn_id:
            raise OACConfigurationError("No settings given. Set settings, template_oac_conn_id, or both.")
        own = {key: lazy.system_settings.setting_text(key, value) for key, value in (self.settings or {}).items()}
        self._push_link(context)
        effective, shown = lazy.system_settings.effective_settings(), lazy.system_settings.shown_setting
        current = self.hook.run(effective)
        wanted, not_here = self._wanted(own, current)
        changes = lazy.system_settings.setting_changes(current, wanted)
        for key, (before, after) in changes.items():
            self.log_change(f"Setting {key}", shown(key, before), shown(key, after))
        pending, unconfirmed = [], []
        if changes and not self.dry_run_only:
            self.hook.run(lazy.settings.update({key: after for key, (_, after) in changes.items()}))
            waiting = self.hook.run(lazy.settings.get(pending=True))
            pending = sorted(setting.key for setting in waiting if setting.key in changes)
            now = self.hook.run(effective)
            unconfirmed = sorted(key for key, (_, after) in changes.items() if now.get(key) != after)
        if not changes:
            self.log.info("Every setting already has its value; nothing is sent.")
        if pending:
            self.log.info("Saved; pending until OAC applies them: %s.", ", ".join(pending))
        if unconfirmed:
            self.log.warning("OAC accepted these settings but returns other values: %s. Check them in OAC. The next "
                             "run sends them again.", ", ".join(unconfirmed))  # fmt: skip
        return {
            "changed": {key: [shown(key, before), shown(key, after)] for key, (before, after) in changes.items()},
            "unchanged": len(wanted) - len(changes),
            "pending": pending,
            "unconfirmed": unconfirmed,
            "not_here": not_here,
            "dry_run": self.dry_run_only,
        }

    def check_together(self) -> None:
        """Refuse secrets, which DAG files and Airflow's pages would show. Numbers and booleans are not secrets."""
        given = self.settings if isinstance(self.settings, Mapping) else {}
        if found := [
            key
            for key, value in given.items()
            if lazy.secret_names.is_secret(str(key)) and not lazy.system_settings.no_secret(value)
        ]:
            raise OACConfigurationError(
                f"settings contain {', '.join(map(repr, found))}. Secrets do not belong in a DAG. Set them in OAC, "
                "copy them from another instance (template_oac_conn_id), or read them from an Airflow Connection in "
                "your own task: OACHook().run(settings.update(…)) with airflow_provider_oac.client.rest.settings."
            )

    def _wanted(self, own: Mapping[str, str], current: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The desired values, and the keys of the template instance that this one does not list."""
        if not self.template_oac_conn_id:
            return dict(own), []
        other = self.of_template(lazy.system_settings.effective_settings())
        if self.keys is not None and (missing := sorted(set(self.keys) - set(other))):
            raise OACConfigurationError(
                f"The instance of Connection {self.template_oac_conn_id!r} has no setting {', '.join(missing)}. "
                "Nothing was changed. Check the names."
            )
        names = set(other if self.keys is None else self.keys) - set(self.ignore)
        if not_here := sorted(names - set(current) - set(own)):
            self.log.warning(
                "Skipped settings of the other instance that this one does not list: %s. The instances may have "
                "different versions.", ", ".join(not_here),
            )  # fmt: skip
        return {**{key: other[key] for key in sorted(names & set(current))}, **own}, not_here


class OACMailServerOperator(_DesiredState):
    """Brings the mail server's settings to the desired state, or removes them.

    Needs BI Service Administrator (documented). OAC returns no secrets (inferred), so a changed secret is not visible.
    With ``always_send_password``, the default, the task sends settings with a secret on each run, so a new password in
    the Airflow Connection takes effect. Without it, the task sends them only if something else differs.

    The result (XCom) is a dictionary: ``changed`` (a name such as ``sender.emailAddress`` to the values before and
    after), ``sent`` (whether settings were sent), ``secret`` (``sent``, ``not compared`` or ``none``), and
    ``dry_run``.

    :param server: the settings as members of OAC's REST API, without secrets: ``host``, ``port``, ``sender`` (such as
        ``{"displayName": "OAC", "emailAddress": "oac@example.com"}``) and ``connectionSecurity``, an object or just its
        type, such as ``START_TLS_CONNECTION_SECURITY``.
    :param mail_conn_id: Airflow Connection, of any type, with login and password for the mail server (8 to 255
        characters, documented), or with an object ``auth`` in its extra that is sent to OAC unchanged, for OAuth. Its
        host and port are used if neither ``server`` nor the template instance has any. Without this Connection, OAC
        does not sign in at the mail server (``NO_AUTH``).
    :param template_oac_conn_id: Airflow Connection of another instance, whose mail server is copied; members of
        ``server`` take precedence. If that instance signs in, ``mail_conn_id`` is required, since secrets cannot be
        copied.
    :param absent: ``True`` removes the mail server's settings.
    :param always_send_password: whether to send settings with a secret even if nothing else differs.
    :param dry_run: only log and return the difference.
    """

    server: Template[Mapping[str, Any] | None] = None
    mail_conn_id: Template[str | None] = None
    absent: bool = False
    always_send_password: bool = True

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, and send the settings if they differ."""
        if self.absent:
            return self._remove(context)
        # Check the arguments before any request, unless they depend on the template instance.
        wanted = None if self.template_oac_conn_id else self._wanted({})
        self._push_link(context)
        wanted = wanted or self._wanted(self._other())
        changed = lazy.system_settings.mail_differences(self.hook.run(lazy.mail.get()), wanted)
        for name, (before, after) in changed.items():
            self.log_change(f"Mail server: {name}", before, after)
        secret = bool(lazy.secret_names.secrets_of(wanted.auth))
        sending = bool(changed or (secret and self.always_send_password)) and not self.dry_run_only
        if sending:
            self.hook.run(lazy.mail.configure(wanted))
        if secret and sending:
            self.log.info("Sent the secret as well: OAC returns no secrets, so the task cannot compare it.")
        if not changed and not sending:
            self.log.info("The mail server already has these settings; nothing is sent. Secrets were not compared.")
        return self._result(changed, sending, "none" if not secret else "sent" if sending else "not compared")

    def _remove(self, context: Context) -> dict[str, Any]:
        self._push_link(context)
        present = self.hook.run(lazy.mail.get())
        if present is None:
            self.log.info("There is no mail server; nothing is sent.")
            return self._result({}, False, "none")
        self.log_change("Mail server: host", present.host, None)
        if not self.dry_run_only:
            self.hook.run(lazy.submit.unless_gone(lazy.mail.delete()))
        return self._result({"host": (present.host, None)}, not self.dry_run_only, "none")

    def _result(self, changed: Mapping[str, Sequence[Any]], sent: bool, secret: str) -> dict[str, Any]:
        pairs = {name: list(pair) for name, pair in changed.items()}
        return {"changed": pairs, "sent": sent, "secret": secret, "dry_run": self.dry_run_only}

    def _wanted(self, other: Mapping[str, Any]) -> lazy.mail.MailServer:
        account = lazy.mail_accounts.mail_account(self.mail_conn_id) if self.mail_conn_id else {}
        kind = (other.get("auth") or {}).get("authType", lazy.mail.NO_AUTH)
        if not self.mail_conn_id and kind != lazy.mail.NO_AUTH:
            raise OACConfigurationError(
                f"The mail server of Connection {self.template_oac_conn_id!r} signs in by {kind}, and OAC returns no "
                "secrets. Set mail_conn_id to the Airflow Connection that holds them."
            )
        # The sign-in of the Connection takes precedence over all other sources.
        auth = {"auth": account["auth"]} if account else {}
        return lazy.mail.MailServer.of(
            {"auth": {"authType": lazy.mail.NO_AUTH}, **account, **other, **(self.server or {}), **auth}
        )

    def _other(self) -> dict[str, Any]:
        found: lazy.mail.MailServer | None = self.of_template(lazy.mail.get())
        if found is None:
            raise OACConfigurationError(
                f"The instance of Connection {self.template_oac_conn_id!r} has no mail server. Nothing was changed. To "
                "remove the mail server of this instance, set absent=True."
            )
        return found.body()

    def check_together(self) -> None:
        """Require a mail server or absent=True. Refuse secrets, which DAG files and Airflow's pages would show."""
        if self.absent == bool(self.server or self.template_oac_conn_id):
            raise OACConfigurationError("No mail server given. Set server, template_oac_conn_id, or absent=True.")
        if not isinstance(self.server, Mapping):
            return
        if found := [*lazy.secret_names.secret_names(self.server), *({"auth"} & set(self.server))]:
            raise OACConfigurationError(
                f"server contains {', '.join(map(repr, found))}. Secrets do not belong in a DAG. Put the mail server's "
                "credentials into an Airflow Connection and set mail_conn_id to it."
            )


class OACSafeDomainsOperator(_DesiredState):
    """Brings the safe domains to the desired state. Needs BI Service Administrator (documented).

    Domains that are not named stay unchanged, unless ``remove_others`` is set.

    The result (XCom) is a dictionary: ``created`` (domain to the names of the policies that are on), ``updated``
    (domain to these names before and after), ``deleted`` (domains), ``unchanged`` (how many) and ``dry_run``.

    :param domains: domain to its policies: a list of names such as ``["img-src", "frame-src"]``, or names with true or
        false. Policies that are not named are off.
    :param template_oac_conn_id: Airflow Connection of another instance, whose safe domains are copied; ``domains`` take
        precedence.
    :param remove: domains to delete.
    :param remove_others: whether to delete every domain that is not named. Refused if no domain is named at all.
    :param dry_run: only log and return the difference.
    """

    domains: Template[Mapping[str, Iterable[str] | Mapping[str, bool]] | None] = None
    remove: Template[Collection[str]] = ()
    remove_others: bool = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, and change what differs."""
        own, gone = self._own()
        self._push_link(context)
        other: dict[str, lazy.safe_domains.Policy] = (
            self.of_template(lazy.safe_domains.list_all()) if self.template_oac_conn_id else {}
        )
        # Domain names ignore case.
        named = {domain.casefold() for domain in (*own, *gone)}
        copied = {domain: policy for domain, policy in other.items() if domain.casefold() not in named}
        # The template instance may have more policies than the documented ones.
        names = lazy.safe_domains.POLICIES
        wanted = {domain: {name: policy.get(name, False) for name in names} for domain, policy in copied.items()} | own
        if self.remove_others and not wanted:
            raise OACConfigurationError(
                "No safe domains given, so remove_others would remove all. Nothing was changed. List the domains to "
                "delete in remove."
            )
        present = self.hook.run(lazy.safe_domains.list_all())
        todo = lazy.system_settings.domain_changes(present, wanted, gone, only=self.remove_others)
        result = self._logged(todo)
        if not self.dry_run_only:
            self.hook.run(lazy.system_settings.apply_domains(todo))
        return result

    def _own(self) -> tuple[dict[str, lazy.safe_domains.Policy], list[str]]:
        """Check the arguments, and return the named domains and those to delete."""
        if not (self.domains or self.template_oac_conn_id or self.remove):
            raise OACConfigurationError("No safe domains given. Set domains, template_oac_conn_id or remove.")
        checked, policy = lazy.safe_domains.checked_domain, lazy.safe_domains.checked_policy
        own = {checked(domain): policy(domain, given) for domain, given in (self.domains or {}).items()}
        return own, [checked(domain) for domain in self.remove]

    def _logged(self, todo: lazy.system_settings.DomainChanges) -> dict[str, Any]:
        """Log the changes, and make the result."""
        allowed = lazy.system_settings.allowed
        created = {domain: allowed(policy) for domain, policy in todo.created.items()}
        updated = {domain: [allowed(before), allowed(after)] for domain, (before, after) in todo.updated.items()}
        for domain, policies in created.items():
            self.log_change(f"Safe domain {domain}", None, policies)
        for domain, (before, after) in updated.items():
            self.log_change(f"Safe domain {domain}", before, after)
        for domain, policy in todo.deleted.items():
            self.log_change(f"Safe domain {domain}", allowed(policy), None)
        if not (created or updated or todo.deleted):
            self.log.info("Every safe domain already has its policies; nothing is sent.")
        return {
            "created": created,
            "updated": updated,
            "deleted": list(todo.deleted),
            "unchanged": len(todo.unchanged),
            "dry_run": self.dry_run_only,
        }
