"""Text of others, made fit for logs and terminals."""

from __future__ import annotations

import re

# ECMA-48: control sequences (ESC [ … or C1 CSI), strings such as titles and links (ESC ] … BEL or ESC \), the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,500}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# C0 and C1, bidirectional controls (Unicode's Bidi_Control), line and paragraph separators, halves of characters, which
# no log can write.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """Text whose every character is only read: what could move a cursor, color or reorder what stands around it, or
    begin a line of its own, becomes U+FFFD. Line feeds and tabs stay, as messages of ours have them.
    """
    # In nearly all cases there is nothing to replace.
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("\ufffd", text))
