"""Turn OAC's refusal of a query into one error with cause and next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_oac.exceptions import OACQueryError
from airflow_provider_oac.transport.redaction import quoted

_CODE = re.compile(r"\[nQSError:\s*(\d+)\]")
# Codes that wrap the code that matters (known from logs of BI Server).
_GENERIC = frozenset({10058, 43113, 43119})
_COLUMN = "Compare the names with describe_data, and check the user's permissions on the source."
# Documented: 27037; observed: 27005, 17001, 42036, 22078; from practice with BI Server: 27002.
_KNOWN = {
    27005: ("the source has no column of this name, or the user may not see it", _COLUMN),
    27002: ("the text is not Logical SQL", "Correct the query near the position that OAC names."),
    27037: ("a level of a time function has no full name", "Write the level with all its parts."),
    42036: ("ORDER BY names a column of REPORT_…", "Order by another column, or by its position."),
    22078: ("the dataset changed after the query was written", "Refresh the dataset in OAC, then describe it again."),
    17001: ("the source's database refused the query or the sign-in", "Repair the connection or data model in OAC."),
}
_VARIABLE = (
    "a session variable of the data model has no value for this user",
    "Ask the model's author to initialize it for this user.",
)
SOURCE = (
    "the subject area or dataset does not exist, the user may not read it, or the text is not Logical SQL",
    "Check the name in FROM with sql.subject_areas() and sql.datasets(), the user's permissions, and the query.",
)
_OTHER = (
    "the user lacks a permission, or OAC changed its MCP server, which is a preview",
    "Read OAC's message, and check for a newer version of this provider.",
)


class SessionLostError(OACQueryError):
    """OAC has forgotten the MCP session."""


@dataclass(frozen=True)
class Doing:
    """An action, described for messages.

    :param text: what it does, such as ``query "Sales"``.
    :param values: texts that are sent and must not appear in a message.
    :param cause: the likely cause if OAC refuses it without a known code, and the next step.
    """

    text: str
    values: Sequence[str] = field(default=(), repr=False)
    cause: tuple[str, str] = _OTHER

    def refused(self, said: str, kind: type[OACQueryError] = OACQueryError) -> OACQueryError:
        """Return the error for an action that OAC refused.

        :param said: OAC's text. It may quote the query, data, and the owner of an item.
        :param kind: the class of the error.
        """
        codes = tuple(int(code) for code in _CODE.findall(said))
        code = next((one for one in codes if one in _KNOWN), None)
        code = code or next((one for one in codes if one not in _GENERIC), None)
        cause, step = _KNOWN.get(code or 0) or (_VARIABLE if "NQ_SESSION" in said else self.cause)
        came = _safe(said, self.values)
        message = f"Could not {self.text}: OAC answered {came}. Likely cause: {cause}. Next step: {step}"
        return kind(message, code=code, codes=codes)

    def unsent(self, problem: str, step: str) -> OACQueryError:
        """Return the error for an invalid action that was not sent."""
        return OACQueryError(f"Could not {self.text}: {problem}. Nothing was sent. Next step: {step}")


def _safe(text: str, values: Sequence[str]) -> str:
    """Make a server's text safe for a message.

    It drops wrapper codes if there are others, and hides quoted texts, mail addresses and the given values.
    """
    first, *parts = re.split(r"(?=\[nQSError:)", text)
    telling = [part for part in parts if not any(part.startswith(f"[nQSError: {code}]") for code in _GENERIC)]
    text = re.sub(r"'(?:[^']|'')*(?:'|$)", "'…'", " ".join([first, *(telling or parts)]))
    text = re.sub(r"""[^\s@'"<>(),;]+@[^\s@'"<>(),;]+""", "…@…", text)
    return (quoted(text, secret_texts(values), 400) or "nothing").rstrip(".")


def secret_texts(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values that are long enough to be told from ordinary words."""
    return tuple(value for value in values if len(value) > 3)
