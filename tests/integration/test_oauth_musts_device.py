"""MUSTs of RFC 8628: the device grant, on the wire. See `test_oauth_musts.py`."""

from __future__ import annotations

import json

import pytest

from airflow_provider_oac.auth.device import device_sign_in
from airflow_provider_oac.exceptions import OACAuthError
from airflow_provider_oac.transport.io import IO
from tests.drivers import Drive
from tests.integration.raw_domain import GRANTS, NAMED, SECRET, WAYS, Domain, form, must, signed_in
from tests.integration.servers import Reply, Seen, answering

pytestmark = NAMED

# ----------------------------------------------------------------------------------------- RFC 8628, device grant


def pending(error: str = "authorization_pending") -> Reply:
    return Reply(400, json.dumps({"error": error}).encode(), [("Content-Type", "application/json")])


@must("RFC 8628 3.4: an application that has a secret or a key authenticates itself at each poll")
@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_polls_authenticate(way: str, domain: Domain, drive: Drive) -> None:
    domain.answers = [pending()]
    secret = SECRET if way in ("basic", "body") else None
    key = {} if way == "assertion" else {"private_key": None}
    signed_in(drive, domain.settings(grant="device_code", client_authentication=way, client_secret=secret, **key))
    assert len(domain.token_calls) == 2
    for seen in domain.token_calls:
        sent = form(seen)
        proofs = {"basic": seen.headers.get("authorization"), "body": sent.get("client_secret")}
        proofs["assertion"] = sent.get("client_assertion")
        assert [name for name, proof in proofs.items() if proof] == ([] if way == "none" else [way])
        assert sent["client_id"] == "id with ü:+"
        assert sent["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"


class Clock:
    """Waits nothing, and remembers how long it was to wait. Sends as the driver that it wraps.

    :param io: that driver.
    """

    def __init__(self, io: IO) -> None:
        self._io = io
        self.slept: list[float] = []
        self.send, self.now, self.to_thread, self.random = io.send, io.now, io.to_thread, io.random

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def waits(domain: Domain, drive: Drive, interval: float | None, *answers: Reply) -> list[float]:
    """How long a device sign-in waits before each poll, given the answers before the tokens."""

    def reply(seen: Seen) -> Reply:
        if seen.target.endswith("/device"):
            code = {"device_code": "d", "user_code": "U", "verification_uri": "https://x", "expires_in": 300}
            return Reply(body=json.dumps(code | ({"interval": interval} if interval else {})).encode())
        return domain.reply(seen)

    domain.answers = list(answers)
    with answering(reply) as server:
        settings = domain.settings(**{**GRANTS["device_code"], "identity_url": server.url})

        async def flow(io: IO) -> list[float]:
            clock = Clock(io)
            await device_sign_in(clock, settings, lambda _code: None, lambda _left: None)  # type: ignore[arg-type]
            return clock.slept

        return drive(flow)


@must("RFC 8628 3.2: without an interval, five seconds between polls")
def test_default_interval(domain: Domain, drive: Drive) -> None:
    assert waits(domain, drive, None, pending()) == [5.0, 5.0]


@must("RFC 8628 3.5: not more often than the interval says")
def test_interval(domain: Domain, drive: Drive) -> None:
    assert waits(domain, drive, 9, pending(), pending()) == [9.0, 9.0, 9.0]


@must("RFC 8628 3.5: slow_down adds five seconds to this and all later intervals")
def test_slow_down(domain: Domain, drive: Drive) -> None:
    assert waits(domain, drive, 5, pending("slow_down"), pending()) == [5.0, 10.0, 10.0]


@must("RFC 8628 3.5: after a timeout, polls come less often")
def test_timeouts(domain: Domain, drive: Drive) -> None:
    assert waits(domain, drive, 5, Reply(504), pending()) == [5.0, 10.0, 10.0]


@must("RFC 8628 3.5: every other error ends the polls")
@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant", "invalid_client", "new_error"])
def test_other_errors(error: str, domain: Domain, drive: Drive) -> None:
    domain.answers = [pending(), pending(error), pending()]
    with pytest.raises(OACAuthError):
        signed_in(drive, domain.settings(**GRANTS["device_code"]))
    assert len(domain.token_calls) == 2
