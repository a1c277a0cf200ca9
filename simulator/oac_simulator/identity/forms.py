"""Reading form posts as strictly as RFC 6749 requires."""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp import web

from oac_simulator.identity.errors import OAuthError

Form = dict[str, str]


async def read_form(request: web.Request) -> Form:
    """Read the fields of a form post.

    :raises OAuthError: for another content type or a repeated field (RFC 6749 section 3.2).
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "The content type must be application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl((await request.read()).decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise OAuthError("invalid_request", "The body is not form-urlencoded UTF-8.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is repeated.")
    # A parameter without a value counts as not sent (RFC 6749 section 3.1).
    return {name: value for name, value in form.items() if value}
