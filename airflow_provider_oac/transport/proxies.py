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
from urllib.request import getproxies_environment

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


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment names for a URL; ``None`` for a direct connection.

    :raises OACConfigurationError: if the proxy is of a kind that cannot be used.
    """
    # The lower-case form of a variable wins, as in curl and requests.
    parts, variables = urlsplit(url), getproxies_environment()
    for scheme in (parts.scheme, "all"):
        if text := variables.get(scheme, "").strip():
            port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
            excepted = _is_excepted(parts.hostname or "", port, variables.get("no", ""))
            return None if excepted else _parsed(f"{scheme}_proxy".upper(), text)
    return None


@lru_cache(maxsize=16)
def _parsed(variable: str, text: str) -> Proxy:
    """Read the value of a variable.

    :raises OACConfigurationError: naming the variable, and showing nothing of its login.
    """
    # A value without a scheme means http, as in curl and requests.
    address = text if "://" in text else "http://" + text
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        # Text after the host is the rest of a password in which / ? or # is not percent-encoded.
        rest = parts.path.strip("/") or parts.query or parts.fragment
        usable = parts.scheme in ("http", "https") and bool(_HOST.fullmatch(host)) and not rest
    except ValueError:
        usable = False
    if not usable or _CONTROL.search(address):
        raise OACSetupError(
            f"The environment variable {variable} does not hold the address of an HTTP proxy. Write it as "
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


def _is_excepted(host: str, port: int | None, entries: str) -> bool:
    """Whether ``NO_PROXY`` names a host.

    An entry is the host's name, a domain above it (``example.com``, ``.example.com``, ``*.example.com``), an address or
    a network (``10.0.0.0/8``), each with or without a port, or ``*``.
    """
    return any(_names(entry, host.rstrip(".").lower(), port) for entry in re.split(r"[\s,]+", entries))


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
    address = ip_address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.translate({ord("["): None, ord("]"): None}), strict=False)
        except ValueError:
            return False
    return bool(entry) and (host == entry or host.endswith("." + entry))


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host name is; ``None`` if it is another name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
