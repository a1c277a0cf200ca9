"""Names of files made from texts of people."""

from __future__ import annotations

import re
import unicodedata

# Of a file's name, in UTF-8: what ext4, XFS, APFS and NTFS take at least.
NAME_BYTES = 255
_ENDING = 4


def plain_name(text: str, most: int = NAME_BYTES - _ENDING) -> str:
    """A name as a part of a file's name: letters with their marks, digits, dots, underscores and hyphens.

    In composed form (NFC), so one name has one spelling.

    :param text: the name.
    :param most: bytes that it may have; by default what leaves room for an ending such as ``.pdf``.
    """
    kept = "/"
    for character in unicodedata.normalize("NFC", text):
        # A mark belongs to a letter. A mark on another sign, such as an emoji, is dropped with the sign.
        if kept[-1] != "/" or unicodedata.category(character)[0] != "M":
            kept += _kept(character)
    return cut(re.sub("/+", "_", kept).strip("._"), most) or "unnamed"


def cut(text: str, most: int) -> str:
    """The beginning of a text that has at most so many bytes in UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= most else data[:most].decode(errors="ignore")


def _kept(character: str) -> str:
    kind = unicodedata.category(character)
    if kind[0] in "LMN" or character in "._-":
        return character
    # Joiners and the like have no width: a sign in their place would part a word.
    return "" if kind == "Cf" else "/"
