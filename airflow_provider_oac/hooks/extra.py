"""The extra of a Connection, field by field."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_oac.exceptions import OACConfigurationError

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection

# Airflow 2 wrote the fields of a form under this prefix, and its Test button still sends them twice.
_PREFIX = "extra__oac__"


class Extra:
    """Reads the fields of an extra. Missing, empty and null are alike: the form stores unset fields as null.

    :param conn: the Connection.
    :raises OACConfigurationError: if its extra is not a JSON object.
    """

    def __init__(self, conn: Connection) -> None:
        try:
            extra = json.loads(conn.extra) if conn.extra else {}
        except (ValueError, RecursionError):
            extra = None
        if not isinstance(extra, dict):
            raise OACConfigurationError("Its extra is not a JSON object.")
        self._extra = extra

    def value(self, name: str) -> Any:
        """A field as it is, under its name or with the prefix of Airflow 2; ``None`` if it is unset."""
        for key in (name, _PREFIX + name):
            if self._extra.get(key) not in (None, ""):
                return self._extra[key]
        return None

    def text(self, name: str) -> str | None:
        """A field as text, without blanks at its ends."""
        value = self.value(name)
        return None if value is None else str(value).strip() or None

    def secret(self, name: str) -> str | None:
        """A field as text; blanks at its ends belong to it, as in a password."""
        value = self.value(name)
        return None if value is None else str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that holds several words: a JSON array, or a text with commas or blanks in between."""
        value = self.value(name)
        items = value if isinstance(value, list) else re.split(r"[,\s]+", str(value or ""))
        return tuple(text for item in items if (text := str(item).strip()))

    def seconds(self, name: str, default: float) -> float:
        """A field that is a duration in seconds: a number, or a text that is one.

        :raises OACConfigurationError: naming the field, if it is no positive number.
        """
        value = self.value(name)
        if value is None:
            return default
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = -1.0
        if not 0 < seconds < 1e6:
            raise OACConfigurationError(f"{name} must be a positive number of seconds, but is {str(value)[:40]!r}.")
        return seconds
