"""What servers, people and other versions may hand over: anything, with secrets among it."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.exceptions import OACError
from airflow_provider_oac.transport.io import Response
from tests.unit.auth.tokens import access_token

#: Few and always the same ones by default; `OAC_FUZZ_EXAMPLES=20000` for a long run with new ones each time.
_WANTED = os.environ.get("OAC_FUZZ_EXAMPLES")
few = settings(
    max_examples=int(_WANTED or 40),
    derandomize=_WANTED is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TOKEN = access_token(sub="jane", iat=1_700_000_000, exp=1_700_000_100)
OPAQUE = "an-opaque-token+of-somebody/=="
CLIENT_SECRET, USER_PASSWORD, REFRESH = "the+client/secret=", "the pass&word%41", "AQIDBA+refresh/token=="
SECRETS = (TOKEN, OPAQUE, CLIENT_SECRET, USER_PASSWORD, REFRESH)
SETTINGS = AuthSettings(
    identity_url="https://idcs.example.com", client_id="id", client_secret=CLIENT_SECRET, scope="s",
    grant="password", user="u", user_password=USER_PASSWORD, client_authentication="basic", refresh_token=REFRESH,
)  # fmt: skip

#: Names that answers, files and events have, so that what is made up gets beyond the first look.
NAMES = (
    "access_token", "accessToken", "app_access_token", "refresh_token", "token_type", "expires_in", "error",
    "error_description", "code", "errorCode", "message", "detail", "title", "status", "user", "ecid", "device_code",
    "user_code", "verification_uri", "interval", "id", "name", "type", "items", "owner", "parent", "parentId",
    "lastModified", "created", "description", "snapshots", "bar", "uri", "workRequestId", "id64", "percentComplete",
    "errors", "resources", "operationType", "timeAccepted", "timeStarted", "timeFinished", "jobs", "jobId", "tasks",
    "startTime", "endTime", "rows", "canvases", "exportId", "accountGuid", "accountType", "permissions", "content",
    "outcome", "carried", "work_request_id", "settings", "value", "serviceInstanceKey", "host", "port", "sender",
)  # fmt: skip

texts = (
    st.text(max_size=30)
    | st.sampled_from((*SECRETS, *NAMES, "", " ", "\x1b[2J", "\ud800", "a\r\nb", "9" * 5000, "²", "nan", "1e999"))
    | st.sampled_from(SECRETS).map(lambda secret: f"You sent Bearer {secret}, which is wrong")
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=6),
    max_leaves=12,
)
bodies = (
    values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.sampled_from((b"", b"[" * 100_000, b'{"expires_in": ' + b"9" * 5000 + b"}", b"\xff\xfe", b"<html>", b"NaN"))
)
#: Of headers the libraries let pass what is no control character.
header_texts = (
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
    | st.sampled_from(("²", "1" * 5000, "-1", "inf", "Wed, 32 Foo 99999 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00"))
    | st.sampled_from(SECRETS)
    | st.sampled_from(SECRETS).map(lambda secret: f"https://elsewhere.example.com/{secret}?token={secret}")
)
HEADERS = (
    "retry-after", "date", "content-type", "content-length", "content-range", "content-encoding", "etag", "location",
    "www-authenticate", "ecid", "opc-request-id", "x-request-id", "oa-current-page", "oa-page-count", "oa-next-page",
    "oa-total-items", "content-disposition",
)  # fmt: skip
headers = st.dictionaries(st.sampled_from(HEADERS), header_texts, max_size=6)
statuses = st.sampled_from((200, 201, 202, 204, 206, 301, 307, 400, 401, 403, 404, 409, 416, 429, 500, 502, 503))
responses = st.builds(Response, statuses, headers, bodies, st.just("https://oac.example.com/x"))


def harmless(error: BaseException, secrets: tuple[str, ...]) -> str:
    """The text of an error, which holds no secret, is of a length that people read, and can be written anywhere.

    :param secrets: those that are known as such where the error is made.
    """
    assert isinstance(error, OACError)
    told = f"{error} {error!r} {vars(error)!r}"
    assert not [secret for secret in secrets if secret in told], told
    assert 20 < len(str(error)) < 12_000, told
    str(error).encode()
    return str(error)


def given_or_refused(secrets: tuple[str, ...], function: Any, *arguments: Any, **named: Any) -> Any:
    """What a function gives, or `None` if it refuses with an error of ours."""
    try:
        return function(*arguments, **named)
    except OACError as error:
        harmless(error, secrets)
        return None
