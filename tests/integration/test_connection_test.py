"""Trying a Connection: what is found, what is warned of, and at which step it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from airflow_provider_oac.auth.keys import load_private_key
from airflow_provider_oac.hooks.connection_test import Report, Step, check
from airflow_provider_oac.hooks.oac import OACHook
from oac_simulator.launch import Simulator
from tests.chains import signed_in
from tests.drivers import SignIn
from tests.integration.raw_domain import FIRST, SECRET, Domain
from tests.integration.servers import Reply, answering, unused_port
from tests.tasks import ADMIN, AUTHOR, Connections, oac_connection
from tests.unit.auth.tokens import access_token

CHAIN = {"grant": "refresh_token", "user": None, "refresh_token": FIRST}
NO_KEY: dict[str, Any] = {"private_key": None, "certificate_alias": None}
CLOSED = unused_port()
FILES = Path("/proc/self/fd")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store in a folder, as the deployment's settings name it."""
    folder = tmp_path / "tokens"
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "file")
    monkeypatch.setenv("AIRFLOW__OAC__STORE_FOLDER", str(folder))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    return folder


def steps(report: Report) -> dict[str, str]:
    """Names of the steps and the worst of their states."""
    order = ("ok", "note", "warning", "failed")
    found: dict[str, str] = {}
    for step in report.steps:
        found[step.name] = max(found.get(step.name, "ok"), step.state, key=order.index)
    return found


def works() -> Report:
    report = OACHook().check()
    assert report.works, str(report)
    return report


def failed() -> Step:
    """The step at which the test of the Connection fails."""
    report = OACHook().check()
    (step,) = [step for step in report.steps if step.state == "failed"]
    assert (report.works, str(report), OACHook().test_connection()[0]) == (False, step.text, False)
    # What is wrong with the address is told beside the sign-in.
    assert step is report.steps[-1] or (step.name == "address" and steps(report)["sign-in"] == "ok")
    assert "rights" not in steps(report) or step.name == "rights"
    return step


def with_secret(connections: Connections, **extra: Any) -> None:
    connection = oac_connection(connections.ready, **{**NO_KEY, **extra})
    connections.set("oac_default", {**connection, "password": connections.ready["client_secret"]})


# ----------------------------------------------------------------------------------------------- what works


def test_an_assertion(connections: Connections, clean: Simulator) -> None:
    report = works()
    assert steps(report) == {
        "connection": "ok", "address": "ok", "store": "ok", "sign-in": "ok", "rights": "ok", "key": "ok",
        "certificate": "note",
    }  # fmt: skip
    facts = {
        "conn_id": "oac_default", "works": True, "grant": "jwt_assertion", "store": "memory",
        "client_authentication": "assertion", "user": ADMIN, "token_lifetime": 100, "administrator": True,
        "author": True,
    }  # fmt: skip
    assert report.as_dict().items() >= facts.items()
    assert clean.control.calls("identity", "token") == 1


def test_a_password_works_is_warned_of_and_not_shown(connections: Connections, clean: Simulator) -> None:
    with_secret(connections, grant="password", user_password=clean.ready["users"][ADMIN])
    report = works()
    assert steps(report) == {
        "connection": "ok", "address": "ok", "store": "ok", "sign-in": "ok", "user": "warning", "rights": "ok",
    }  # fmt: skip
    assert "The grant password is discouraged" in str(report)
    shown = json.dumps(report.as_dict()) + str(report) + repr(report)
    assert not [text for text in (clean.ready["client_secret"], clean.ready["users"][ADMIN], "eyJ") if text in shown]


@pytest.mark.parametrize("grant", ["refresh_token", "device_code"])
@pytest.mark.usefixtures("store")
def test_a_chain_is_renewed_through_the_store(
    grant: str, connections: Connections, clean: Simulator, sign_in: SignIn
) -> None:
    with_secret(connections, grant=grant, user=None, refresh_token=signed_in(sign_in).refresh_token)
    for _ in range(2):
        report = works()
        assert (steps(report)["user"], report.facts["user"]) == ("ok", ADMIN)
    assert OACHook().test_connection()[0]
    assert clean.control.grants("refresh_token") == 3
    # What a task uses afterwards is what the check has left there.
    assert OACHook().get_conn().get("/system").status_code == 200
    assert clean.control.grants("refresh_token") == 3


@pytest.mark.usefixtures("store")
def test_an_assertion_is_tried_past_the_store(connections: Connections, clean: Simulator) -> None:
    OACHook().get_conn().get("/system")
    for _ in range(2):
        works()
    assert clean.control.grants("jwt-bearer") == 3


def test_an_author_is_no_administrator(connections: Connections, caplog: pytest.LogCaptureFixture) -> None:
    connections.oac(user=AUTHOR, conect_timeout=3)
    caplog.set_level("INFO")
    assert OACHook().test_connection()[0]
    # For Airflow's command line, which shows the text only.
    assert "Connection test, rights: The user may work with the catalog" in caplog.text
    report = works()
    assert (steps(report)["connection"], steps(report)["rights"]) == ("warning", "note")
    assert (report.facts["administrator"], report.facts["author"]) == (False, True)
    assert "Did you mean 'connect_timeout'?" in str(report)
    assert f"The user {AUTHOR} is not an administrator" in str(report)


# -------------------------------------------------------------------------- the key, its file, the certificate


@pytest.mark.parametrize(
    ("mode", "folder", "state"), [(0o600, False, "note"), (0o600, True, "ok"), (0o640, True, "warning")]
)
def test_a_key_file_that_others_can_read_or_any_connection_can_name_is_not_ok(
    mode: int, folder: bool, state: str, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_bytes(Path(connections.ready["private_key_file"]).read_bytes())
    key.chmod(mode)
    if folder:
        monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    connections.oac(private_key=str(key))
    report = works()
    assert steps(report)["key"] == state
    assert ("chmod 600" in str(report), "can name any file" in str(report)) == (state == "warning", not folder)


def certificate(simulator: Simulator, days: float) -> str:
    """A certificate of the simulator's key that ends in so many days."""
    key = load_private_key(simulator.ready["private_key_file"], folder=None).key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 7, now - timedelta(days=900), now + timedelta(days=days)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("days", "state", "said"), [(31.5, "ok", "in 31 days"), (1.5, "warning", "in 1 day"), (-1.5, "warning", "ended on")]
)
def test_the_end_of_the_certificate_is_foretold(
    days: float, state: str, said: str, connections: Connections, clean: Simulator
) -> None:
    pem = certificate(clean, days)
    clean.control.settings(app={"certificates": {"airflow": pem}})
    connections.oac(certificate=pem)
    report = works()
    (step,) = [step for step in report.steps if step.name == "certificate"]
    assert (step.state, said in step.text, "keygen" in step.text) == (state, True, state == "warning")
    ends = (datetime.now(UTC) + timedelta(days=days)).date()
    assert report.facts["certificate_expires"] == str(ends)
    assert report.facts["certificate_days_left"] == math.floor(days)
    # It is named although the sign-in fails.
    clean.control.settings(app={"active": False})
    assert steps(OACHook().check()).items() >= {"sign-in": "failed", "certificate": state}.items()


# ---------------------------------------------------------------------------------------------- whose it is


@pytest.mark.parametrize("person", ["jane.doe@example.com", None])
@pytest.mark.usefixtures("store")
def test_a_person_is_warned_of_and_an_opaque_token_names_nobody(
    person: str | None, domain: Domain, connections: Connections
) -> None:
    domain.tokens = {"access_token": access_token(sub=person)} if person else {}
    extra = {"identity_url": domain.server.url, "scope": "s", **CHAIN}
    connection = {"conn_type": "oac", "host": domain.server.url, "login": "id", "password": SECRET, "extra": extra}
    connections.set("oac_default", connection)
    report = works()
    assert (report.facts["user"], steps(report).get("user")) == (person, "warning" if person else None)
    assert (f"{person} looks like a person" in str(report)) is bool(person)


# ------------------------------------------------------------------------------------------------- what fails


# Changes of the Connection, settings of the deployment, where it fails, and what is said.
FAILURES: dict[str, tuple[dict[str, Any], dict[str, str], str, str]] = {
    "no scope": ({"scope": None}, {}, "connection", "The scope"),
    "no shared store": (CHAIN, {}, "store", "needs a store that tasks share"),
    "no Fernet key": ({}, {"OAC__STORE": "file", "CORE__FERNET_KEY": ""}, "store", "Airflow has no Fernet key"),
    "key elsewhere": ({"private_key": "/no/key"}, {"OAC__FILE_FOLDER": "/keys"}, "key", "lies outside of"),
    "other host in scope": ({"scope": "https://x.comurn:opc:all"}, {}, "sign-in", "the scope has the wrong host"),
    "scope of prod": ({"scope": "prod"}, {}, "rights", "Compare the Connection's scope"),
    "wrong port": ({"host": f"http://127.0.0.1:{CLOSED}"}, {}, "address", "the connection was refused"),
    "no proxy": ({"host": "https://x.com"}, {}, "address", f"the proxy 127.0.0.1:{CLOSED} cannot be reached"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_wrong_fails_where_it_matters(
    name: str, connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, environment, where, said = FAILURES[name]
    for setting, value in {"OAC__STORE_FOLDER": str(tmp_path), **environment}.items():
        monkeypatch.setenv(f"AIRFLOW__{setting}", value)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{CLOSED}")
    prod = {"scope": connections.ready["instances"]["prod"]["scope"]} if name == "scope of prod" else {}
    connections.oac(**{**changes, **prod})
    step = failed()
    assert (step.name, said in step.text) == (where, True), step.text


def test_what_oac_or_its_gateway_says_fails_where_it_matters(connections: Connections, clean: Simulator) -> None:
    clean.control.fault("GET /catalog", "status", status=503, times=None)
    step = failed()
    assert (step.name, "HTTP 503" in step.text) == ("rights", True)
    clean.control.reset()
    clean.control.user(ADMIN, roles=[])
    step = failed()
    assert (step.name, "lacks the application role" in step.text) == ("rights", True)
    assert "DV Content Author" in step.text
    clean.control.reset()
    with answering(lambda _seen: Reply(503)) as gateway:
        connections.oac(host=gateway.url)
        step = failed()
    assert (step.name, "answered HTTP 503" in step.text) == ("address", True)
    assert "the instance is paused" in step.text


def test_a_store_that_cannot_be_used_is_a_warning_for_an_assertion_and_a_failure_for_a_chain(
    connections: Connections, store: Path, clean: Simulator, sign_in: SignIn
) -> None:
    store.write_text("a file where a folder should be")
    report = works()
    assert (steps(report)["store"], "each signs in by itself" in str(report)) == ("warning", True)
    with_secret(connections, **{**CHAIN, "refresh_token": signed_in(sign_in).refresh_token})
    assert failed().name == "store"
    assert clean.control.calls("identity", "token") == 0
    store.unlink()
    works()
    for file in store.iterdir():
        file.write_bytes(b"damaged")
    step = failed()
    assert (step.name, "cannot be decrypted" in step.text) == ("store", True)
    assert "login --oac-conn-id oac_default" in step.text


@pytest.mark.usefixtures("store")
def test_somebody_elses_sign_in_fails_there(connections: Connections, sign_in: SignIn) -> None:
    with_secret(connections, **{**CHAIN, "user": AUTHOR, "refresh_token": signed_in(sign_in).refresh_token})
    step = failed()
    assert (step.name, f"belongs to {ADMIN}, but the Connection's user is {AUTHOR}" in step.text) == ("sign-in", True)


# ------------------------------------------------------------------------------------- whatever the servers do


@pytest.mark.parametrize("grant", [{}, CHAIN], ids=["jwt_assertion", "refresh_token"])
@pytest.mark.usefixtures("store")
def test_a_check_ends_whatever_the_connections_timeouts_say(grant: dict[str, Any], connections: Connections) -> None:
    # Connections are made, and nothing is answered.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for addresses in ({"host": url}, {"identity_url": url}):
            connections.oac(**addresses, **grant, read_timeout=600, connect_timeout=600)
            hook = OACHook()
            report = asyncio.run(check(hook.settings, lambda hook=hook: hook.store_entry, seconds=0.3))
            assert steps(report)["sign-in"] == "failed"
            assert "no complete response within" in str(report)


def test_a_check_does_not_wait_as_long_as_a_server_asks(connections: Connections, clean: Simulator) -> None:
    clean.control.fault("token", "status", status=503, headers={"Retry-After": "100"}, times=None)
    step = failed()
    assert (step.name, "the next request was due in" in step.text) == ("sign-in", True)


@pytest.mark.skipif(not FILES.is_dir(), reason="Linux only")
@pytest.mark.usefixtures("store")
def test_a_check_leaves_no_socket_and_no_file_open(connections: Connections) -> None:
    connections.oac("oac_down", host=f"http://127.0.0.1:{CLOSED}")
    connections.oac("oac_refused", user="nobody@example.com")
    # The first time leaves what an earlier test or an import would leave.
    for _ in range(2):
        gc.collect()
        before = len(os.listdir(FILES))
        good = [OACHook(conn_id).test_connection()[0] for conn_id in ("oac_default", "oac_down", "oac_refused")]
        assert good == [True, False, False]
    assert len(os.listdir(FILES)) == before


# -------------------------------------------------------------------------- as Airflow's own test calls it


@pytest.mark.parametrize("changes", [{"scope": None}, {"grant": "device_code"}])
@pytest.mark.usefixtures("store")
def test_a_throwaway_id_is_shown_to_nobody(
    changes: dict[str, Any], connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow tests what stands in its form under an id of random letters."""
    connections.oac("xKq7TzVw", **changes)
    caplog.set_level("INFO", logger="airflow_provider_oac.hooks.oac")
    good, text = OACHook("xKq7TzVw").test_connection()
    assert (good, "his Connection" in text) == (False, True)
    # Airflow 2.11 itself logs which Connection it reads.
    logged = [record.getMessage() for record in caplog.records if record.name == "airflow_provider_oac.hooks.oac"]
    assert logged
    assert "xKq7TzVw" not in "\n".join([text, *logged])
    assert "xKq7TzVw" in str(OACHook("xKq7TzVw").check())
