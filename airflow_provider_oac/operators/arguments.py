"""Checks of arguments that templates may have rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_oac.exceptions import OACConfigurationError


def members(value: Any, name: str) -> dict[str, Any]:
    """The members of an argument that is a dictionary; none if it is not given.

    :param value: the argument, rendered.
    :param name: its name.
    :raises OACConfigurationError: if it is something else, such as the text that a template makes of a dictionary.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    raise OACConfigurationError(
        f"{name} is a dictionary, not {type(value).__name__}. A template makes a text of whatever it finds: put "
        "templates into its members, or give the DAG render_template_as_native_obj=True."
    )
