"""One error of what OAC says, in whichever form."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.sql.errors import SOURCE, Doing

WRAPPED = "[nQSError: 10058] A general error has occurred. [nQSError: 43113] Message returned from OBIS. "
NO_COLUMN, NO_TABLE = "[nQSError: 27005] Unresolved column: X.", "[nQSError: 14025] No fact table exists."
SYNTAX = "[nQSError: 27002] Near <x>: Syntax error."
NO_VALUE = "[nQSError: 23006] The session variable, NQ_SESSION.X, has no value."
QUERY = Doing('query "Sales"', ("secret value", "7"), SOURCE)


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        (WRAPPED + NO_COLUMN, 27005, f"answered {NO_COLUMN} Likely cause"),
        (WRAPPED + NO_TABLE + " " + SYNTAX, 27002, "the text is not Logical SQL"),
        (WRAPPED + NO_TABLE, 14025, f"{NO_TABLE} Likely"),
        (f"{WRAPPED}Another.", None, "Message returned from OBIS. Another. Likely cause: the subject area"),
        (NO_VALUE, 23006, "a session variable of the data"),
        ("", None, "OAC answered nothing. Likely cause"),
    ],
)
def test_the_most_specific_code_explains_it(said: str, code: int | None, told: str) -> None:
    error = QUERY.refused(said)
    assert error.code == code
    assert told in str(error)
    assert str(error).startswith('Could not query "Sales": OAC answered ')


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Near <'top ''secret'' text'>: error", "Near <'…'>: error"),
        ("Near <'cut in the mid", "Near <'…'"),
        ("invalid number: secret value", "invalid number: ***"),
        ("owner jane.doe@example.com may not", "owner …@… may not"),
        ("7 rows", "7 rows"),
        ("a\nb\x1b[31mc", "a b\ufffdc"),
    ],
)
def test_no_value_is_shown(said: str, shown: str) -> None:
    assert f"OAC answered {shown}. Likely" in str(QUERY.refused(said))
