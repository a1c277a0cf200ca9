"""Recognize secrets in a JSON object by the names of its members."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Kept as text: it is compiled when a name is first tested, which parsing a DAG rarely does.
_WORDS = (
    r"passw|passphrase|pass_?code|pwd|secret|token|credential|"
    r"(?:private|api|access|account|shared|signing|encryption|master)[_-]?key"
)
MASK = "***"


def is_secret(name: str) -> bool:
    """Whether a member of this name holds a secret; everything below it is then secret."""
    return re.search(_WORDS, name, re.IGNORECASE) is not None


def secret_names(members: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that hold secrets, at any depth and inside lists."""
    return [name for name, _ in _secrets(members)]


def secrets_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of the members that hold secrets, for redaction."""
    return tuple(str(leaf) for _, value in _secrets(members) for leaf in _leaves(value) if leaf not in (None, ""))


def texts_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every text of an object that is secret as a whole, and the values of members with secret names."""
    texts = [leaf for leaf in _leaves(members) if leaf and isinstance(leaf, str)]
    return tuple(dict.fromkeys([*texts, *secrets_of(members)]))


def masked(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy for people, with the values of secrets masked."""
    return {name: MASK if is_secret(str(name)) else _masked(value) for name, value in members.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(value)
    return [_masked(item) for item in value] if isinstance(value, list | tuple) else value


def _secrets(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each secret; the value may be an object or a list."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret(str(name)):
                yield str(name), inner
            else:
                yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the single values inside objects and lists, except booleans."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(inner)
    elif not isinstance(value, bool):
        yield value
