"""File names derived from user-supplied text."""

from __future__ import annotations

import re
import unicodedata

# Longest file name, in bytes of UTF-8, that ext4, XFS, APFS and NTFS all accept.
NAME_BYTES = 255
_ENDING = 4


def plain_name(text: str, most: int = NAME_BYTES - _ENDING) -> str:
    """Turn a name into a part of a file name: letters with their marks, digits, dots, underscores and hyphens.

    The result is in composed form (NFC), so each name has one spelling.

    :param text: the name.
    :param most: most bytes of the result; the default leaves room for an extension such as ``.pdf``.
    """
    kept = "/"
    for character in unicodedata.normalize("NFC", text):
        # A mark stays with its letter. After a dropped character, such as an emoji, it is dropped too.
        if kept[-1] != "/" or unicodedata.category(character)[0] != "M":
            kept += _kept(character)
    return cut(re.sub("/+", "_", kept).strip("._"), most) or "unnamed"


def cut(text: str, most: int) -> str:
    """Cut a text to at most ``most`` bytes of UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= most else data[:most].decode(errors="ignore")


def _kept(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] in "LMN" or character in "._-":
        return character
    # Format characters such as joiners have no width; replacing one would split a word.
    return "" if kind == "Cf" else "/"
