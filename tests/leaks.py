"""Looking for known secrets in whatever a program left behind: plain, base64 and URL-encoded."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

#: Of a long secret this much of its end is looked for: tokens of one issuer all begin alike.
_LONGEST = 40
#: Less than this would be found anywhere.
_SHORTEST = 8
#: What encoded forms of one secret have in common: they stand in one piece of these characters.
_PIECE = re.compile(rb"[A-Za-z0-9+/=_.%~-]{16,}")


def parts(secret: str) -> list[str]:
    """What to look for, of a secret as a person stores it: each line of a key, the end of a token."""
    lines = [line.strip() for line in secret.splitlines()]
    kept = [line for line in lines if len(line) >= _SHORTEST and not line.startswith("-----")]
    return [line[-_LONGEST:] for line in kept]


def forms(part: str) -> set[bytes]:
    """A text as it may be written: as it is, in a URL, in a form, in JSON, and in base64 amid whatever else."""
    plain = part.encode()
    found = {plain, quote(part, safe="").encode(), quote_plus(part).encode(), json.dumps(part)[1:-1].encode()}
    for ahead in range(3):
        # The characters at either end depend on what stands beside it, and are left out.
        encoded = base64.b64encode(b"\0" * ahead + plain)
        kept = encoded[-(-ahead * 8 // 6) : len(encoded) - (0 if (ahead + len(plain)) % 3 == 0 else 4)]
        found |= {kept, kept.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Search:
    """Secrets to look for, and where they were found.

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
        # What needs no encoding stands in a piece; the rest is looked for everywhere.
        self._in_pieces = [form for form in self._names if _PIECE.fullmatch(form)]
        self._anywhere = [form for form in self._names if not _PIECE.fullmatch(form)]

    def found(self, places: Iterable[tuple[str, bytes]]) -> dict[str, set[str]]:
        """The names of the secrets that stand somewhere, each with the places.

        :param places: names of places and what stands there.
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
