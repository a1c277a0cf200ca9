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


def result_of_a_task(value: Any) -> Mapping[str, Any]:
    """The result of another task that was given as an argument.

    :raises OACConfigurationError: if it is none, such as the text that a template made of it.
    """
    if not isinstance(value, Mapping):
        raise OACConfigurationError(
            f"snapshot must be the result of a task, a dictionary, but is {type(value).__name__} {str(value)[:100]!r}. "
            "A template makes a text of it: give snapshot=backup.output, where backup is the task."
        )
    return value
