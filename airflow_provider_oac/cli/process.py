"""What all commands share: how they reach Airflow's Connections, and how they end."""

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
    """A command that cannot do what it was asked to; the text says why and what to do."""


def as_command(work: Callable[[], int | None]) -> None:
    """Run a command and end the process with its exit code: 0 if it worked, 1 if it failed, 130 if it was interrupted.

    What went wrong goes to standard error, as one text without a traceback.
    """
    # Airflow 3 looks for Connections in its database only in processes that say so.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    # Airflow 2 warns at each start that the unit of its timers will change. A command has no timers.
    os.environ.setdefault("AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY", "True")
    # Log lines are for tasks; here the command itself says what happens.
    for name in ("airflow_provider_oac", "airflow.sdk._shared.secrets_masker.secrets_masker", "airflow.hooks.base"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Standard output belongs to the answer. Airflow 3 logs there, from the moment that it is imported on: whatever
    # writes there now writes to standard error.
    global _answer
    sys.stdout.flush()
    # A user's name may have letters that the terminal has not.
    _answer = open(os.dup(1), "w", encoding=sys.stdout.encoding, errors="backslashreplace")  # noqa: SIM115
    os.dup2(2, 1)
    try:
        # Written and closed here, and not when the interpreter ends, which would hide the exit code.
        with _answer:
            code = _code(work)
    except BrokenPipeError:
        # The reader has closed its end.
        code = 1
    sys.exit(code)


def _code(work: Callable[[], int | None]) -> int:
    try:
        return work() or 0
    except (OACError, CommandFailed) as problem:
        tell(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        tell("\ninterrupted")
        return 130


def hook(conn_id: str) -> OACHook:
    """The hook of a Connection.

    :raises CommandFailed: if there is no such Connection, or it is of another type.
    """
    found = connection(conn_id, "--oac-conn-id")
    if found.conn_type != lazy.oac.OACHook.conn_type:
        kind = found.conn_type
        raise CommandFailed(f"Connection {conn_id!r} is of the type {kind!r}, not {lazy.oac.OACHook.conn_type!r}.")
    return lazy.oac.OACHook(conn_id)


def connection(conn_id: str, option: str) -> Connection:
    """A Connection of any type.

    :param option: the one of the command that named it.
    :raises CommandFailed: if there is none.
    """
    try:
        found: Connection = _compat.BaseHook.get_connection(conn_id)
    except _compat.AirflowNotFoundException:
        raise CommandFailed(
            f"Airflow has no Connection {conn_id!r} that this process can see. Check {option}; a Connection of the "
            "environment (AIRFLOW_CONN_…) or of a secrets backend must be set up for this process, too, and "
            "AIRFLOW_HOME and the database must be those of the deployment."
        ) from None
    return found


def say(text: str, end: str = "\n") -> None:
    """Print what the command is asked to print."""
    print(plain(text), end=end, file=_answer)


def answer() -> BinaryIO:
    """Standard output, for bytes: as they are, but on a terminal, which would act on what a server sends."""
    return _Terminal() if _answer.isatty() else _answer.buffer


class _Terminal(io.BytesIO):
    """Shows on the terminal what was gathered so far, as text."""

    def flush(self) -> None:
        say(self.getvalue().decode(errors="replace"), end="")
        self.seek(0)
        self.truncate()


def tell(text: str, end: str = "\n") -> None:
    """Say something to the person, apart from what the command is asked to print."""
    print(plain(text), end=end, file=sys.stderr, flush=True)
