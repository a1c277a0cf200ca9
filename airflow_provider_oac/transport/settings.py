"""Timeouts, proxies, certificates and the rules for addresses: read once, obeyed alike by both drivers."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import certifi

from airflow_provider_oac.exceptions import OACConfigurationError, OACSetupError
from airflow_provider_oac.transport.files import NamedFileError, check_file

_LARGEST_CA_FILE = 16 * 1024 * 1024
# Libraries disagree on what follows such a character, and so on whom they send to.
_MISREAD = re.compile(r"[\x00-\x20\\\x7f]")
# A Connection may ask for less. More would let a silent server hold a worker for hours.
MAX_CONNECT_TIMEOUT = 60.0
MAX_READ_TIMEOUT = 900.0


@dataclass(frozen=True)
class TransportSettings:
    """How to reach a server.

    :param connect_timeout: seconds until a connection must stand; at most 60, a larger value counts as 60.
    :param read_timeout: seconds of silence after which a response is given up; at most 900, a larger value counts as
        900.
    :param ca_file: path of a PEM file with the certificate authorities to trust instead of the system's.
    :param file_folder: the folder that ``ca_file`` is limited to, if it is.
    :param user_agent: sent with every request.
    :param response_timeout: seconds after which a response must be complete, however its bytes trickle in. A response
        that is streamed must have its head by then, and gets further time for what it delivers.
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
        """The TLS context: verified always. Making one costs some 15 ms, so it is kept until its file is another one.

        :raises OACConfigurationError: if the CA file cannot be used.
        """
        return self._checked_ca()[1]

    def _checked_ca(self) -> tuple[str, ssl.SSLContext]:
        path = self.ca_path()
        try:
            file = check_file(path, self.file_folder if self.ca_file else None, _LARGEST_CA_FILE)
            return file.path, _context(file.path, file.info.st_ino, file.info.st_mtime_ns, file.info.st_size)
        except NamedFileError as error:
            problem, outside = f": it {error}", error.outside
        except (OSError, ssl.SSLError) as error:
            problem, outside = f" ({type(error).__name__}: {error})", False
        if outside:
            step = "Put the file into that folder."
        else:
            step = "Give the path of a PEM file that exists on this machine and that the Airflow user may read."
        raise OACSetupError(f"The CA file {path!r} cannot be used{problem}. {step}")

    def ca_path(self) -> str:
        """The CA file in force: the Connection's, else ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``,
        ``SSL_CERT_FILE``, else certifi's (which requests uses)."""
        for path in (
            self.ca_file,
            os.environ.get("REQUESTS_CA_BUNDLE"),
            os.environ.get("CURL_CA_BUNDLE"),
            os.environ.get("SSL_CERT_FILE"),
        ):
            if path:
                return os.path.expanduser(path)
        return _certifi()

    def checked_ca_path(self) -> str:
        """The CA file in force, for a library that reads it itself, after a look whether it can be read.

        :raises OACConfigurationError: if the CA file cannot be used.
        """
        path = self.ca_path()
        return path if path == _certifi() else self._checked_ca()[0]


@lru_cache(maxsize=8)
def _context(path: str, _inode: int, _changed_at: int, _size: int) -> ssl.SSLContext:
    if os.path.isdir(path):
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


def _certifi() -> str:
    return certifi.where()


def is_loopback(host: str | None) -> bool:
    """Whether a host name means this very machine."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_login(url: str) -> str:
    """For messages. A password that is not percent-encoded may hold what ends a login: up to the last @ it goes."""
    return re.sub(r"^([^/?#]*//|).*@", r"\1***@", url, flags=re.DOTALL)[:300]


def checked_url(url: str, what: str) -> SplitResult:
    """Split a URL and refuse what credentials must not be sent to.

    The host's name is not judged: private endpoints, vanity hosts and other realms have names of their own.

    :param url: the URL.
    :param what: what it is, for the error text.
    :raises OACConfigurationError: if it is no URL, or plain http to another machine.
    """
    if not url.isascii() or _MISREAD.search(url):
        raise OACConfigurationError(
            f"{what} holds a blank, a backslash or a character that must be percent-encoded: {_without_login(url)!r}."
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise OACConfigurationError(f"{what} is not a valid URL: {_without_login(url)!r}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OACConfigurationError(
            f"{what} must be a complete URL such as https://host, but is {_without_login(url)!r}."
        )
    if "@" in parts.netloc:
        raise OACConfigurationError(f"{what} must not hold a user name or password in the URL itself.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise OACConfigurationError(
            f"{what} is {_without_login(url)!r}, plain http: tokens and passwords would travel readable for anybody. "
            "Use https:// (http is accepted for loopback addresses only, such as the simulator's)."
        )
    return parts
