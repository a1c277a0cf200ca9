"""System settings.

Source: "System Settings REST Endpoints" (documented), unless noted otherwise. The calls need BI Service Administrator
(documented).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.models import Model, member, model
from airflow_provider_oac.client.secret_names import secrets_of


@model
class Setting(Model):
    """One setting.

    :param key: its name, such as ``EmailMaxRecipients``.
    :param value: always a text (documented).
    :param raw: the whole entry; its further members are not known.
    """

    key: str = member("key", required=True)
    value: str = member("value", repr=False)
    raw: Mapping[str, Any] = field(repr=False)


def get(keys: Sequence[str] = (), *, pending: bool | None = None, kind: str | None = None) -> Call[list[Setting]]:
    """Read settings.

    Operation ``GET /system/settings`` (documented).

    :param keys: only these; by default all. It is not established how OAC expects several keys: the parameter is
        repeated.
    :param pending: ``True`` for only those that are saved but not applied yet, ``False`` for the applied ones.
    :param kind: ``default`` for only the unchanged ones, ``updated`` for the others (newer releases).
    """
    query = {"key": list(keys) or None, "pending": pending, "type": kind}
    read = Setting.list_reader("A system setting", "the system settings")
    return Call("read the system settings", "GET", "/system/settings", read, query=query, repeatable=True)


def update(values: Mapping[str, str]) -> Call[None]:
    """Change settings.

    Operation ``PUT /system/settings`` (documented). A saved setting may stay pending until it is applied (documented).

    :param values: key and new value, each a text.
    """
    doing = f"change the system settings {', '.join(sorted(values))}"
    body, secrets = {"items": [{"key": key, "value": value} for key, value in values.items()]}, secrets_of(values)
    return Call(doing, "PUT", "/system/settings", nothing, body=body, secrets=secrets, repeatable=True)
