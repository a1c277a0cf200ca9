"""Check the arguments of operators, sensors and notifiers against their annotations.

A class declares its arguments (see :mod:`airflow_provider_oac.tasks`), and this module refuses every value that does
not fit before anything is sent. A ``bool`` must be ``True`` or ``False``: the text ``"false"``, a template or an
XComArg would count as true.
"""

from __future__ import annotations

import functools
import os
import sys
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, overload

from airflow_provider_oac.exceptions import OACConfigurationError


class AtLeast(NamedTuple):
    """Marks a number or a duration that has a minimum."""

    value: float


class OneOf(NamedTuple):
    """Marks a template field that accepts only these texts; other arguments use ``Literal``, for type checkers."""

    values: tuple[str, ...]


class Hint(NamedTuple):
    """Marks an argument whose errors need one more sentence."""

    text: str


T = TypeVar("T")
TEMPLATE = object()
Template: TypeAlias = Annotated[T, TEMPLATE]
"""An argument in which Airflow renders templates."""
EMPTY = object()
"""Marks a text that may be empty."""
_PATH, _LOCATION = object(), object()
# 1000 years, in seconds. Dates after a longer duration cannot be represented.
_LONGEST = 1000 * 365 * 86400.0

Count: TypeAlias = Annotated[int, AtLeast(0)]
Number: TypeAlias = Annotated[int, AtLeast(1)]
Duration: TypeAlias = timedelta | float
"""A timedelta, or seconds; more than nothing."""
if TYPE_CHECKING:
    from airflow_provider_oac._compat import ObjectStoragePath

    CatalogPath: TypeAlias = str | os.PathLike[str] | ObjectStoragePath
    Location: TypeAlias = str | os.PathLike[str] | ObjectStoragePath
else:
    CatalogPath = Annotated[str, _PATH]
    Location = Annotated[str, _LOCATION]

# Folder of the bucket that holds the snapshots of all instances, each in its own folder.
DEFAULT_FOLDER = "oac-snapshots"
_REFUSED: Any = object()
_RENDERS_TEXT = (
    " A template renders to text: pass the .output of a task, put templates into its members, or give the DAG "
    "render_template_as_native_obj=True."
)


class Declaration(NamedTuple):
    """An argument as a class declares it.

    :param attribute: the attribute that holds it.
    :param default: its value if it is not given.
    """

    name: str
    attribute: str
    default: Any
    annotation: Any


class Alias(NamedTuple):
    """The default of an argument whose name differs from its attribute."""

    name: str
    default: Any


def argument(*, alias: str, default: Any) -> Any:
    """Declare an argument whose name differs from its attribute, because Airflow has a method of that name.

    :param alias: name of the argument.
    :param default: its value if it is not given.
    """
    return Alias(alias, default)


class Kind(NamedTuple):
    """The values that an argument accepts.

    :param wanted: a description of them, for messages.
    :param taken: converts a value into the form that the class works with; ``_REFUSED`` if it does not fit.
    :param text: whether messages quote a text that does not fit. If not, it may hold secrets, and messages explain that
        templates render to text.
    :param member: the values that each member of a list may have.
    """

    wanted: str
    taken: Callable[[Any], Any]
    text: bool = False
    member: Kind | None = None


class Argument(NamedTuple):
    """An argument of a class.

    :param default: its value if it is not given.
    :param kind: the values that it accepts; ``None`` for any value.
    :param nullable: whether it may be ``None``.
    :param marks: further marks of its annotation.
    """

    name: str
    attribute: str
    default: Any
    kind: Kind | None
    nullable: bool
    marks: tuple[Any, ...]

    def judged(self, value: Any, *, rendered: bool) -> tuple[Any, str]:
        """The value in the form that the class works with, and a complaint for people; empty if the value fits.

        :param rendered: whether templates have been rendered; ``False`` while a DAG is parsed.
        """
        if self.kind is None or (value is None and self.nullable):
            return value, ""
        templated = TEMPLATE in self.marks
        if not (templated and rendered) and unresolved(value):
            if templated:
                return value, ""
            return value, (
                f"{self.name} is not a template field: it takes {self.kind.wanted}, but is {_shown(value, self.kind)}. "
                "Pass the value itself."
            )
        if _is_none(value):
            return value, (
                f"{self.name} is the text 'None', which a template renders if it finds nothing. Check what its "
                f"template refers to.{self._hint()}"
            )
        taken = self.kind.taken(value)
        if taken is not _REFUSED and (EMPTY in self.marks or not _is_blank(taken)):
            return taken, ""
        wanted = f"{self.name} must be {self.kind.wanted}, but {self._misfit(value)}."
        return value, f"{wanted}{'' if self.kind.text or not isinstance(value, str) else _RENDERS_TEXT}{self._hint()}"

    def _misfit(self, value: Any) -> str:
        """Describe what does not fit: the value, or the first such member of a list."""
        member = self.kind.member if self.kind else None
        if member and _is_list(value):
            return f"one is {_shown(next(one for one in value if member.taken(one) is _REFUSED), member)}"
        return f"is {_shown(value, self.kind)}"

    def _hint(self) -> str:
        return "".join(f" {mark.text}" for mark in self.marks if isinstance(mark, Hint))


def check(target: Any, who: str, *, rendered: bool, refuse: bool = True) -> None:
    """Refuse arguments that do not fit, and convert the others into the form that the class works with.

    :param target: an operator, a sensor or a notifier.
    :param who: its name in messages.
    :param rendered: whether templates have been rendered; ``False`` while a DAG is parsed.
    :param refuse: ``False`` leaves values that do not fit unchanged: after a deferral, the work has already begun.
    :raises OACConfigurationError: naming the argument.
    """
    kind: Any = type(target)
    for each in arguments_of(kind):
        kept = getattr(target, each.attribute)
        # An assignment to the argument's name, such as ``prune.dry_run = True``, hides Airflow's method. It counts.
        given = vars(target).get(each.name, kept)
        if given is each.default and given is kept:
            continue
        value, complaint = each.judged(given, rendered=rendered)
        if complaint and refuse:
            raise OACConfigurationError(f"{who}: {complaint}{' Nothing was sent.' if rendered else ''}")
        if not complaint and value is not kept:
            setattr(target, each.attribute, value)


@functools.cache
def arguments_of(kind: type) -> tuple[Argument, ...]:
    """The arguments of a class, from the declarations of its bases and its own."""
    found: dict[str, Argument] = {}
    for base in reversed(kind.__mro__):
        declared: tuple[Declaration, ...] = vars(base).get("_own_arguments", ())
        texts = SimpleNamespace(__annotations__={item.name: item.annotation for item in declared})
        hints = typing.get_type_hints(texts, vars(sys.modules[base.__module__]), include_extras=True)
        for name, attribute, default, _ in declared:
            options, marks = _options(hints[name], ())
            wanted = _kind(tuple(option for option in options if option is not NoneType), marks)
            found[name] = Argument(name, attribute, default, wanted, NoneType in options, marks)
    return tuple(found.values())


def unresolved(value: Any) -> bool:
    """Whether a value is, or holds, a template, an XComArg or another reference that Airflow has yet to resolve."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if value is None or isinstance(value, int | float | timedelta | datetime):
        return False
    if isinstance(value, Mapping):
        return any(map(unresolved, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(unresolved, value))
    # XComArg, DagParam and the like.
    return hasattr(value, "iter_references")


@overload
def path_text(value: CatalogPath) -> str: ...
@overload
def path_text(value: CatalogPath | None) -> str | None: ...
def path_text(value: Any) -> Any:
    """A text, a ``pathlib`` path or an ``ObjectStoragePath`` as text; the check refuses anything else."""
    # Only an ObjectStoragePath has this; its module is too heavy to import. os.fspath would omit its Connection.
    if hasattr(value, "storage_options"):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


@overload
def seconds(value: Duration) -> float: ...
@overload
def seconds(value: Duration | None) -> float | None: ...
def seconds(value: Any) -> Any:
    """A duration in seconds; the check refuses other values."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def _options(hint: Any, marks: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The members of an annotation that is a union, and all marks in it."""
    if typing.get_origin(hint) is Annotated:
        inner, *own = typing.get_args(hint)
        return _options(inner, (*marks, *own))
    if typing.get_origin(hint) not in (typing.Union, UnionType):
        return (hint,), marks
    found: tuple[Any, ...] = ()
    for part in typing.get_args(hint):
        options, marks = _options(part, marks)
        found += options
    return found, marks


def _kind(options: tuple[Any, ...], marks: tuple[Any, ...]) -> Kind | None:
    if Any in options:
        return None
    if timedelta in options:
        return _duration(options, marks)
    kinds = [_single(option, marks) for option in options]
    if len(kinds) == 1:
        return kinds[0]

    def taken(value: Any) -> Any:
        return next((found for kind in kinds if (found := kind.taken(value)) is not _REFUSED), _REFUSED)

    member = next((kind.member for kind in kinds if kind.member), None)
    wanted = (", or " if member else " or ").join(dict.fromkeys(kind.wanted for kind in kinds))
    return Kind(wanted, taken, any(kind.text for kind in kinds), member)


def _fitting(wanted: str, fits: Callable[[Any], Any], *, text: bool = False) -> Kind:
    """The values for which a function returns a true value, unchanged."""
    return Kind(wanted, lambda value: value if fits(value) else _REFUSED, text)


_SIMPLE = {
    bool: _fitting("True or False", lambda value: value is True or value is False, text=True),
    datetime: _fitting("a datetime", lambda value: isinstance(value, datetime)),
    Mapping: _fitting("a dictionary", lambda value: isinstance(value, Mapping)),
    Callable: _fitting("a function", callable, text=True),
}


def _single(option: Any, marks: tuple[Any, ...]) -> Kind:
    origin = typing.get_origin(option) or option
    if origin in _SIMPLE:
        return _SIMPLE[origin]
    if origin is int:
        return _number(marks)
    if origin is str:
        return _text(marks)
    if origin is Literal:
        return _choice(typing.get_args(option))
    if origin in (Sequence, Collection):
        return _list(typing.get_args(option)[0])
    raise TypeError(f"No argument can be checked against the annotation {option!r}.")


def _duration(options: tuple[Any, ...], marks: tuple[Any, ...]) -> Kind:
    lowest = next((mark.value for mark in marks if isinstance(mark, AtLeast)), None)
    numbers = float in options

    def fits(value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool) and numbers
        if not number and not isinstance(value, timedelta):
            return False
        length: float = seconds(value)
        return length <= _LONGEST and (length > 0 if lowest is None else length >= lowest)

    wanted = "number of seconds or a timedelta" if numbers else "timedelta, such as timedelta(days=1), up to 1000 years"
    return _fitting(f"a {'positive ' if lowest is None else ''}{wanted}", fits, text=True)


def _number(marks: tuple[Any, ...]) -> Kind:
    lowest = next(mark.value for mark in marks if isinstance(mark, AtLeast))

    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= lowest

    return _fitting(f"a whole number of at least {lowest}", fits, text=True)


def _choice(known: tuple[Any, ...]) -> Kind:
    wanted = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
    return _fitting(wanted, lambda value: isinstance(value, str) and value in known, text=True)


def _text(marks: tuple[Any, ...]) -> Kind:
    for mark in marks:
        if isinstance(mark, OneOf):
            return _choice(mark.values)
    if _LOCATION in marks:
        wanted = (
            "an absolute path or a URL, such as /data/report.pdf, file:///data/report.pdf (three slashes, no host) or "
            "s3://bucket/report.pdf"
        )
        return Kind(wanted, _location, text=True)
    is_path = _PATH in marks
    wanted = f"a {'' if EMPTY in marks else 'non-empty '}{'path' if is_path else 'text'}"

    def taken(value: Any) -> Any:
        # Airflow's native rendering turns digits into a number.
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        text = path_text(value) if is_path else value
        return text if isinstance(text, str) and _is_unicode(text) else _REFUSED

    return Kind(wanted, taken, text=True)


def _location(value: Any) -> Any:
    text = path_text(value)
    if not isinstance(text, str) or not _is_unicode(text) or "\0" in text:
        return _REFUSED
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.startswith("/"):
        return text if text.startswith("/") else _REFUSED
    if scheme.lower() in ("file", "local"):
        # fsspec reads file:////x as a path in the current folder.
        return text if rest.startswith("/") and not rest.startswith("//") else _REFUSED
    return text if scheme and rest else _REFUSED


def _list(inner: Any) -> Kind:
    options, marks = _options(inner, ())
    kind = _kind(options, marks)
    if kind is None:
        raise TypeError(f"No list can be checked whose members are {inner!r}.")

    def one(value: Any) -> Any:
        # A template that finds nothing renders to "None", a name that protects, exports or notifies nothing.
        found = _REFUSED if _is_none(value) else kind.taken(value)
        return _REFUSED if _is_blank(found) else found

    def taken(value: Any) -> Any:
        if not _is_list(value):
            return _REFUSED
        members = [one(member) for member in value]
        if any(member is _REFUSED for member in members):
            return _REFUSED
        return value if all(member is given for member, given in zip(members, value, strict=True)) else members

    return Kind(f"a list of which each member is {kind.wanted}", taken, member=kind._replace(taken=one))


def _is_list(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray | memoryview | Mapping)


def _is_none(value: Any) -> bool:
    """Whether a value is the text to which a template renders if it finds nothing."""
    return isinstance(value, str) and value.strip() == "None"


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which cannot be sent or stored."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _shown(value: Any, kind: Kind | None) -> str:
    """Describe a value in a message; a dictionary, or a text in its place, is not shown, as it may hold secrets."""
    if isinstance(value, str):
        return f"the text {value[:100]!r}" if kind and kind.text else "a text"
    if value is None or isinstance(value, bool | int | float | timedelta | os.PathLike):
        return repr(value)
    # With its module: numpy's bool has the same name as Python's.
    return f"of the type {type(value).__module__}.{type(value).__qualname__}".replace(" builtins.", " ")
