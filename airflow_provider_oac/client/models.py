"""What calls and flows return, and how it becomes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from airflow_provider_oac.exceptions import OACConfigurationError


class Model:
    """The base of the dataclasses that calls and flows return."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it, for XCom and files: what OAC answered, else the fields."""
        return _members(self)

    def serialize(self) -> Any:
        """Refuse what Airflow asks for when a task returns it: the next task could not read it back.

        :raises OACConfigurationError: always.
        """
        name = type(self).__name__
        raise OACConfigurationError(
            f"A task cannot return {name} of airflow_provider_oac: the task that reads it from XCom would fail. Return "
            "its to_dict(), for a list [item.to_dict() for item in items], or what you need of it, such as item.id."
        )


def plain(value: Any) -> Any:
    """A result as JSON can hold it: models by their :meth:`Model.to_dict`.

    :raises OACConfigurationError: for what it cannot hold.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(inner) for inner in value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Model):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return _members(value)
    raise OACConfigurationError(
        f"The result is {type(value).__name__}, which neither XCom nor a file of JSON lines can hold. Let destination "
        "name a file for the answer as it is, or let result_filter make JSON of it."
    )


def _members(value: Any) -> dict[str, Any]:
    known = getattr(value, "raw", None)
    if isinstance(known, Mapping) and known:
        return {str(name): plain(inner) for name, inner in known.items()}
    return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
