"""Compare system settings, the mail server and the safe domains with the desired state, and apply domain changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_oac.client.api import Api, flow
from airflow_provider_oac.client.rest import safe_domains, settings
from airflow_provider_oac.client.rest.mail import MailServer
from airflow_provider_oac.client.rest.safe_domains import Policy
from airflow_provider_oac.client.secret_names import MASK, is_secret, secret_names
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError

# A number, a switch, or nothing.
_PLAIN = re.compile(r"[0-9]{0,9}(?:\.[0-9]+)?|true|false", re.IGNORECASE)


@flow
async def effective_settings(api: Api) -> dict[str, str]:
    """Return all settings as they are, or will be once pending changes are applied."""
    found = [*await api.perform(settings.get()), *await api.perform(settings.get(pending=True))]
    return {setting.key: setting.value for setting in found}


def setting_text(key: str, value: Any) -> str:
    """Format a value as OAC expects it: booleans become ``true`` and ``false``, numbers their digits.

    :raises OACConfigurationError: if it is not a single value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise OACConfigurationError(f"Setting {key} must be a text, a number or a boolean, not {type(value).__name__}.")


def setting_changes(current: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str | None, str]]:
    """Return the differences: each key with its current value (``None`` if OAC lists none) and its desired value."""
    return {key: (current.get(key), value) for key, value in wanted.items() if current.get(key) != value}


def shown_setting(key: str, value: str | None) -> str | None:
    """Return a value for people, masked if it is a secret."""
    return MASK if is_secret(key) and value else value


def no_secret(value: Any) -> bool:
    """Whether a value is a number or a switch, also as a text, or nothing."""
    return not isinstance(value, str) or bool(_PLAIN.fullmatch(value.strip()))


def mail_differences(present: MailServer | None, wanted: MailServer) -> dict[str, tuple[Any, Any]]:
    """Return the differences by names such as ``sender.emailAddress``: the current and the desired value.

    Secrets cannot be compared, because OAC does not return them. Members that only OAC has do not count.
    """
    before = {} if present is None else _flat(present.body())
    return {
        name: (before.get(name), value) for name, value in _flat(wanted.body()).items() if before.get(name) != value
    }


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, Mapping):
            found.update({f"{name}.{inner}": text for inner, text in value.items() if not secret_names({inner: text})})
        else:
            found[name] = value
    return found


@dataclass(frozen=True)
class DomainChanges:
    """Changes of the safe domains.

    :param created: missing domains, with their policies.
    :param updated: domains with their current and their desired policy.
    :param deleted: domains to delete, with their current policies.
    :param unchanged: domains that already have the desired policy.
    """

    created: Mapping[str, Policy]
    updated: Mapping[str, tuple[Policy, Policy]]
    deleted: Mapping[str, Policy]
    unchanged: tuple[str, ...]


def domain_changes(
    present: Mapping[str, Policy], wanted: Mapping[str, Policy], gone: Iterable[str] = (), *, only: bool = False
) -> DomainChanges:
    """Compare safe domains with the desired ones; the case of domains does not matter.

    :param present: current domains.
    :param wanted: desired domains.
    :param gone: domains to delete.
    :param only: whether to delete all domains that are not desired.
    :raises OACConfigurationError: if a domain is both desired and to be deleted.
    """
    current = {domain.casefold(): domain for domain in present}
    desired = {domain.casefold(): policy for domain, policy in wanted.items()}
    leaving = {domain.casefold() for domain in gone}
    if both := sorted(leaving & set(desired)):
        raise OACConfigurationError(f"Safe domains {', '.join(both)} are both desired and to be deleted.")
    if only:
        leaving |= set(current) - set(desired)
    known = {current[key]: (present[current[key]], policy) for key, policy in desired.items() if key in current}
    # Policies that only OAC has do not count.
    updated = {
        domain: (before, after)
        for domain, (before, after) in known.items()
        if any(before.get(name, False) != value for name, value in after.items())
    }
    return DomainChanges(
        created={domain: policy for domain, policy in wanted.items() if domain.casefold() not in current},
        updated=updated,
        deleted={current[key]: present[current[key]] for key in sorted(leaving) if key in current},
        unchanged=tuple(domain for domain in known if domain not in updated),
    )


@flow
async def apply_domains(api: Api, todo: DomainChanges) -> None:
    """Apply changes: additions and updates first, then deletions."""
    wanted = {**todo.created, **{domain: after for domain, (_, after) in todo.updated.items()}}
    for domain, policy in wanted.items():
        await api.perform(safe_domains.put(domain, policy))
    for domain in todo.deleted:
        try:
            await api.perform(safe_domains.delete(domain))
        except OACApiError as error:
            # The domain existed a moment ago. The status for a missing domain is not documented.
            if error.status not in (400, 404) or domain in await api.perform(safe_domains.list_all()):
                raise


def allowed(policy: Mapping[str, bool]) -> list[str]:
    """Return the names of the policies that are on."""
    return [name for name, value in policy.items() if value]
