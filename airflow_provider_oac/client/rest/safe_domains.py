"""Safe domains: which domains OAC's pages may load content from, and which may embed them.

Source: "Safe Domains REST Endpoints" (documented), unless noted otherwise. The calls need BI Service Administrator
(documented).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_oac.client.calls import Call, as_array, as_object, nothing
from airflow_provider_oac.client.ids import encoded
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

# All nine must be sent (documented).
POLICIES = (
    "connect-src", "font-src", "form-action", "frame-ancestors", "frame-src", "img-src", "media-src", "script-src",
    "style-src",
)  # fmt: skip

Policy = dict[str, bool]

# A host as in a content security policy: scheme, wildcard and port are optional (inferred). Other forms that OAC
# accepts are not documented.
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"([a-z][a-z0-9+.-]*://)?(\*\.)?{_LABEL}(\.{_LABEL})*(:(\d{{1,5}}|\*))?", re.IGNORECASE)


def list_all() -> Call[dict[str, Policy]]:
    """List the safe domains with their policies.

    Operation ``GET /system/safeDomains`` (documented: an array of objects with one key, the domain).
    """
    return Call("list the safe domains", "GET", "/system/safeDomains", _read_domains, repeatable=True)


def put(domain: str, policy: Mapping[str, bool]) -> Call[None]:
    """Create or update a safe domain.

    Operation ``PUT /system/safeDomains/{urlBase64DomainId}`` (documented).

    :param domain: the domain, such as ``my.example.com``.
    :param policy: which of the nine policies allow it; those that are not named do not.
    :raises OACConfigurationError: for an invalid domain or policy.
    """
    body = checked_policy(domain, policy)
    return Call(f"set safe domain {domain}", "PUT", _path(domain), nothing, body=body, repeatable=True)


def delete(domain: str) -> Call[None]:
    """Delete a safe domain.

    Operation ``DELETE /system/safeDomains/{urlBase64DomainId}`` (documented).
    """
    return Call(f"delete safe domain {domain}", "DELETE", _path(domain), nothing, repeatable=True)


def checked_domain(domain: str) -> str:
    """Refuse a text that cannot be a domain.

    :raises OACConfigurationError: saying which form is expected.
    """
    if not isinstance(domain, str) or len(domain) > 255 or not _DOMAIN.fullmatch(domain):
        raise OACConfigurationError(
            f"{domain!r} is not a safe domain. Expected: a host such as my.example.com or *.example.com, optionally "
            "with a scheme or a port, without a path."
        )
    return domain


def checked_policy(domain: str, policy: Mapping[str, bool] | Iterable[str]) -> Policy:
    """Return all nine policies from the allowed ones: a list of names, or names with true or false.

    :raises OACConfigurationError: for an unknown name, or if there are no names at all.
    """
    names = [policy] if isinstance(policy, str) else policy if isinstance(policy, Iterable) else [str(policy)]
    given = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names, True)
    wrong = [str(name) for name in given if name not in POLICIES]
    wrong += [f"{name}={on!r}" for name, on in given.items() if name in POLICIES and not isinstance(on, bool)]
    if wrong:
        raise OACConfigurationError(
            f"Safe domain {domain} cannot have the policies {', '.join(sorted(wrong))}. Expected: a list of names, or "
            f"names with true or false, of {', '.join(POLICIES)}."
        )
    return {name: given.get(name, False) for name in POLICIES}


def _path(domain: str) -> str:
    return f"/system/safeDomains/{encoded(checked_domain(domain))}"


def _read_domains(response: Response) -> dict[str, Policy]:
    items = [as_object(item, "A safe domain") for item in as_array(response.json(), "The list of safe domains")]
    return {str(domain): _read_policy(policy) for item in items for domain, policy in item.items()}


def _read_policy(policy: Any) -> Policy:
    """Read the nine policies and any others that OAC has."""
    members = policy if isinstance(policy, dict) else {}
    return {name: members.get(name) is True for name in (*POLICIES, *(set(members) - set(POLICIES)))}
