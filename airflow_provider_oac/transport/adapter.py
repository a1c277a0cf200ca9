"""Add to ``requests`` what it lacks: a deadline for a whole response, interim responses, proxy logins in UTF-8."""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
from contextvars import ContextVar
from typing import Any

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_provider_oac.transport.io import Deadline
from airflow_provider_oac.transport.proxies import Proxy, proxy_for

# The deadline of the request that this thread sends: requests cannot pass it down to the code that reads bytes.
_deadline: ContextVar[Deadline] = ContextVar("_deadline")


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """Gives each response a deadline, as attribute ``deadline``, and verifies servers by a TLS context.

    :param seconds: seconds within which a response must be complete.
    :param tls: the TLS context, shared with other adapters. It is used if ``verify`` is ``True`` and there is no client
        certificate, which the library would load into the context. In other cases ``requests`` chooses the context.
    """

    def __init__(self, seconds: float, tls: ssl.SSLContext) -> None:
        self._seconds = seconds
        self._tls = tls
        self._proxies: dict[str, Proxy] = {}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        """Make the pools of connections through a proxy."""
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, proxy_ssl_context=self._tls, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """The login for a proxy."""
        return dict(self._proxies[proxy].headers)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Choose the pool for a request."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, ({**pool, "ssl_context": self._tls} if verify is True and cert is None else pool)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Prepare a pool for verification, without the authorities that ``requests`` would add to the context."""
        if verify is True and cert is None:
            conn.cert_reqs = "CERT_REQUIRED"
        else:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, through the proxy that the environment names."""
        proxy = proxy_for(request.url or "")
        if proxy is not None:
            self._proxies[proxy.address] = proxy
        kwargs["proxies"] = {"http": proxy.address, "https": proxy.address} if proxy else {}
        deadline = Deadline(self._seconds)
        former = _deadline.set(deadline)
        try:
            response = super().send(request, *args, **kwargs)
        finally:
            _deadline.reset(former)
        response.deadline = deadline  # type: ignore[attr-defined]
        return response


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock, _deadline.get()))

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim responses such as 103 Early Hints, which may precede any response (RFC 9110 section 15.2).

        The base class skips 100 only.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 102 <= status <= 199:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _UntilDeadline(io.RawIOBase):
    """A socket's reading end with a deadline: the socket's own timeout restarts with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline
        self._patience = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left()
        if left <= 0:
            raise TimeoutError("the response is not complete in time")
        shorter = left < (math.inf if self._patience is None else self._patience)
        self._sock.settimeout(left if shorter else self._patience)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect before the deadline: a name may have thousands of addresses, each with the whole connect timeout."""
        name, patience, deadline = self._dns_host, self.timeout, _deadline.get()
        try:
            found = socket.getaddrinfo(name.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return super()._new_conn()  # The library reports the problem.
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        try:
            for address in addresses:
                left = max(0.001, deadline.left())
                self._dns_host = address
                self.timeout = min(left, patience) if isinstance(patience, int | float) else left
                try:
                    return super()._new_conn()
                except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
                    if address == addresses[-1] or deadline.left() <= 0:
                        raise
        finally:
            self._dns_host, self.timeout = name, patience
        raise AssertionError("a name without an address")


class _TLSConnection(_Connection, HTTPSConnection):
    pass


# The names are for people: urllib3's exceptions show them.
class HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": HTTPPool, "https": HTTPSPool}
