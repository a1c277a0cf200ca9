"""Search for known secrets in a program's output and files: plain, base64 and URL-encoded."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

#: Number of last characters of a long secret to search for, because all tokens of an issuer start alike.
_LONGEST = 40
#: Shorter secrets would match by chance.
_SHORTEST = 8
#: An encoded secret is inside one run of these characters.
_PIECE = re.compile(rb"[A-Za-z0-9+/=_.%~-]{16,}")


def parts(secret: str) -> list[str]:
    """Return the parts of a secret to search for: each line of a key, the end of a token."""
    lines = [line.strip() for line in secret.splitlines()]
    kept = [line for line in lines if len(line) >= _SHORTEST and not line.startswith("-----")]
    return [line[-_LONGEST:] for line in kept]


def forms(part: str) -> set[bytes]:
    """Return the possible encodings of a text: plain, in a URL, in a form, in JSON, and inside other base64."""
    plain = part.encode()
    found = {plain, quote(part, safe="").encode(), quote_plus(part).encode(), json.dumps(part)[1:-1].encode()}
    for ahead in range(3):
        # The characters at both ends depend on the surrounding bytes, so they are left out.
        encoded = base64.b64encode(b"\0" * ahead + plain)
        kept = encoded[-(-ahead * 8 // 6) : len(encoded) - (0 if (ahead + len(plain)) % 3 == 0 else 4)]
        found |= {kept, kept.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Search:
    """A search for secrets.

    :param secrets: name to secret.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names: dict[bytes, str] = {}
        for name, secret in secrets.items():
            if not parts(secret):
                raise ValueError(f"{name} is too short to be looked for")
            for part in parts(secret):
                for form in forms(part):
                    self._names.setdefault(form, name)
        # Forms of these characters are inside one run of them; search for the others everywhere.
        self._in_pieces = [form for form in self._names if _PIECE.fullmatch(form)]
        self._anywhere = [form for form in self._names if not _PIECE.fullmatch(form)]

    def found(self, places: Iterable[tuple[str, bytes]]) -> dict[str, set[str]]:
        """Return the names of the found secrets, each with the places.

        :param places: names of places and their content.
        """
        hits: dict[str, set[str]] = {}
        for place, data in places:
            joined = b"\n".join(set(_PIECE.findall(data)))
            for form in self._in_pieces:
                if form in joined:
                    hits.setdefault(self._names[form], set()).add(place)
            for form in self._anywhere:
                if form in data:
                    hits.setdefault(self._names[form], set()).add(place)
        return hits
