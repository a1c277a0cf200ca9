"""Which members of a JSON object hold secrets, as far as their names tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SECRET = re.compile(r"passw|passphrase|secret|token|private_?key|credential", re.IGNORECASE)
MASK = "***"


def is_secret(name: str) -> bool:
    """Whether a member of this name holds a secret."""
    return _SECRET.search(name) is not None


def secret_names(members: Mapping[str, Any]) -> list[str]:
    """Names of the members that hold secrets, also further inside."""
    return [name for name, _ in _secrets(members)]


def secrets_of(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Their values, to be kept out of messages."""
    return tuple(value for _, value in _secrets(members) if value)


def masked(members: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the values of secrets, for people."""
    return {
        name: masked(value) if isinstance(value, Mapping) else MASK if is_secret(name) else value
        for name, value in members.items()
    }


def _secrets(members: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif is_secret(str(name)):
            yield str(name), "" if value is None else str(value)
