"""Which members of a JSON object hold secrets, judged by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# A text: compiled when a name is first tested, which few DAGs do when they are parsed.
_WORDS = (
    r"passw|passphrase|pass_?code|pwd|secret|token|credential|"
    r"(?:private|api|access|account|shared|signing|encryption|master)[_-]?key"
)
MASK = "***"


def is_secret(name: str) -> bool:
    """Whether a member of this name holds a secret, with whatever is below it."""
    return re.search(_WORDS, name, re.IGNORECASE) is not None


def secret_names(members: Mapping[str, Any]) -> list[str]:
    """Names of the members that hold secrets, also further inside, in lists as well."""
    return [name for name, _ in _secrets(members)]


def secrets_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Their values, to be kept out of messages."""
    return tuple(text for _, value in _secrets(members) for text in _leaves(value))


def texts_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Every text in an object that is secret as a whole, and what else sounds like a secret."""
    return tuple(dict.fromkeys([*_leaves(members, texts_only=True), *secrets_of(members)]))


def masked(members: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the values of secrets, for people."""
    return {name: MASK if is_secret(str(name)) else _masked(value) for name, value in members.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(value)
    return [_masked(item) for item in value] if isinstance(value, list | tuple) else value


def _secrets(value: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of each secret; the value may be an object or a list."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret(str(name)):
                yield str(name), inner
            else:
                yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


def _leaves(value: Any, *, texts_only: bool = False) -> Iterator[str]:
    """The single values inside objects and lists."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner, texts_only=texts_only)
    elif value if isinstance(value, str) else not (texts_only or value is None or isinstance(value, bool)):
        yield str(value)
