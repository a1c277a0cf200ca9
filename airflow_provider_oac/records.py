"""Typed, versioned records that a task keeps for its next try, or for the time after a deferral.

One version of this package may write a record and another one read it. A value that is not a record of exactly this
version counts as unknown, and the reader looks for traces in OAC instead.
"""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints


class Record:
    """Base of frozen dataclasses that are kept as JSON. No member holds a secret.

    Members are text, numbers, booleans, ``None``, dictionaries of JSON, tuples, other records, and unions of these.
    """

    # Raise it when a member changes its meaning.
    VERSION: ClassVar[int] = 1

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON, without tuples, which Airflow's task state store does not accept."""
        members = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]
        return {"version": self.VERSION, **members}

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Read a record from JSON.

        :returns: the record; ``None`` if the version, a member's name or a member's type differs.
        """
        hints = _hints_of(cls)
        if not isinstance(value, dict) or set(value) != {"version", *hints} or value["version"] != cls.VERSION:
            return None
        try:
            return cls(**{name: _read(value[name], hint) for name, hint in hints.items()})
        except _UnfitError:
            return None


class _UnfitError(Exception):
    """A value is not of the type of its member."""


_hints: dict[type[Record], dict[str, Any]] = {}


def _hints_of(kind: type[Record]) -> dict[str, Any]:
    """The types of a record's members. Looking them up takes a millisecond."""
    if kind not in _hints:
        found = get_type_hints(kind)
        _hints[kind] = {item.name: found[item.name] for item in fields(kind)}  # type: ignore[arg-type]
    return _hints[kind]


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _read(value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        for each in get_args(hint):
            try:
                return _read(value, each)
            except _UnfitError:
                continue
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_read(item, get_args(hint)[0]) for item in value)
    elif isinstance(hint, type) and issubclass(hint, Record):
        if (record := hint.from_json(value)) is not None:
            return record
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif type(value) is (origin or hint):
        return value
    raise _UnfitError
