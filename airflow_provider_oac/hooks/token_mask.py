"""Masks tokens in the logs of a process that signs in for months, such as a triggerer.

Airflow's masker compiles one regular expression of all secrets for each new one, and forgets none: 500 tokens, of which
each is replaced after a minute, would stop the event loop for seconds. It also does not see what triggers log: Airflow
3 masks in the supervisor, another process, and Airflow 2.11 writes the logs of triggers past its filters. This mask
knows the last tokens of each Connection, finds them by a look into a dictionary, and changes a log record before any
handler sees it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from airflow_provider_oac.transport.forking import ProcessLock

# How many tokens and assertions of a Connection are known. A renewal brings up to three, and the longest-lived of them,
# an assertion, ends after four more renewals by default.
KEPT = 32
# A token is found by so many characters at its end. Without them it is worthless.
_TAIL = 32
# A shorter text can be guessed (RFC 6749 section 10.10), and may be a word that every log holds.
_SHORTEST = 16
# What holds a token: printable characters without a break.
_RUN = re.compile(rf"""[^\s"'<>\\]{{{_SHORTEST},}}""")


class TokenMask:
    """The last tokens of each Connection, to be hidden in texts."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._last: dict[str, deque[str]] = {}
        # The end of each token, how long it is, and how many Connections have it.
        self._known: dict[str, tuple[int, int]] = {}
        # How long these ends are: all alike, but for tokens that are shorter than that.
        self._lengths: tuple[int, ...] = ()

    def add(self, conn_id: str, token: str) -> None:
        """Hide a token from now on. The oldest of the same Connection is forgotten.

        :param conn_id: the Connection that it belongs to.
        :param token: the token.
        """
        if len(token) < _SHORTEST:
            return
        with self._lock:
            last = self._last.setdefault(conn_id, deque())
            for form in dict.fromkeys((token, quote(token, safe=""))):
                tail = form[-_TAIL:]
                if tail not in last:
                    last.append(tail)
                    if len(tail) not in self._lengths:
                        self._lengths += (len(tail),)
                    self._known[tail] = (len(form), self._known.get(tail, (0, 0))[1] + 1)
            while len(last) > KEPT:
                oldest = last.popleft()
                length, owners = self._known.pop(oldest)
                if owners > 1:
                    self._known[oldest] = (length, owners - 1)

    def redact(self, text: str) -> str:
        """The text without any of the tokens."""
        return _RUN.sub(lambda found: self._hidden(found[0]), text) if self._known else text

    def _hidden(self, run: str) -> str:
        parts, start, lengths = [], 0, self._lengths
        for end in range(_SHORTEST, len(run) + 1):
            for length in lengths:
                if start <= end - length and (known := self._known.get(run[end - length : end])):
                    # What stands before it may be the name of a parameter.
                    parts += [run[start : max(start, end - known[0])], "***"]
                    start = end
        return "".join([*parts, run[start:]]) if parts else run


MASK = TokenMask()


def mask_tokens_of(conn_id: str) -> Callable[[str], None]:
    """Return what masks a token of a Connection in the logs of this process."""
    return partial(_mask, conn_id)


def _mask(conn_id: str, token: str) -> None:
    MASK.add(conn_id, token)
    _install()


def _install() -> None:
    """Put the mask between those who log and the handlers, unless it is there."""
    if not _Factory.installed:
        _Factory.installed = True
        logging.setLogRecordFactory(_Factory(logging.getLogRecordFactory()))
    # Airflow 3. Loggers that exist share the list.
    if structlog := sys.modules.get("structlog"):
        processors = structlog.get_config()["processors"]
        if isinstance(processors, list) and processors and not isinstance(processors[-1], _Renderer):
            processors[-1] = _Renderer(processors[-1])


class _Factory:
    """Makes log records, without tokens."""

    installed = False

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:
            # The arguments do not fit the message, which the library says with all of them.
            said = f"{record.msg} {record.args}"
        if (masked := MASK.redact(said)) != said:
            record.msg, record.args = masked, None
        if record.exc_info and record.exc_info[1] is not None:
            trace = _FORMATTER.formatException(record.exc_info)
            if (masked := MASK.redact(trace)) != trace:
                # No handler must format the exception itself.
                record.msg, record.args = f"{record.getMessage()}\n{masked}", None
                record.exc_info = record.exc_text = None
        return record


_FORMATTER = logging.Formatter()


class _Renderer:
    """Renders an event of structlog, without tokens."""

    def __init__(self, render: Callable[..., Any]) -> None:
        self._render = render

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        line = self._render(logger, method, event)
        if isinstance(line, bytes):
            return MASK.redact(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return MASK.redact(line) if isinstance(line, str) else line
