"""Bringing system settings, the mail server and the safe domains to what is wanted: what is there, what differs."""

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

# A number, a switch, nothing.
_PLAIN = re.compile(r"[0-9]{0,9}(?:\.[0-9]+)?|true|false", re.IGNORECASE)


@flow
async def effective_settings(api: Api) -> dict[str, str]:
    """All settings as they are or will be as soon as what is pending is applied."""
    found = [*await api.perform(settings.get()), *await api.perform(settings.get(pending=True))]
    return {setting.key: setting.value for setting in found}


def setting_text(key: str, value: Any) -> str:
    """A value as OAC wants it: booleans become ``true`` and ``false``, numbers their digits.

    :raises OACConfigurationError: for what is no single value.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise OACConfigurationError(
        f"The value of setting {key} is to be a text, a number or a boolean, not {type(value).__name__}."
    )


def setting_changes(current: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str | None, str]]:
    """What differs: key to the value it has (``None`` if OAC does not list it) and the one it is to have."""
    return {key: (current.get(key), value) for key, value in wanted.items() if current.get(key) != value}


def shown_setting(key: str, value: str | None) -> str | None:
    """A value for people, masked if it is a secret."""
    return MASK if is_secret(key) and value else value


def no_secret(value: Any) -> bool:
    """Whether a value is a number or a switch, also as a text, or nothing."""
    return not isinstance(value, str) or bool(_PLAIN.fullmatch(value.strip()))


def mail_differences(present: MailServer | None, wanted: MailServer) -> dict[str, tuple[Any, Any]]:
    """What differs, by names such as ``sender.emailAddress``: the value that is there and the one that is wanted.

    Secrets cannot be compared, since OAC gives none back. What OAC has beyond what is wanted does not count.
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
    """What is to be done about safe domains.

    :param created: domains that are missing, with their policies.
    :param updated: domains with the policy they have and the one they are to have.
    :param deleted: domains that are to go, with the policies they have.
    :param unchanged: domains that are as they are wanted.
    """

    created: Mapping[str, Policy]
    updated: Mapping[str, tuple[Policy, Policy]]
    deleted: Mapping[str, Policy]
    unchanged: tuple[str, ...]


def domain_changes(
    present: Mapping[str, Policy], wanted: Mapping[str, Policy], gone: Iterable[str] = (), *, only: bool = False
) -> DomainChanges:
    """What differs. Upper and lower case of domains are alike.

    :param present: what OAC has.
    :param wanted: what it is to have.
    :param gone: domains that it is not to have.
    :param only: whether everything that is not wanted goes.
    :raises OACConfigurationError: if a domain is to be there and to be gone.
    """
    there = {domain.casefold(): domain for domain in present}
    asked = {domain.casefold(): policy for domain, policy in wanted.items()}
    leaving = {domain.casefold() for domain in gone}
    if both := sorted(leaving & set(asked)):
        raise OACConfigurationError(f"Safe domains {', '.join(both)} are to be there and to be removed.")
    if only:
        leaving |= set(there) - set(asked)
    known = {there[key]: (present[there[key]], policy) for key, policy in asked.items() if key in there}
    # What OAC has beyond the nine policies does not count.
    alike = {
        domain
        for domain, (before, after) in known.items()
        if all(before.get(name, False) == value for name, value in after.items())
    }
    return DomainChanges(
        created={domain: policy for domain, policy in wanted.items() if domain.casefold() not in there},
        updated={domain: pair for domain, pair in known.items() if domain not in alike},
        deleted={there[key]: present[there[key]] for key in sorted(leaving) if key in there},
        unchanged=tuple(domain for domain in known if domain in alike),
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
            # It was there a moment ago. The status for a missing domain is not documented.
            if error.status not in (400, 404) or domain in await api.perform(safe_domains.list_all()):
                raise


def allowed(policy: Mapping[str, bool]) -> list[str]:
    """Names of the policies that are on."""
    return [name for name, value in policy.items() if value]
