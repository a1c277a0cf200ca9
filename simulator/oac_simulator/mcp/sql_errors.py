"""What a query is refused with.

The codes are documented or observed. The texts around them are the simulator's own: no test may rest on them.
"""

from __future__ import annotations

UNRESOLVED = 27005


class QueryError(Exception):
    """A query that OAC refuses.

    :param code: the most specific nQSError code; None where the reference knows none.
    :param text: what it says.
    """

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(text)
        # 10058 and 43113 precede the code that matters (observed).
        generic = "[nQSError: 10058] A general error has occurred. [nQSError: 43113] Message returned from OBIS. "
        self.code = code
        self.text = generic + (f"[nQSError: {code}] " if code else "") + text


class Unsupported(QueryError):
    """A query that OAC may well answer, and the simulator does not: an answer would be a guess.

    :param construct: what is outside the subset.
    """

    def __init__(self, construct: str) -> None:
        super().__init__(None, f"The simulator does not know {construct}. It is outside the subset of Logical SQL that "
                         "docs/simulator.md describes.")  # fmt: skip


def unresolved(name: str) -> QueryError:
    """27005: there is no such column (documented)."""
    return QueryError(UNRESOLVED, f"Unresolved column: {name}.")


def syntax(near: str) -> QueryError:
    """27002: the text cannot be read from here on (inferred from BI Server)."""
    return QueryError(27002, f"Near <{near}>: Syntax error.")


def database_error(text: str) -> QueryError:
    """17001: the source refused it (observed)."""
    return QueryError(17001, f"Database error: {text}")
