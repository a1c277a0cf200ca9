"""OACHook in a task."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_oac.client.rest import system
from airflow_provider_oac.exceptions import OACConfigurationError, OACError
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.transport.retry import ONCE
from oac_simulator.launch import Simulator
from tests.integration.servers import unused_port
from tests.tasks import Connections

try:
    from airflow.sdk._shared.secrets_masker import _secrets_masker, redact
except ImportError:  # Airflow 2.11
    from airflow.utils.log.secrets_masker import _secrets_masker, redact


def url(simulator: Simulator, instance: str = "dev") -> str:
    return str(simulator.ready["instances"][instance]["url"])


# ------------------------------------------------------------------------------------------- run, wait, secrets


CLOSED = f"http://127.0.0.1:{unused_port()}"


@pytest.mark.parametrize("on_a_loop", [False, True])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"private_key": "no key at all"}, "The private key cannot be used"),
        ({"certificate": "no certificate"}, "The certificate cannot be used"),
        ({"ca_file": "/nowhere/ca.pem"}, r"The CA file \(Connection: extra, ca_file\) cannot be used"),
        ({"host": CLOSED}, ".*the connection was refused"),
        ({"identity_url": CLOSED}, ".*the connection was refused"),
        ({"certificate_alias": "other"}, "Signing in at"),
    ],
    ids=["key", "certificate", "ca", "host", "domain", "sign-in"],
)
def test_what_fails_below_names_the_connection(
    connections: Connections, changes: dict[str, Any], says: str, on_a_loop: bool
) -> None:
    connections.oac("oac_other", **changes)
    hook = OACHook("oac_other")
    # Once only: what passes would be tried again for a while.
    work = lambda api: api.perform(system.get(), ONCE)  # noqa: E731
    with pytest.raises(OACError, match=f"^Connection 'oac_other': {says}") as failure:
        asyncio.run(hook.arun(work)) if on_a_loop else hook.run(work)
    assert str(failure.value).count("Connection 'oac_other'") == 1


def test_what_is_misspelt_is_logged_once(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    connections.oac(conect_timeout=3)
    hook = OACHook()
    said: list[str] = []
    monkeypatch.setattr(hook.log, "warning", lambda text, *values: said.append(text % values))
    for _ in range(2):
        hook.run(system.get())
    assert said == [
        "Connection 'oac_default': Unknown field 'conect_timeout' in extra. Did you mean 'connect_timeout'?"
    ]


@pytest.fixture
def unmasked() -> None:
    """Airflow's masker knows no secret, as in a new process; other tests have given it any number of them."""
    masker = _secrets_masker()
    masker.patterns, masker.replacer = set(), None
    assert redact("a-client-secret and a-user's-password") == "a-client-secret and a-user's-password"


@pytest.mark.usefixtures("unmasked")
def test_secrets_of_the_connection_are_masked_in_logs(connections: Connections, clean: Simulator) -> None:
    extra = {"identity_url": clean.ready["identity_url"], "scope": "s", "user": "u", "grant": "password"}
    connection = {"conn_type": "oac", "host": url(clean), "login": "id", "password": "a-client-secret"}
    connections.set("oac_default", {**connection, "extra": {**extra, "user_password": "a-user's-password"}})
    assert OACHook().settings.auth.user == "u"
    assert redact("a-client-secret and a-user's-password") == "*** and ***"


@pytest.mark.usefixtures("unmasked")
def test_an_access_token_works_and_is_masked(connections: Connections, clean: Simulator) -> None:
    token = OACHook().access_token()
    bearer = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{url(clean)}/api/20210901/snapshots", headers=bearer, timeout=20).status_code == 200
    assert redact(f"the token is {token}") == "the token is ***"


# ---------------------------------------------------------------------------------------------------- get_conn


def test_a_session_takes_paths_and_complete_addresses_of_the_instance(
    connections: Connections, clean: Simulator
) -> None:
    session = OACHook().get_conn()
    for address in ("/system", "system", "/api/20210901/system", f"{url(clean)}/api/20210901/system"):
        assert session.get(address).json()["serviceInstanceKey"] == "dev"
    assert session.get("/snapshots", params={"x": "y"}).status_code == 200
    assert session.get("/snapshots?x=http://elsewhere.example.com/").status_code == 200
    # For requests this is no other address, but a path of this instance.
    assert session.get("//elsewhere.example.com/x").status_code == 404


def test_a_session_sends_nothing_to_another_host_or_instance(connections: Connections, clean: Simulator) -> None:
    session, only = OACHook().get_conn(), r"sends its token only to .* Use a separate session|must be a complete URL"
    prod = f"{url(clean, 'prod')}/api/20210901/system"
    for other in ("https://elsewhere.example.com/x", "HTTP://127.0.0.1:1/", "ftp://127.0.0.1/", prod):
        with pytest.raises(OACConfigurationError, match=only):
            session.get(other)
    # Libraries read its host differently.
    request = requests.Request("GET", url(clean)).prepare()
    request.url = f"http://evil.example.com\\@{url(clean).removeprefix('http://')}/"
    with pytest.raises(OACConfigurationError, match="a backslash"):
        session.send(request)
    calls = clean.control.counters()["calls"]
    assert [calls.get(place, {}) for place in ("dev", "prod", "identity")] == [{}] * 3


def test_a_session_follows_no_redirect(connections: Connections, clean: Simulator) -> None:
    location = f"{url(clean, 'prod')}/api/20210901/system"
    clean.control.fault("GET /system", "redirect", location=location)
    answer = OACHook().get_conn().get("/system", allow_redirects=True)
    assert (answer.status_code, answer.headers["Location"]) == (302, location)
    assert clean.control.calls("prod", "GET /system") == 0


def test_a_session_ignores_netrc(connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert OACHook().get_conn().get("/system").request.headers["Authorization"].startswith("Bearer ")


def test_tls_is_verified_with_the_connections_ca(secure: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(secure.ready, monkeypatch)
    connections.oac(ca_file=secure.ready["ca_file"])
    assert OACHook().get_conn().get("/system").status_code == 200
    assert OACHook().run(system.get()).service_instance_key == "dev"
    connections.oac()
    with pytest.raises(requests.exceptions.SSLError):
        # The token is still known: what is refused is the certificate of the instance.
        OACHook().get_conn().get("/system")
    works, message = OACHook().test_connection()
    assert (works, "the server's certificate was refused" in message, "ca_file" in message) == (False, True, True)
