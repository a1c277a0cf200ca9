"""Errors for refused queries.

The codes are documented or observed. The texts are the simulator's own, so tests must not depend on them.
"""

from __future__ import annotations

UNRESOLVED = 27005


class QueryError(Exception):
    """OAC refuses a query.

    :param code: the most specific nQSError code; None if the reference has none.
    :param text: error message.
    """

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(text)
        # 10058 and 43113 precede the specific code (observed).
        generic = "[nQSError: 10058] A general error has occurred. [nQSError: 43113] Message returned from OBIS. "
        self.code = code
        self.text = generic + (f"[nQSError: {code}] " if code else "") + text


class Unsupported(QueryError):
    """The simulator refuses a query that OAC might accept, because the result would be a guess.

    :param construct: the unsupported construct.
    """

    def __init__(self, construct: str) -> None:
        super().__init__(None, f"The simulator does not know {construct}. It is outside the subset of Logical SQL that "
                         "docs/simulator.md describes.")  # fmt: skip


def unresolved(name: str) -> QueryError:
    """Return error 27005: the column does not exist (documented)."""
    return QueryError(UNRESOLVED, f"Unresolved column: {name}.")


def syntax(near: str) -> QueryError:
    """Return error 27002: syntax error at this text (inferred from BI Server)."""
    return QueryError(27002, f"Near <{near}>: Syntax error.")


def database_error(text: str) -> QueryError:
    """Return error 17001: the data source refused the query (observed)."""
    return QueryError(17001, f"Database error: {text}")
