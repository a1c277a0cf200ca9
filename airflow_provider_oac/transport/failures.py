"""Explain why no response came: the cause behind a library's exception, and the next step."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from airflow_provider_oac.exceptions import OACTransportError
from airflow_provider_oac.transport.io import Deadline, Request
from airflow_provider_oac.transport.proxies import Proxy, proxy_for
from airflow_provider_oac.transport.redaction import quoted

# Words of a header up to this length, such as Bearer, are not secrets.
_SHORTEST_SECRET = 7
# OpenSSL's X509_V_ERR_… codes of checks that need X509_V_FLAG_X509_STRICT, which Python 3.13 sets (x509_vfy.h).
_STRICT = range(80, 94)
_MAY_HAVE_ACTED = "The server may have acted on the request."
_OTHER_CA = (
    "If the host is correct, a proxy or a private CA signs its certificates: copy the CA's PEM file to this machine "
    "and set the Connection's ca_file to its path."
)


def transport_error(
    request: Request, error: BaseException, *, sent: bool, deadline: Deadline | None = None
) -> OACTransportError:
    """Turn an HTTP library's exception into an :class:`OACTransportError`.

    Raise it after the ``except`` block, so it does not carry the library's exception: the local variables in that
    one's frames hold the form body and the ``Authorization`` header, and error trackers collect them. Its text is kept,
    redacted.

    :param request: the request that was being sent.
    :param error: the exception of the HTTP library.
    :param sent: whether the request may have reached the server.
    :param deadline: when the driver abandons the response.
    """
    parts = urlsplit(request.url)
    what = f"{request.method} {parts.scheme}://{parts.netloc}{parts.path}"
    if deadline is not None and deadline.left() <= 0:
        return OACTransportError(
            f"{what}: the response is not complete after {deadline.seconds:g} s and was abandoned. Likely cause: the "
            f"server or a proxy sends it byte by byte.{f' {_MAY_HAVE_ACTED}' if sent else ''}",
            sent=sent,
        )
    chain = list(causes(error))
    proxy = proxy_for(request.url)
    reason, next_step, passing = _proxy_reason(proxy, chain) or _reason(chain, sent)
    said = _said(request, chain, proxy)
    return OACTransportError(f"{what}: {reason}{f' ({said})' if said else ''}. {next_step}", sent=sent, passing=passing)


def _said(request: Request, chain: list[BaseException], proxy: Proxy | None) -> str | None:
    """The redacted text of the innermost exception: the outer ones repeat it with addresses, queries and logins."""
    inner = chain[-1]
    words = (word for value in request.headers.values() for word in value.split(" "))
    secrets = [word for word in words if len(word) > _SHORTEST_SECRET]
    secrets += [urlsplit(request.url).query, *(proxy.secrets if proxy else ())]
    said = quoted(f"{type(inner).__name__}: {inner}" if str(inner) else type(inner).__name__, secrets, 200)
    return said.rstrip(".") if said else None


def _proxy_reason(proxy: Proxy | None, chain: list[BaseException]) -> tuple[str, str, bool] | None:
    """The reason, the next step and whether it is passing, if the proxy failed; else ``None``.

    Both libraries have "proxy" in the names of such exceptions. With a proxy, this machine resolves only the proxy's
    name, so a failed resolution is the proxy's, too.
    """
    named = any("proxy" in type(cause).__name__.lower() for cause in chain)
    if proxy is None or not (named or any(isinstance(cause, socket.gaierror) for cause in chain)):
        return None
    if refusal := next((status for cause in chain if (status := _tunnel_status(cause))), None):
        reason = f"the proxy {proxy.name} refused to connect to the server (HTTP {refusal})"
        step = "Check the login in HTTPS_PROXY and whether the proxy allows this host, or add the host to NO_PROXY."
        return reason, step, refusal >= 500
    step = "Check HTTPS_PROXY and NO_PROXY in the process that runs the task."
    return f"the proxy {proxy.name} cannot be reached", step, True


def _tunnel_status(error: BaseException) -> int | None:
    """The HTTP status with which a proxy refused a tunnel: an attribute in aiohttp, text in the standard library."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status
    words = re.search(r"Tunnel connection failed: (\d{3})", str(error))
    return int(words[1]) if words else None


def _reason(chain: list[BaseException], sent: bool) -> tuple[str, str, bool]:
    """The reason, the next step and whether it is passing."""
    for cause in chain:
        # aiohttp's own exception is of this class, too, but has no such message.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            if cause.verify_code in _STRICT:
                reason = f"a certificate breaks RFC 5280, which Python 3.13 and newer refuse ({cause.verify_message})"
                return reason, f"Ask the CA's operator to reissue {_to_reissue(cause)}. Python 3.12 accepts it.", False
            reason = f"the server's certificate was refused ({cause.verify_message})"
            return reason, _OTHER_CA, False
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and not sent and not isinstance(cause, ssl.SSLEOFError):
            step = "Check that the server speaks TLS on this port and that no proxy intercepts the connection."
            return "the TLS handshake failed", step, False
        if isinstance(cause, socket.gaierror):
            step = (
                "Check the name, and whether this machine's DNS resolves it (a private endpoint needs its own network)."
            )
            return "the host name cannot be resolved", step, True
        if isinstance(cause, ConnectionRefusedError):
            step = "Check host and port; a paused instance or a firewall can answer like this."
            return "the connection was refused", step, True
    if any(isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower() for cause in chain):
        if sent:
            return "no response came in time", "The server may still be working on the request.", True
        step = "Check the route, firewall and proxy between this machine and the server (HTTPS_PROXY, NO_PROXY)."
        return "no connection could be made in time", step, True
    if sent:
        return "the connection broke before the response was complete", _MAY_HAVE_ACTED, True
    return "the connection failed", "Check the address and the network.", True


def _to_reissue(error: ssl.SSLCertVerificationError) -> str:
    """Which certificate to reissue: OpenSSL names only the fault, but some faults concern CAs alone."""
    if error.verify_message.startswith("Missing Authority Key"):
        return "the server's certificate (or the intermediate CA's) with the extension Authority Key Identifier"
    if any(word in error.verify_message for word in ("CA", "Subject Key", "Path length")):
        return "its CA certificate without this fault, and replace the old one in ca_file"
    return "the server's certificate without this fault"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and everything that it wraps, by cause or argument (urllib3 uses both).

    It ignores ``__context__``, which leads to any exception that the caller was handling: an earlier refused connection
    says nothing about this request.
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
