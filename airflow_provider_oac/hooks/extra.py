"""Reads the fields of a Connection's extra."""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_oac._compat import setting
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.plain_text import hidden, is_word
from airflow_provider_oac.provider_info import SECRET_FIELDS

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection

# Airflow's pages show this text (the form of Airflow 2) or asterisks in place of a saved secret.
SAVED_SECRET = "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"  # noqa: S105
# Airflow 2 stored the fields of a form with this prefix. Its Test button still sends each field under both names.
_PREFIX = "extra__oac__"
# Names that other programs use for these fields.
_OTHER_NAMES = {
    "alias": "certificate_alias",
    "aud": "assertion_audience",
    "ca_cert": "ca_file",
    "domain_url": "identity_url",
    "grant_type": "grant",
    "idcs_host": "identity_url",
    "idcs_url": "identity_url",
    "key": "private_key",
    "key_file": "private_key",
    "kid": "certificate_alias",
    "passphrase": "private_key_passphrase",
    "subject": "user",
    "username": "user",
    "verify": "ca_file",
}

_NAME = re.compile(r"[A-Za-z][A-Za-z_. -]{0,39}")


class Extra:
    """Reads the fields of an extra. Missing, empty and null fields are alike: the form stores unset ones as null.

    :param conn: the Connection.
    :ivar secrets: the Connection's secrets, which must not appear in messages.
    :raises OACConfigurationError: if the extra is not a JSON object.
    """

    def __init__(self, conn: Connection) -> None:
        try:
            extra = json.loads(conn.extra) if conn.extra else {}
        except (ValueError, RecursionError):
            extra = None
        if not isinstance(extra, dict):
            raise OACConfigurationError("Its extra is not a JSON object.")
        self._extra = extra
        secrets = (conn.password, *(self.value(name) for name in SECRET_FIELDS))
        self.secrets = frozenset(str(secret).strip() for secret in secrets if secret)

    def value(self, name: str) -> Any:
        """Return a field unchanged, under its name or with the prefix of Airflow 2; ``None`` if it is unset."""
        for key in (name, _PREFIX + name):
            if self._extra.get(key) not in (None, ""):
                return self._extra[key]
        return None

    def text(self, name: str) -> str | None:
        """Return a field as text, without surrounding whitespace."""
        value = self.value(name)
        return None if value is None else str(value).strip() or None

    def secret(self, name: str) -> str | None:
        """Return a field as text, with surrounding whitespace, which may be part of a password."""
        value = self.value(name)
        return None if value is None else unmasked(str(value), f"{name} (Connection: extra, {name})")

    def misspelt(self, known: Iterable[str]) -> Iterator[str]:
        """Yield a sentence for each unknown member, which suggests a field with a similar name if there is one.

        :param known: the names of the known fields.
        """
        names = list(known)
        for key in self._extra:
            plain = key.removeprefix(_PREFIX)
            if plain in names:
                continue
            if plain not in self.secrets and (meant := _meant(plain, names)):
                yield f"Unknown field {plain!r} in extra. Did you mean {meant!r}?"
            elif is_word(plain, self.secrets):
                yield f"Unknown field {plain!r} in extra."
            else:
                yield f"Unknown field in extra: its name is {hidden(plain)}."

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a field that holds several words: a JSON array, or text separated by commas or whitespace."""
        value = self.value(name)
        items = value if isinstance(value, list) else re.split(r"[,\s]+", str(value or ""))
        return tuple(text for item in items if (text := str(item).strip()))

    def seconds(self, name: str, default: float) -> float:
        """Return a field that is a duration in seconds: a number, or a number as text.

        :raises OACConfigurationError: naming the field, if it is not a positive number below 1,000,000.
        """
        value = self.value(name)
        if value is None:
            return default
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = -1.0
        if not 0 < seconds < 1e6:
            raise OACConfigurationError(f"{name} must be a positive number of seconds, less than 1,000,000.")
        return seconds


def _meant(written: str, names: list[str]) -> str | None:
    """Return the field that a misspelled name resembles. A name with a digit resembles none, and may be a secret."""
    if not _NAME.fullmatch(written):
        return None
    snake = re.sub(r"[^a-z]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", written).lower())
    return next(iter(difflib.get_close_matches(_OTHER_NAMES.get(snake, snake), names, n=1, cutoff=0.7)), None)


def invisible(text: str) -> str | None:
    """Return the code and name of the first invisible character; ``None`` if there is none."""
    found = next((character for character in text if not character.isprintable()), None)
    return found and f"U+{ord(found):04X} ({unicodedata.name(found, 'a control character')})"


def refuse_invisible(text: str, what: str) -> None:
    """Refuse an ID that contains an invisible character.

    :param what: the field, for the message.
    :raises OACConfigurationError: naming the field and the character.
    """
    if found := invisible(text):
        raise OACConfigurationError(
            f"{what} contains the invisible character {found}, probably pasted with the text. Type the text, or paste "
            "it through a plain-text editor."
        )


def file_folder() -> str | None:
    """Return the folder with the files that Connections may name (``[oac] file_folder``); ``None`` for any folder.

    :raises OACConfigurationError: if it is not an absolute path.
    """
    folder = os.path.expanduser(setting("oac", "file_folder"))
    if folder and not os.path.isabs(folder):
        raise OACConfigurationError(f"[oac] file_folder is {folder!r}; it must be an absolute path.")
    return folder or None


def unmasked(text: str, what: str) -> str:
    """Return a secret, unless it is the mask that Airflow's pages show in place of one.

    :param what: the field, for the message.
    :raises OACConfigurationError: naming the field, if it is the mask.
    """
    if text != SAVED_SECRET and not (len(text) >= 3 and set(text) == {"*"}):
        return text
    raise OACConfigurationError(
        f"{what} is the mask that Airflow shows instead of a saved secret. Enter the secret again. To test a saved "
        "Connection, use `python -m airflow_provider_oac check`."
    )
