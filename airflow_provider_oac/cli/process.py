"""Functions that all commands share: read Connections, print, and end the process."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TextIO

from airflow_provider_oac import _compat, lazy
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.plain_text import plain

if TYPE_CHECKING:
    from airflow_provider_oac._compat import Connection
    from airflow_provider_oac.hooks.oac import OACHook

# Standard output as it was when the command began.
_answer: TextIO = sys.stdout


class CommandFailed(Exception):
    """A command failed. The text contains the reason and the next step."""


def as_command(work: Callable[[], int | None]) -> None:
    """Run a command and end the process with its exit code: 0 if it worked, 1 if it failed, 130 if it was interrupted.

    An error goes to standard error, as one text without a traceback.
    """
    # Airflow 3 reads Connections from its database only in processes that set this variable.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    # Silences a warning of Airflow 2 that the unit of its timers will change. A command has no timers.
    os.environ.setdefault("AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY", "True")
    # Log lines are for tasks; a command prints its own progress.
    for name in ("airflow_provider_oac", "airflow.sdk._shared.secrets_masker.secrets_masker", "airflow.hooks.base"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Standard output is only for the command's result, but Airflow 3 logs there as soon as it is imported. From here on
    # the result has its own file, and everything else that is written to standard output goes to standard error.
    global _answer
    sys.stdout.flush()
    # The terminal's encoding may lack characters of the result, such as those of a user's name.
    _answer = open(os.dup(1), "w", encoding=sys.stdout.encoding, errors="backslashreplace")  # noqa: SIM115
    os.dup2(2, 1)
    code = 1
    try:
        # Flush and close the file here: an error when the interpreter exits would change the exit code.
        with _answer:
            try:
                code = work() or 0
            except (OACError, CommandFailed) as problem:
                tell(f"error: {problem}")
            except KeyboardInterrupt:
                tell("\ninterrupted")
                code = 130
    except BrokenPipeError:
        # The reader has closed the pipe.
        code = code or 1
    sys.exit(code)


def hook(conn_id: str) -> OACHook:
    """Return the hook of a Connection.

    :raises CommandFailed: if there is no such Connection, or it is of another type.
    """
    found = connection(conn_id, "--oac-conn-id")
    if found.conn_type != lazy.oac.OACHook.conn_type:
        kind = found.conn_type
        raise CommandFailed(f"Connection {conn_id!r} is of the type {kind!r}, not {lazy.oac.OACHook.conn_type!r}.")
    return lazy.oac.OACHook(conn_id)


def connection(conn_id: str, option: str) -> Connection:
    """Return a Connection of any type.

    :param option: the command's option that named it.
    :raises CommandFailed: if Airflow cannot find it.
    """
    try:
        found: Connection = _compat.BaseHook.get_connection(conn_id)
    except _compat.AirflowNotFoundException:
        raise CommandFailed(
            f"Airflow has no Connection {conn_id!r} that this process can see. Next step: check {option}, and run the "
            "command with the environment of the deployment: AIRFLOW_HOME, the database, the secrets backend and "
            "AIRFLOW_CONN_… variables."
        ) from None
    return found


def say(text: str, end: str = "\n") -> None:
    """Print to standard output, which is for the command's result."""
    print(plain(text), end=end, file=_answer)


def answer() -> BinaryIO:
    """Return standard output for bytes. A terminal gets plain text, because it would execute control sequences."""
    return _Terminal() if _answer.isatty() else _answer.buffer


class _Terminal(io.BytesIO):
    """Collects bytes, and shows them on the terminal as plain text at each flush."""

    def flush(self) -> None:
        say(self.getvalue().decode(errors="replace"), end="")
        self.seek(0)
        self.truncate()


def tell(text: str, end: str = "\n") -> None:
    """Print a message for the user to standard error."""
    print(plain(text), end=end, file=sys.stderr, flush=True)
