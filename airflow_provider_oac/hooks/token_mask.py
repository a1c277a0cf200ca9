"""Masks tokens in the logs of a process that signs in for months, such as a triggerer.

For each new secret, Airflow's masker compiles all secrets into one regular expression, and it never forgets one: with
500 tokens that are replaced every minute, it would block the event loop for seconds. It also misses the log lines of
triggers: Airflow 3 masks in the supervisor, which is another process, and Airflow 2.11 writes the logs of triggers
without its filters. This mask keeps the last tokens of each Connection, finds them by dictionary lookup, and changes a
log record before any handler sees it.
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

# How many tokens and assertions of a Connection are kept. A renewal adds up to three. The longest-lived of them, an
# assertion, expires after four more renewals by default.
KEPT = 32
# How many characters at its end identify a token. A token without them is worthless. A shorter text can be guessed
# (RFC 6749 section 10.10), and may be an ordinary word.
_TAIL = 16
# A text that may contain a token: no whitespace, quotation marks, angle brackets or backslashes.
_RUN = re.compile(rf"""[^\s"'<>\\]{{{_TAIL},}}""")


class TokenMask:
    """Hides the last tokens of each Connection in texts."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._last: dict[str, deque[str]] = {}
        # By the end of each token: the length of the token, and the number of Connections that have it.
        self._known: dict[str, tuple[int, int]] = {}

    def add(self, conn_id: str, token: str) -> None:
        """Hide a token from now on. If the Connection has too many, forget its oldest.

        :param conn_id: the Connection that the token belongs to.
        :param token: the token.
        """
        if len(token) < _TAIL:
            return
        with self._lock:
            last = self._last.setdefault(conn_id, deque())
            for form in dict.fromkeys((token, quote(token, safe=""))):
                tail = form[-_TAIL:]
                if tail not in last:
                    last.append(tail)
                    self._known[tail] = (len(form), self._known.get(tail, (0, 0))[1] + 1)
            while len(last) > KEPT:
                oldest = last.popleft()
                length, owners = self._known.pop(oldest)
                if owners > 1:
                    self._known[oldest] = (length, owners - 1)

    def redact(self, text: str) -> str:
        """Return the text with ``***`` in place of each token."""
        return _RUN.sub(lambda found: self._hidden(found[0]), text) if self._known else text

    def _hidden(self, run: str) -> str:
        parts, start = [], 0
        for end in range(_TAIL, len(run) + 1):
            if start <= end - _TAIL and (known := self._known.get(run[end - _TAIL : end])):
                # The text before the token is kept: it may be the name of a parameter.
                parts += [run[start : max(start, end - known[0])], "***"]
                start = end
        return "".join([*parts, run[start:]]) if parts else run


MASK = TokenMask()


def mask_tokens_of(conn_id: str) -> Callable[[str], None]:
    """Return a function that masks a Connection's token in the logs of this process."""
    return partial(_mask, conn_id)


def _mask(conn_id: str, token: str) -> None:
    MASK.add(conn_id, token)
    _install()


def _install() -> None:
    """Install the mask between loggers and handlers, unless it is installed already."""
    if not _Factory.installed:
        _Factory.installed = True
        logging.setLogRecordFactory(_Factory(logging.getLogRecordFactory()))
    # Airflow 3. Existing loggers share this list, so it is changed in place.
    if structlog := sys.modules.get("structlog"):
        processors = structlog.get_config()["processors"]
        if isinstance(processors, list) and processors and not isinstance(processors[-1], _Renderer):
            processors[-1] = _Renderer(processors[-1])


class _Factory:
    """Creates log records without tokens."""

    installed = False

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:
            # The arguments do not fit the message. The logging library would print all of them in its own error.
            message = f"{record.msg} {record.args}"
        if (masked := MASK.redact(message)) != message:
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
    """Renders a structlog event without tokens."""

    def __init__(self, render: Callable[..., Any]) -> None:
        self._render = render

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        line = self._render(logger, method, event)
        if isinstance(line, bytes):
            return MASK.redact(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return MASK.redact(line) if isinstance(line, str) else line
