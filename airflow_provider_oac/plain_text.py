"""Make text from other systems fit for messages, logs and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterable

# ECMA-48: control sequences (ESC [ … or C1 CSI), strings such as titles and links (ESC ] … BEL or ESC \), the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,500}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# C0 and C1, bidirectional controls (Unicode's Bidi_Control), line and paragraph separators, lone surrogates, which no
# log can write.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A client id of an identity domain, or an e-mail address.
_NAME = re.compile(r"[0-9a-f]{32}|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_WORD = re.compile(r"[a-z]+(?:[_-][a-z]+)*")


def plain(text: str) -> str:
    """Replace control characters, which could move the cursor, color or reorder text or begin a new line, with U+FFFD.

    Line feeds and tabs stay, because messages of this package contain them.
    """
    # Nearly all texts have nothing to replace.
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("\ufffd", text))


def word_or_length(value: str, secrets: Iterable[str] = ()) -> str:
    """Quote a value of a Connection in a message, or give only its length if it may be a secret in the wrong field.

    :param value: the value.
    :param secrets: the secrets of the same Connection.
    """
    return repr(value) if is_word(value, secrets) else hidden(value)


def name_or_length(value: str, secrets: Iterable[str] = ()) -> str:
    """Show a user or a client id of a Connection in a message, or only its length if it may be a secret.

    The parameters are those of :func:`word_or_length`.
    """
    known = is_word(value, secrets) or (_NAME.fullmatch(value) and value not in secrets)
    return value if known else hidden(value)


def is_word(value: str, secrets: Iterable[str] = ()) -> bool:
    """Whether a value of a Connection is a short lower-case word without digits, and none of its secrets.

    Such a word is no token, no key and no client secret of an identity domain, and a domain's default rules refuse it
    as a password.
    """
    return len(value) <= 24 and bool(_WORD.fullmatch(value)) and value not in secrets


def hidden(value: str) -> str:
    """Describe a value that may be a secret."""
    return f"a text of {len(value)} characters (not shown: it may be a secret)"
