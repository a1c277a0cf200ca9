"""Masking tokens in a process that signs in for months: all that is logged, and only the last ones."""

from __future__ import annotations

import itertools
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha512
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_oac.hooks.token_mask import KEPT, TokenMask

JWT = f"eyJhbGciOiJSUzI1NiJ9.{'eyJzdWIiOiJyb2JvdCJ9' * 9}.{urlsafe_b64encode(sha512(b'signature').digest()).decode()}"
OPAQUE = "an-opaque+token/of:24=="


@pytest.fixture
def mask() -> TokenMask:
    mask = TokenMask()
    for token in (JWT, OPAQUE):
        mask.add("oac", token)
    return mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (JWT, "***"),
        (f"Bearer {JWT}", "Bearer ***"),
        (f"Bearer {JWT}.\nand {OPAQUE}\n", "Bearer ***.\nand ***\n"),
        (f"access_token={JWT}&next=1 ", "access_token=***&next=1 "),
        (f'{{"token":"{OPAQUE}"}}', '{"token":"***"}'),
        (f"{{'token': '{JWT}'}}", "{'token': '***'}"),
        (f"/?t={quote(OPAQUE, safe='')}", "/?t=***"),
        (f"{JWT}{JWT}", "******"),
        # The end is what counts: without it a token is worthless.
        (f"…{JWT[-40:]}", "***"),
        (f"{JWT[:-1]}", JWT[:-1]),
        ("Nothing of a secret is in here, nor in https://idcs.example.com:443/oauth2/v1/token", None),
        ("", ""),
    ],
    ids=itertools.count(),
)
def test_a_token_is_hidden_wherever_it_stands(mask: TokenMask, text: str, masked: str | None) -> None:
    assert mask.redact(text) == (text if masked is None else masked)


def test_what_is_too_short_for_a_token_hides_nothing(mask: TokenMask) -> None:
    mask.add("oac", "Connection")
    assert mask.redact("The Connection 'oac'") == "The Connection 'oac'"


def test_the_last_tokens_of_each_connection_are_known_and_no_others(mask: TokenMask) -> None:
    tokens = [sha512(bytes([number])).hexdigest() for number in range(KEPT + 1)]
    mask.add("busy", JWT)
    for token in tokens:
        mask.add("busy", token)
        mask.add("busy", token)
    assert mask.redact(tokens[0]) == tokens[0]
    assert {mask.redact(token) for token in tokens[1:]} == {"***"}
    # Another Connection has this one as well, as two with the same credential do.
    assert mask.redact(JWT) == "***"


def test_a_text_that_is_full_of_tokens_is_hidden(mask: TokenMask) -> None:
    assert mask.redact(OPAQUE * 5000) == "***" * 5000


# As a triggerer sets up logging, before any token is known; loggers that were used before are used on.
SCRIPT = """
import logging, sys, warnings
TOKEN, OTHER = "an-opaque-token-of-somebody-with-40-characters", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
loggers = [logging.getLogger("stdlib"), logging.getLogger("airflow.task")]
try:
    import structlog
    from airflow.sdk.log import configure_logging
    configure_logging(json_output=True, output=open(sys.argv[1], "wb", buffering=0), sending_to_supervisor=True)
    loggers.append(structlog.get_logger("used"))
except ImportError:
    from airflow.logging_config import configure_logging
    configure_logging()
    handler = logging.FileHandler(sys.argv[1])
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    for name in ("", "airflow.task"):
        logging.getLogger(name).addHandler(handler)
for log in loggers:
    log.warning("first use")
from airflow_provider_oac.hooks.token_mask import mask_tokens_of
for token in (TOKEN, OTHER):
    mask_tokens_of("oac")(token)
for log in loggers:
    for token in (TOKEN, OTHER):
        log.warning(f"plain {token}")
        log.warning("arguments %s", token)
        log.warning("a list %s", [token])
        try:
            raise RuntimeError("effect") from ValueError(f"cause {token}")
        except RuntimeError:
            log.exception("raised")
        if isinstance(log, logging.Logger):
            log.error("too few %s %s", token)
        log.warning("%s", OSError(token))
if len(loggers) == 3:
    log.warning("structured", token=TOKEN, more={"deep": [TOKEN]})
    warnings.warn(f"warned of {TOKEN}")
log.warning("last")
"""


def test_nothing_that_is_logged_holds_a_token(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", SCRIPT, str(log)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    said = log.read_text()
    for wanted in ("first use", "plain", "arguments", "a list", "raised", "cause", "effect", "too few", "last"):
        assert wanted in said, wanted
    for token in ("an-opaque-token-of-somebody", "eyJhbGciOiJub25lIn0.eyJ", "c2lnbmF0dXJl"):
        assert token not in said + ran.stdout + ran.stderr
