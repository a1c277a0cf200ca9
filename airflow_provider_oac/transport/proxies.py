"""Proxies from ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, by the same rules for both drivers."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from airflow_provider_oac.exceptions import OACSetupError

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :param address: its URL, without the login.
    :param headers: headers that carry the login: ``Proxy-Authorization``, or none.
    :param secrets: parts of the login that messages must not show.
    """

    address: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.address).netloc

    def added_to(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Add the login to the headers of a request that the proxy itself forwards (plain http)."""
        return {**headers, **self.headers}


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for a URL; ``None`` for a direct connection.

    :raises OACConfigurationError: if the proxy is of a kind that cannot be used.
    """
    parts = urlsplit(url)
    for variable in (f"{parts.scheme}_proxy", "all_proxy"):
        name, text = _variable(variable)
        if text:
            port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
            return None if _is_excepted(parts.hostname or "", port) else _parsed(name, text)
    return None


def _variable(name: str) -> tuple[str, str]:
    """The name and value of an environment variable, of which the lower-case form wins, as in curl and requests.

    In a CGI process, the client can set ``HTTP_PROXY`` (httpoxy), so only the lower-case form counts there.
    """
    shouted = name.upper()
    for one in (name, shouted):
        if one in os.environ and not (one == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ):
            return one, os.environ[one].strip()
    return shouted, ""


@lru_cache(maxsize=16)
def _parsed(variable: str, text: str) -> Proxy:
    """Read the value of a variable.

    :raises OACConfigurationError: naming the variable, and showing nothing of its login.
    """
    # A value without a scheme means http, as in curl and requests.
    address = text if "://" in text else "http://" + text
    kind = ""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        # Text after the host is the rest of a password in which / ? or # is not percent-encoded.
        usable = bool(_HOST.fullmatch(host)) and not (parts.path.strip("/") or parts.query or parts.fragment)
        if parts.scheme not in ("http", "https"):
            usable, kind = False, f" Its scheme is {parts.scheme[:10]!r}."
    except ValueError:
        usable = False
    if not usable or _CONTROL.search(address):
        raise OACSetupError(
            f"The environment variable {variable} does not hold the address of an HTTP proxy.{kind} Write it as "
            "http://host:port or http://user:password@host:port, user and password percent-encoded."
        )
    shown = f"[{host}]" if ":" in host else host
    address = f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
    if parts.username is None:
        return Proxy(address)
    password = parts.password or ""
    # UTF-8, or the bytes that are percent-encoded, as in curl and RFC 7617 section 2.1.
    login = b":".join(unquote_to_bytes(os.fsencode(part)) for part in (parts.username, password))
    packed = base64.b64encode(login).decode()
    return Proxy(address, {"Proxy-Authorization": f"Basic {packed}"}, (packed, password, unquote(password)))


def _is_excepted(host: str, port: int | None) -> bool:
    """Whether ``NO_PROXY`` names a host.

    An entry is the host's name, a domain above it (``example.com``, ``.example.com``, ``*.example.com``), an address or
    a network (``10.0.0.0/8``), each with or without a port, or ``*``.
    """
    return any(_names(entry, host.rstrip(".").lower(), port) for entry in re.split(r"[\s,]+", _variable("no_proxy")[1]))


def _names(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    # An IPv6 address without brackets has no port.
    match = re.fullmatch(r"(?P<name>\[[^]]*\]|[^:]*):(?P<port>\d+)", entry)
    if match:
        if int(match["port"]) != port:
            return False
        entry = match["name"]
    entry = entry.removeprefix("*").strip(".").lower()
    address = _ip(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.translate({ord("["): None, ord("]"): None}), strict=False)
        except ValueError:
            return False
    return bool(entry) and (host == entry or host.endswith("." + entry))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
