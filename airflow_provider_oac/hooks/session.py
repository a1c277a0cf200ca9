"""An authorised ``requests.Session`` that speaks to one OAC instance only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_oac.auth.session import Session
from airflow_provider_oac.auth.token import Token
from airflow_provider_oac.client.calls import API_BASE
from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.blocking import BlockingIO, PlainSession, plain_session, run
from airflow_provider_oac.transport.settings import TransportSettings, proxy_for


class InstanceSession(PlainSession):
    """See :meth:`airflow_provider_oac.hooks.oac.OACHook.get_conn`."""

    def __init__(self, io: BlockingIO, address: str, session: Session, settings: TransportSettings) -> None:
        super().__init__()
        self.__dict__.update(plain_session(settings).__dict__)
        self._io = io
        self._address = address
        self._signed_in = session
        self._settings = settings

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request to the instance.

        :param url: a path below the API's base, or a complete URL of this instance.
        :raises OACConfigurationError: if the URL is of another host.
        """
        address = url if isinstance(url, str) else url.decode()
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
            path = address if address.startswith(API_BASE) else API_BASE + "/" + address.lstrip("/")
            address = self._address + path
        self._refuse_elsewhere(address)
        kwargs.setdefault("timeout", (self._settings.connect_timeout, self._settings.read_timeout))
        kwargs["allow_redirects"] = False

        async def exchange(token: Callable[[], Awaitable[Token]]) -> requests.Response:
            kwargs["auth"] = _Bearer(await token())
            return super(InstanceSession, self).request(method, address, *args, **kwargs)

        return run(self._signed_in.authorised(self._io, exchange, lambda answer: answer.status_code))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, by the proxy that the environment names, to this instance only."""
        self._refuse_elsewhere(request.url or "")
        proxy = proxy_for(request.url or "")
        kwargs["proxies"] = {"http": proxy, "https": proxy} if proxy else {}
        return super().send(request, **kwargs)

    def _refuse_elsewhere(self, url: str) -> None:
        if _origin(url) != _origin(self._address):
            scheme, host, port = _origin(url)
            raise OACConfigurationError(
                f"This session is signed in at {self._address} and sends nothing to {scheme}://{host}:{port}: its "
                "token would be given away. Send that request with a session of your own."
            )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """What makes two addresses the same server (RFC 6454 section 4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.access_token}"
        return request
