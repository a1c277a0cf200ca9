"""An authorized ``requests.Session`` that sends requests to one OAC instance only."""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import API_BASE
from airflow_provider_oac.client.errors import refuses_token
from airflow_provider_oac.exceptions import OACApiError, OACConfigurationError
from airflow_provider_oac.transport.blocking import BlockingIO, PlainSession, run
from airflow_provider_oac.transport.io import Response
from airflow_provider_oac.transport.settings import TransportSettings, checked_url

# The largest body of a 401, in bytes, that is read to find out what OAC refused.
_LARGEST_REFUSAL = 1 << 16


class InstanceSession(PlainSession):
    """See :meth:`airflow_provider_oac.hooks.oac.OACHook.get_conn`."""

    def __init__(self, io: BlockingIO, address: str, session: Session, settings: TransportSettings) -> None:
        super().__init__(settings)
        # requests does not notice a truncated gzip stream, but it checks the length of an uncompressed body.
        self.headers["Accept-Encoding"] = "identity"
        self._io = io
        self._address = address
        self._signed_in = session
        self._settings = settings
        self._pid = os.getpid()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request to the instance.

        :param url: a path below the API's base, or a complete URL of this instance.
        :raises OACConfigurationError: if the URL is of another host.
        """
        address = url if isinstance(url, str) else url.decode()
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
            path = address if address.startswith(API_BASE) else API_BASE + "/" + address.lstrip("/")
            address = self._address + path
        return super().request(method, address, *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request to this instance with a valid token; once more with a new one if OAC refuses it.

        :raises OACConfigurationError: if the URL is of another host.
        :raises OACApiError: if OAC refuses the token, and the body cannot be read again.
        """
        # The URL of a prepared request has not been checked yet.
        url = request.url or ""
        checked_url(url, "The request's address")
        if _origin(url) != _origin(self._address):
            scheme, host, port = _origin(url)
            raise OACConfigurationError(
                f"This session sends its token only to {self._address}, not to {scheme}://{host}:{port}. Use a "
                "separate session for that request."
            )
        if self._pid != os.getpid():
            # A forked child must not use its parent's connections. The adapters are reset, as after unpickling.
            for adapter in self.adapters.values():
                if isinstance(adapter, HTTPAdapter):
                    adapter.__setstate__(adapter.__getstate__())  # type: ignore[attr-defined]
            self._pid = os.getpid()
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (self._settings.connect_timeout, self._settings.read_timeout)
        kwargs["allow_redirects"] = False
        answer, token = self._send_once(request, kwargs)
        if _refuses_token(answer):
            self._signed_in.discard(token)
            # A streamed response keeps its connection until it is closed.
            answer.close()
            _rewind(request)
            answer, _ = self._send_once(request, kwargs)
        if kwargs.get("stream"):
            # The caller reads the body and decides how long that may take.
            answer.deadline.lift()  # type: ignore[attr-defined]
        return answer

    def _send_once(self, request: requests.PreparedRequest, options: dict[str, Any]) -> tuple[requests.Response, Token]:
        token = run(self._signed_in.token(self._io))
        request.headers["Authorization"] = f"Bearer {token.access_token}"
        return super().send(request, **options), token


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port: addresses of one server have all three in common (RFC 6454 section 4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _refuses_token(answer: requests.Response) -> bool:
    if answer.status_code != HTTPStatus.UNAUTHORIZED:
        return False
    headers = {name.lower(): value for name, value in answer.headers.items()}
    length = headers.get("content-length", "")
    # The caller may stream the body. One of unknown length could be endless; a compressed one could expand to any size.
    known = length.isdigit() and not headers.keys() & {"transfer-encoding", "content-encoding"}
    body = answer.content if known and int(length) <= _LARGEST_REFUSAL else b""
    return refuses_token(Response(answer.status_code, headers, body))


def _rewind(request: requests.PreparedRequest) -> None:
    """Rewind the body of a request, which the first attempt has read.

    :raises OACApiError: if the body cannot be rewound; a generator, for example.
    """
    # It may also be a file or an iterator, which its declared type omits.
    body: Any = request.body
    if body is None or isinstance(body, str | bytes):
        return
    try:
        body.seek(request._body_position)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError, OSError):
        method, path = request.method or "", urlsplit(request.url or "").path
        raise OACApiError(
            f"Could not send {method} {path}: OAC refused the token (HTTP 401), and the body, a "
            f"{type(body).__name__}, was read and cannot be rewound. OAC did not act on the request. Send it again "
            "with a new body, or pass the body as bytes or as a seekable file.",
            status=int(HTTPStatus.UNAUTHORIZED),
            method=method,
            path=path,
            retryable=True,
        ) from None
