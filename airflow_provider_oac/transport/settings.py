"""Timeouts, certificates and the rules for URLs, which both drivers share."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import certifi

from airflow_provider_oac.exceptions import OACConfigurationError, OACSetupError
from airflow_provider_oac.transport.files import NamedFileError, read_authorities
from airflow_provider_oac.transport.proxies import ip_address

_LARGEST_CA_FILE = 16 * 1024 * 1024
# Libraries read a URL with such a character differently, so they may disagree on the host to send to.
_MISREAD = re.compile(r"[\x00-\x20\\\x7f]")
# Labels of letters, digits, hyphens and (against the standards) underscores, each of at most 63 (RFC 1035 section
# 2.3.4); or an IPv6 address.
_HOST = re.compile(r"(?=.{1,253}\Z)[\w-]{1,63}(\.[\w-]{1,63})*\.?|[0-9a-f:.]*:[0-9a-z:.%_-]*", re.ASCII)
# Upper limits in seconds; a Connection may set less. More would let a silent server hold a worker for hours.
MAX_CONNECT_TIMEOUT = 60.0
MAX_READ_TIMEOUT = 900.0


@dataclass(frozen=True)
class TransportSettings:
    """How to reach a server.

    :param connect_timeout: seconds within which a connection must be made; a value above 60 counts as 60.
    :param read_timeout: seconds of silence after which a response is abandoned; a value above 900 counts as 900.
    :param ca_file: path of a PEM file with the certificate authorities to trust instead of the system's.
    :param file_folder: the folder that ``ca_file`` is limited to, if any.
    :param user_agent: the ``User-Agent`` of every request.
    :param response_timeout: seconds within which a response must be complete, however slowly its bytes arrive. A
        streamed response must have its head by then; its body gets more time for each piece that arrives.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    ca_file: str | None = None
    file_folder: str | None = None
    user_agent: str = "airflow-provider-oac"
    response_timeout: float = 900.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "connect_timeout", min(self.connect_timeout, MAX_CONNECT_TIMEOUT))
        object.__setattr__(self, "read_timeout", min(self.read_timeout, MAX_READ_TIMEOUT))

    def ssl_context(self) -> ssl.SSLContext:
        """The TLS context, which always verifies certificates.

        Creating one takes some 15 ms, so the contexts of the last CA files are cached.

        :raises OACConfigurationError: if the CA file cannot be used.
        """
        path = self.ca_path()
        try:
            return _context(read_authorities(path, self.file_folder if self.ca_file else None, _LARGEST_CA_FILE))
        except NamedFileError as error:
            problem = f"it {error}"
        except ssl.SSLError as error:
            problem = f"{type(error).__name__}: {error}"
        # The path of a Connection is not shown: it may be a secret in the wrong field.
        file = "The CA file (Connection: extra, ca_file)" if self.ca_file else f"The CA file {path!r}"
        raise OACSetupError(
            f"{file} cannot be used: {problem}. Give the path of a PEM file on this machine that the "
            "Airflow user may read."
        )

    def ca_path(self) -> str:
        """The CA file in force: the Connection's, else ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``,
        ``SSL_CERT_FILE``, else certifi's (which requests uses)."""
        variables = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        paths = (self.ca_file, *(os.environ.get(name) for name in variables))
        return next((os.path.expanduser(path) for path in paths if path), None) or certifi.where()


@lru_cache(maxsize=8)
def _context(authorities: bytes) -> ssl.SSLContext:
    # OpenSSL accepts ASCII only; other characters are comments. With an empty text, ssl would trust the system's CAs.
    text = authorities.decode("ascii", "ignore")
    if "-----BEGIN" not in text:
        raise NamedFileError("holds no certificate in PEM form")
    return ssl.create_default_context(cadata=text)


def checked_url(url: str, what: str) -> SplitResult:
    """Split a URL, and refuse one to which credentials must not be sent.

    Any well-formed host is accepted: private endpoints, vanity hosts and other realms have names of many kinds.

    :param url: the URL. It may be a secret in the wrong field, so errors do not quote it.
    :param what: its name in errors.
    :raises OACConfigurationError: if it is not a URL, or if it is plain http to another machine.
    """
    if not url.isascii() or _MISREAD.search(url):
        raise OACConfigurationError(f"{what} holds a blank, a backslash or a character that must be percent-encoded.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise OACConfigurationError(f"{what} is not a valid URL. It should look like https://host.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OACConfigurationError(f"{what} must be a complete URL such as https://host.")
    # If a password begins with a slash, the user name before it looks like the host.
    if "@" in parts.netloc or (parts.netloc.endswith(":") and "@" in url):
        raise OACConfigurationError(f"{what} must not hold a user name or password in the URL itself.")
    if not _HOST.fullmatch(parts.hostname):
        raise OACConfigurationError(f"{what} must be a URL such as https://host, but its host is not a host name.")
    address = ip_address(parts.hostname)
    loopback = (
        address.is_loopback if address else parts.hostname == "localhost" or parts.hostname.endswith(".localhost")
    )
    if parts.scheme == "http" and not loopback:
        raise OACConfigurationError(
            f"{what} is plain http, which sends tokens and passwords unencrypted. Use https:// (http is accepted for "
            "loopback addresses only, such as the simulator's)."
        )
    return parts
