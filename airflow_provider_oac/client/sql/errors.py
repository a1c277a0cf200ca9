"""What OAC says of a query that it refuses, made one error with cause and next step."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_oac.exceptions import OACQueryError
from airflow_provider_oac.transport.redaction import quoted

_CODE = re.compile(r"\[nQSError:\s*(\d+)\]")
# Wrappers that stand before the code that matters (known from logs of BI Server).
_GENERIC = frozenset({10058, 43113, 43119})
_COLUMN = "Compare the names with what describe_data shows, and check the rights of the user on the source."
# Documented: 27037; observed: 27005, 17001, 42036, 22078; from practice with BI Server: 27002.
_KNOWN = {
    27005: ("the source has no column of this name, or the user may not see it", _COLUMN),
    27002: ("the text is not Logical SQL", "Correct the query near the place that OAC names."),
    27037: ("a level of a time function has no full name", "Write the level with all its parts."),
    42036: ("ORDER BY names a column of REPORT_…", "Order by another column, or by its position."),
    22078: ("the dataset changed after the query was written", "Refresh the dataset in OAC, then describe it anew."),
    17001: (
        "the database behind the source refused the query, or OAC's sign-in there",
        "Open the source in OAC: the connection or the data model needs a repair there.",
    ),
}
_VARIABLE = (
    "a session variable of the data model has no value for this user",
    "Let the model's author initialize it for this user.",
)
_SOURCE = (
    "the subject area or dataset does not exist, the user may not read it, or the text is not Logical SQL",
    "Check the name in FROM with sql.subject_areas() and sql.datasets(), the user's rights, and the query.",
)


def query_error(doing: str, text: str, values: Sequence[str] = ()) -> OACQueryError:
    """Explain a refusal, in whichever of the four places OAC says it.

    :param doing: what was being done: ``query "Sales"``.
    :param text: what OAC says. It may quote the query, data, and the owner of an item.
    :param values: texts of the query that must not come back in a message.
    """
    codes = tuple(int(code) for code in _CODE.findall(text))
    code = next((one for one in codes if one in _KNOWN), None)
    code = code or next((one for one in codes if one not in _GENERIC), None)
    cause, step = _KNOWN.get(code or 0) or (_VARIABLE if "NQ_SESSION" in text else _SOURCE)
    said = safe(_without_wrappers(text), values) or "nothing"
    return OACQueryError(
        f"Could not {doing}: OAC answered {said.rstrip('.')}. Likely cause: {cause}. Next step: {step}",
        code=code,
        codes=codes,
    )


def refusal(doing: str, problem: str, step: str) -> OACQueryError:
    """An error of a query that was not sent."""
    return OACQueryError(f"Could not {doing}: {problem}. Nothing was sent. Next step: {step}")


def safe(text: str, values: Sequence[str] = ()) -> str | None:
    """What a server says, without texts in quotes, addresses of mail, and the given values."""
    text = re.sub(r"'(?:[^']|'')*(?:'|$)", "'…'", text)
    text = re.sub(r"""[^\s@'"<>(),;]+@[^\s@'"<>(),;]+""", "…@…", text)
    return quoted(text, [value for value in values if len(value) > 3], 400)


def _without_wrappers(text: str) -> str:
    parts = re.split(r"(?=\[nQSError:)", text)
    kept = [part for part in parts if not (found := _CODE.match(part)) or int(found[1]) not in _GENERIC]
    return " ".join(part.strip() for part in kept)
