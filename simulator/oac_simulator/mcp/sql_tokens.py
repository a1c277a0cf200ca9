"""The tokens of a query, and a reader for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oac_simulator.mcp.sql_errors import QueryError, Unsupported, syntax

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>--|/\*)|(?P<text>'(?:[^'\0]|'')*')|(?P<quoted>\"[^\"\0]+\")"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign><>|<=|>=|[-+*/(),.;<>=])"
)
#: Keywords, which are names only if quoted.
_KEYWORDS = frozenset({
    "SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "OFFSET", "FETCH", "UNION", "AND", "OR", "NOT",
    "CASE", "WHEN", "THEN", "ELSE", "END", "AS", "IS", "IN", "LIKE", "BETWEEN", "ASC", "DESC", "USING", "NULL",
})  # fmt: skip
#: Keywords of unsupported constructs.
_REFUSED = frozenset({
    "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "WITH", "INTERSECT", "EXCEPT", "MINUS", "SET",
    "SELECT_PHYSICAL",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the query: `kind` is `text`, `quoted`, `number`, `word`, `sign` or `end`."""

    kind: str
    text: str
    begin: int
    end: int

    @property
    def upper(self) -> str:
        """The uppercase keyword or sign for comparison; empty for quoted names and strings."""
        return self.text.upper() if self.kind in ("word", "sign") else ""

    @property
    def plain(self) -> str:
        """A name or string without its quotes."""
        return self.text[1:-1].replace("''", "'") if self.kind in ("text", "quoted") else self.text


class Tokens:
    """The tokens of a query, read from left to right.

    :param text: the query.
    :raises QueryError: if the text is not a SELECT, or contains an invalid token.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._all: list[Token] = []
        self.place = at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise syntax(text[at : at + 20])
            if match.lastgroup == "comment":
                raise Unsupported("comments")
            if match.lastgroup != "space":
                self._all.append(Token(str(match.lastgroup), match.group(), at, match.end()))
            at = match.end()
        self._all.append(Token("end", "", at, at))
        if not self.sees("SELECT"):
            raise self.wrong()

    @property
    def now(self) -> Token:
        """The next token."""
        return self._all[self.place]

    def ahead(self, count: int) -> Token:
        """Return the token `count` positions ahead."""
        return self._all[min(self.place + count, len(self._all) - 1)]

    def sees(self, *words: str) -> bool:
        """Return whether one of these words is next."""
        return self.now.upper in words

    def sees_name(self) -> bool:
        """Return whether a name is next."""
        return self.now.kind == "quoted" or (self.now.kind == "word" and self.now.upper not in _KEYWORDS | _REFUSED)

    def take(self, word: str) -> bool:
        """Consume a word if it is next, and return whether it was."""
        found = self.now.upper == word
        self.place += found
        return found

    def need(self, *words: str) -> None:
        """Consume these words.

        :raises QueryError: if another token is next.
        """
        for word in words:
            if not self.take(word):
                raise self.wrong()

    def next(self, *kinds: str) -> str:
        """Consume a token of one of these kinds (or `name`) and return it without quotes.

        :raises QueryError: if another token is next.
        """
        token = self.now
        if not (token.kind in kinds or ("name" in kinds and self.sees_name())):
            raise self.wrong()
        self.place += 1
        return token.plain

    def count(self) -> int:
        """Consume a positive integer and return it.

        :raises QueryError: if another token is next.
        """
        text = self.next("number")
        if not text.isdigit() or int(text) == 0:
            raise syntax(text)
        return int(text)

    def since(self, place: int) -> str:
        """Return the query's text from a token up to the last consumed one."""
        return self._text[self._all[place].begin : self._all[self.place - 1].end]

    def skip_to_from(self) -> None:
        """Skip to the FROM of the current SELECT.

        :raises QueryError: if there is no FROM.
        """
        depth = 0
        while depth or not self.sees("FROM"):
            if self.now.kind == "end" or self.sees(";"):
                raise syntax(self.now.text or "end of the query")
            depth += self.sees("(") - self.sees(")")
            self.place += 1

    def wrong(self) -> QueryError:
        """Return the error for an unexpected next token."""
        if self.now.upper in _REFUSED:
            return Unsupported(self.now.upper)
        return syntax(self.now.text or "end of the query")
