"""Read the token files that Oracle's pages offer for download, and check whether their tokens can be renewed.

Forms: the identity console's *Generate Access Token* (``tokens.tok`` with ``app_access_token``: documented), OAC's
Profile page (``tokens.json`` with ``accessToken`` and ``refreshToken``: documented, ``expiresIn``: observed), and the
token service's own response.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from airflow_provider_oac.auth.claims import claims, owner
from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.token import Issued, Token, fits_header, read_seconds
from airflow_provider_oac.exceptions import OACConfigurationError

_LARGEST = 1 << 20
_ACCESS = ("access_token", "accessToken", "app_access_token")
_REFRESH = ("refresh_token", "refreshToken", "app_refresh_token")
_LIFETIME = ("expires_in", "expiresIn", "app_expires_in")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
_HEADER = re.compile(r"^(?:authorization:\s*)?(?:bearer\s+)?", re.IGNORECASE)
# Seconds since the epoch that no claim of a real token reaches.
_FAR_FUTURE = 1e11
_DOWNLOAD = "Give the file as downloaded from the console or the Profile page."


@dataclass(frozen=True)
class Imported:
    """The tokens of a file.

    :param issued: the tokens.
    :param owner: the user whom the access token names, if any.
    :param unrenewable: why the identity domain will not renew them for this application; ``None`` if no reason is
        known.
    """

    issued: Issued
    owner: str | None
    unrenewable: str | None


def read_token_file(text: str, settings: AuthSettings, now: float) -> Imported:
    """Read a token file and check whether its tokens can be used.

    :param text: the content of the file.
    :param settings: settings of the application that renews the tokens.
    :param now: wall-clock time in seconds since the epoch.
    :raises OACConfigurationError: if there is no usable token in it, or it has expired and cannot be renewed.
    """
    body = _object(text)
    access, refresh = _first(body, _ACCESS), _first(body, _REFRESH)
    if not access and not refresh:
        # A member whose name has another form may be a token in the wrong place.
        members = ", ".join(sorted(name for name in body if _NAME.fullmatch(name))[:20]) or "none known"
        raise OACConfigurationError(
            f"The file holds no token: it has none of the members {', '.join((*_ACCESS, *_REFRESH))} ({members}). "
            f"{_DOWNLOAD}"
        )
    for kind, token_text in (("access", access), ("refresh", refresh)):
        if token_text and not fits_header(token_text):
            raise OACConfigurationError(f"The file's {kind} token holds blanks or other characters that no token has.")
    token_claims = claims(access or "")
    token = _token(access or "", token_claims, body, now)
    unrenewable = _unrenewable(refresh, token_claims, settings)
    if unrenewable and token.expires_at <= now:
        raise OACConfigurationError(
            f"The tokens of the file cannot be used: the access token has expired, and {unrenewable}. Get a new file."
        )
    return Imported(Issued(token, refresh), owner(token_claims), unrenewable)


def access_token_of(text: str) -> str:
    """The access token in a token file, an ``Authorization`` header or a bare text; empty if there is none."""
    text = _bare(text)
    if not text.startswith("{"):
        return _HEADER.sub("", text)
    return _first(_object(text), _ACCESS) or ""


def _object(text: str) -> dict[str, Any]:
    if len(text) > _LARGEST:
        raise OACConfigurationError(f"The file has {len(text)} characters, too many for a token file.")
    try:
        body = json.loads(_bare(text))
    except (ValueError, RecursionError):
        body = None
    # Raised outside the handler: the parser's exception holds the tokens.
    if not isinstance(body, dict):
        raise OACConfigurationError(f"The file is not a JSON object. {_DOWNLOAD}")
    return body


def _bare(text: str) -> str:
    """Strip blanks and the byte order mark that Windows writes first."""
    return text.strip().removeprefix("\ufeff").strip()


def _first(body: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((value.strip() for name in names if isinstance(value := body.get(name), str) and value.strip()), None)


def _token(access: str, token_claims: dict[str, Any], body: dict[str, Any], now: float) -> Token:
    """The access token with its times, from its claims if it has them; a missing token counts as expired."""
    begin, end = _moment(token_claims.get("iat")), _moment(token_claims.get("exp"))
    if begin is not None and end is not None and begin < end:
        return Token(access, begin, end - begin)
    if not access:
        return Token("", 0.0, 0.0)
    return Token(access, now, read_seconds(next((body[name] for name in _LIFETIME if name in body), None)))


def _moment(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < _FAR_FUTURE else None


def _unrenewable(refresh: str | None, token_claims: dict[str, Any], settings: AuthSettings) -> str | None:
    if not refresh:
        return "there is no refresh token in the file: in the console, tick to include one"
    issued_to = token_claims.get("client_id")
    if isinstance(issued_to, str) and issued_to != settings.client_id:
        # Observed: the identity domain answers such a renewal with 401.
        return (
            f"its refresh token was issued to the application {issued_to!r}, and the identity domain does not renew "
            "it for this Connection's application (tokens of OAC's Profile page belong to OAC's own application)"
        )
    return None
