"""Results of calls and flows, and their conversion to JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, Self, TypeVar, dataclass_transform

from airflow_provider_oac.client.calls import as_array, as_object, json_object, text_member
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.io import Response

T = TypeVar("T")


def text(value: Any) -> str:
    """Return a member's value as text; empty if it is missing, an object or a list."""
    return "" if value is None or isinstance(value, dict | list) else str(value)


def text_or_none(value: Any) -> str | None:
    """Return a member's value as text; ``None`` if it is missing, empty, an object or a list."""
    return text(value) or None


def number(value: Any) -> float | None:
    """Return a number, also one given as text, with whole numbers as ``int``; ``None`` for anything else."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() else found


def member(*names: str, read: Callable[[Any], Any] = text, required: bool = False, **options: Any) -> Any:
    """Declare a field of a :class:`Model` that is read from a member of a JSON object.

    :param names: names of the member; the first one that has a value counts. A dot leads into a nested object.
    :param read: converts the member's value, which may be anything, or ``None`` if it is missing.
    :param required: whether the member must be a non-empty text.
    :param options: passed to :func:`dataclasses.field`.
    """

    def found(body: Mapping[str, Any], what: str) -> Any:
        if required:
            return read(text_member(body, names[0], what))
        values = [_inside(body, name) for name in names]
        return read(
            next((value for value in values if value not in (None, "", [], {})), values[0] if values[0] != "" else None)
        )

    return field(metadata={"read": found}, **options)


def _inside(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


@dataclass_transform(frozen_default=True, field_specifiers=(member, field))
def model(kind: type[T]) -> type[T]:
    """Turn a :class:`Model` whose fields are declared with :func:`member` into a frozen dataclass."""
    return dataclass(frozen=True)(kind)


class Model:
    """Base of the dataclasses that calls and flows return."""

    @classmethod
    def parse(cls, value: Any, what: str, **others: Any) -> Self:
        """Build the model from a JSON object of OAC; ``raw`` becomes the object itself.

        :param value: the object.
        :param what: what it is, for messages: "A snapshot".
        :param others: values of fields that come from elsewhere.
        :raises OACResponseError: if it is not an object, or a required member is missing.
        """
        body = as_object(value, what)
        for one in fields(cls):  # type: ignore[arg-type]
            if one.name not in others and "read" in one.metadata:
                others[one.name] = one.metadata["read"](body, what)
            elif one.name == "raw":
                others["raw"] = body
        return cls(**others)

    @classmethod
    def reader(cls, what: str) -> Callable[[Response], Self]:
        """Return a function that reads one model from a response; it raises as :meth:`parse` does."""
        return lambda response: cls.parse(json_object(response), what)

    @classmethod
    def list_reader(cls, what: str, whole: str) -> Callable[[Response], list[Self]]:
        """Return a function that reads the array ``items`` of a response; it raises as :meth:`parse` does.

        :param what: what an item is, for messages.
        :param whole: what the list is, for messages.
        """

        def read(response: Response) -> list[Self]:
            items = as_array(json_object(response).get("items"), f"The member 'items' of {whole}")
            return [cls.parse(item, what) for item in items]

        return read

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data for XCom and files: OAC's raw object if there is one, else the fields."""
        return _members(self)

    def serialize(self) -> Any:
        """Refuse Airflow's serialization of a task result: the next task could not read the model back.

        :raises OACConfigurationError: always.
        """
        name = type(self).__name__
        raise OACConfigurationError(
            f"A task cannot return {name} of airflow_provider_oac: another task could not read it from XCom. Next "
            "step: return its to_dict(), [item.to_dict() for item in items] for a list, or a member such as item.id."
        )


def plain(value: Any) -> Any:
    """Convert a result to JSON-compatible data; models are converted by :meth:`Model.to_dict`.

    :raises OACConfigurationError: for a value that JSON cannot hold.
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
        f"The result is of the type {type(value).__name__}, which neither XCom nor a JSON file can hold. Next step: "
        "set destination to store the response as a file, or convert the result to JSON with result_filter."
    )


def _members(value: Any) -> dict[str, Any]:
    known = getattr(value, "raw", None)
    if isinstance(known, Mapping) and known:
        return {str(name): plain(inner) for name, inner in known.items()}
    return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
