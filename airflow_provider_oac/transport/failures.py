"""Why no answer came: the cause behind a library's exception, in words that help."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.io import Request
from airflow_provider_oac.transport.settings import proxy_for


def transport_error(request: Request, error: BaseException, *, sent: bool) -> OACTransportError:
    """Turn a driver's exception into the one that flows know. Raise it ``from`` the original.

    :param request: what was being sent.
    :param error: the exception of the HTTP library.
    :param sent: whether the request may have reached the server.
    """
    parts = urlsplit(request.url)
    what = f"{request.method} {parts.scheme}://{parts.netloc}{parts.path}"
    chain = list(causes(error))
    reason, next_step, passing = _proxy_reason(request, chain) or _reason(chain, sent)
    return OACTransportError(f"{what}: {reason}. {next_step}", sent=sent, passing=passing)


def _proxy_reason(request: Request, chain: list[BaseException]) -> tuple[str, str, bool] | None:
    """What to say if it was the proxy that failed: both libraries name their exceptions for it so. Who goes through
    a proxy resolves no name but the proxy's."""
    proxy = urlsplit(proxy_for(request.url) or "")
    named = any("proxy" in type(cause).__name__.lower() for cause in chain)
    if not proxy.hostname or not (named or any(isinstance(cause, socket.gaierror) for cause in chain)):
        return None
    name = f"the proxy {proxy.hostname}" + (f":{proxy.port}" if proxy.port else "")
    refusal = next((status for cause in chain if (status := _tunnel_status(cause))), None)
    if refusal:
        return (
            f"{name} refused to connect to the server (HTTP {refusal})",
            "Check the login in HTTPS_PROXY and whether the proxy allows this host, or name the host in NO_PROXY.",
            refusal >= 500,
        )
    return (
        f"{name} cannot be reached ({type(chain[-1]).__name__})",
        "Check HTTPS_PROXY and NO_PROXY of the process that runs the task.",
        True,
    )


def _tunnel_status(error: BaseException) -> int | None:
    """With which HTTP status a proxy refused a tunnel: an attribute in aiohttp, words in the standard library."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status
    words = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    return int(words[1]) if words else None


def _reason(chain: list[BaseException], sent: bool) -> tuple[str, str, bool]:
    error = chain[0]
    for cause in chain:
        # aiohttp's own exception is of this class, too, but has nothing to say.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            return (
                f"the server's certificate was refused ({cause.verify_message})",
                "If the host is right, a proxy or a private CA signs its certificates: put the CA's PEM file "
                "on this machine and its path into the Connection's ca_file.",
                False,
            )
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and not sent and not isinstance(cause, ssl.SSLEOFError):
            return (
                f"the TLS handshake failed ({_openssl_reason(chain)})",
                "Check that the address speaks TLS on this port and that no proxy stands in between.",
                False,
            )
        if isinstance(cause, socket.gaierror):
            return (
                "the host name cannot be resolved",
                "Check the name for typing errors, and whether this machine's DNS knows it "
                "(a private endpoint is known inside its network only).",
                True,
            )
        if isinstance(cause, ConnectionRefusedError):
            return (
                "the connection was refused",
                "Check host and port; a paused instance or a firewall can answer like this.",
                True,
            )
    if any(isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower() for cause in chain):
        if sent:
            return ("no answer came in time", "The server may still be working on the request.", True)
        return (
            "no connection could be made in time",
            "Check route, firewall and proxy between this machine and the server (HTTPS_PROXY, NO_PROXY).",
            True,
        )
    if sent:
        return (
            f"the connection broke before the answer was complete ({type(error).__name__})",
            "The server may have acted on the request.",
            True,
        )
    return (f"the connection failed ({type(error).__name__})", "Check the address and the network.", True)


def _openssl_reason(chain: list[BaseException]) -> str:
    return next((reason for cause in chain if isinstance(reason := getattr(cause, "reason", None), str)), "no reason")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and everything that it wraps, by cause or argument (urllib3 uses both).

    Not by context, which leads to whatever the caller was handling: a connection that was refused before says nothing
    about this request.
    """
    seen: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [current.__cause__, getattr(current, "reason", None)]
        pending += [getattr(current, "os_error", None), getattr(current, "certificate_error", None)]
        pending += [argument for argument in current.args if isinstance(argument, BaseException)]
        pending = [item for item in pending if isinstance(item, BaseException)]
