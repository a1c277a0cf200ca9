"""Trying a Connection: what is found, what is warned of, and at which step it fails."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator
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
from airflow_provider_oac.auth.settings import JWT_ASSERTION
from airflow_provider_oac.auth.shared_store import keep_sign_in
from airflow_provider_oac.auth.token import Issued, Token
from airflow_provider_oac.hooks.connection_test import Report, Step, check
from airflow_provider_oac.hooks.oac import OACHook
from airflow_provider_oac.transport.blocking import run
from oac_simulator.launch import Simulator
from tests.drivers import SignIn
from tests.integration.raw_domain import FIRST, SECRET, Domain
from tests.integration.servers import Reply, answering, unused_port
from tests.integration.test_command_line import tokens
from tests.integration.test_hostile_servers import hostile
from tests.tasks import ADMIN, AUTHOR, Connections, oac_connection
from tests.unit.auth.tokens import access_token

NO_KEY: dict[str, Any] = {"private_key": None, "certificate_alias": None}


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


def failed(report: Report) -> Step:
    assert not report.works
    (step,) = [step for step in report.steps if step.state == "failed"]
    assert step is report.steps[-1] or step.name == "address"
    assert str(report) == step.text
    assert (OACHook().test_connection()[0]) is False
    return step


def with_secret(connections: Connections, **extra: Any) -> None:
    connection = oac_connection(connections.ready, **{**NO_KEY, **extra})
    connections.set("oac_default", {**connection, "password": connections.ready["client_secret"]})


def seeded(sign_in: SignIn) -> str:
    """A refresh token that a person got elsewhere."""
    return str(tokens(sign_in)["refresh_token"])


# ----------------------------------------------------------------------------------------------- what works


def test_an_assertion(connections: Connections, clean: Simulator) -> None:
    report = OACHook().check()
    assert report.works
    assert steps(report) == {
        "connection": "ok", "address": "ok", "store": "ok", "sign-in": "ok", "rights": "ok", "key": "ok",
        "certificate": "note",
    }  # fmt: skip
    facts = report.as_dict()
    assert (facts["conn_id"], facts["works"], facts["grant"], facts["store"]) == (
        "oac_default", True, "jwt_assertion", "memory",
    )  # fmt: skip
    assert (facts["client_authentication"], facts["user"], facts["token_lifetime"]) == ("assertion", ADMIN, 100)
    assert (facts["administrator"], facts["author"]) == (True, True)
    assert clean.control.calls("identity", "token") == 1


def test_a_password_works_and_is_warned_of(connections: Connections, clean: Simulator) -> None:
    with_secret(connections, grant="password", user_password=clean.ready["users"][ADMIN])
    report = OACHook().check()
    assert report.works
    assert steps(report) == {
        "connection": "ok", "address": "ok", "store": "ok", "sign-in": "ok", "user": "warning", "rights": "ok",
    }  # fmt: skip
    assert "The grant password is discouraged" in str(report)


@pytest.mark.parametrize("grant", ["refresh_token", "device_code"])
@pytest.mark.usefixtures("store")
def test_a_chain_is_renewed_through_the_store(
    grant: str, connections: Connections, clean: Simulator, sign_in: SignIn
) -> None:
    with_secret(connections, grant=grant, user=None, refresh_token=seeded(sign_in))
    for _ in range(2):
        report = OACHook().check()
        assert report.works
        assert steps(report)["user"] == "ok"
        assert report.facts["user"] == ADMIN
    assert OACHook().test_connection()[0]
    assert clean.control.grants("refresh_token") == 3
    # What a task uses afterwards is what the check has left there.
    assert OACHook().get_conn().get("/system").status_code == 200
    assert clean.control.grants("refresh_token") == 3


@pytest.mark.usefixtures("store")
def test_an_assertion_is_tried_past_the_store(connections: Connections, clean: Simulator) -> None:
    OACHook().get_conn().get("/system")
    for _ in range(2):
        assert OACHook().check().works
    assert clean.control.grants("jwt-bearer") == 3


def test_nothing_secret_is_reported(connections: Connections, clean: Simulator, sign_in: SignIn) -> None:
    with_secret(connections, grant="password", user_password=clean.ready["users"][ADMIN])
    report = OACHook().check()
    shown = json.dumps(report.as_dict()) + str(report) + repr(report)
    assert clean.ready["client_secret"] not in shown
    assert clean.ready["users"][ADMIN] not in shown
    assert "eyJ" not in shown


# ------------------------------------------------------------------------------------------------- roles


def test_an_author_is_no_administrator(connections: Connections, caplog: pytest.LogCaptureFixture) -> None:
    connections.oac(user=AUTHOR, conect_timeout=3)
    caplog.set_level("INFO")
    assert OACHook().test_connection()[0]
    # For Airflow's command line, which shows the text only.
    assert "Connection test, rights: The user may work with the catalog" in caplog.text
    report = OACHook().check()
    assert (steps(report)["connection"], "Did you mean 'connect_timeout'?" in str(report)) == ("warning", True)
    assert report.works
    assert steps(report)["rights"] == "note"
    assert (report.facts["administrator"], report.facts["author"]) == (False, True)
    assert f"The user {AUTHOR} is not an administrator" in str(report)
    assert "does not need that role" in str(report)


def test_a_user_without_any_role_is_a_failure(connections: Connections, clean: Simulator) -> None:
    clean.control.user(ADMIN, roles=[])
    step = failed(OACHook().check())
    assert step.name == "rights"
    assert "lacks the application role" in step.text
    assert "DV Content Author" in step.text


# -------------------------------------------------------------------------------------- the key and its file


@pytest.mark.parametrize(
    ("mode", "state", "folder"), [(0o600, "note", False), (0o600, "note", True), (0o640, "warning", True)]
)
def test_a_key_file_that_others_can_read_is_not_ok(
    mode: int,
    state: str,
    folder: bool,
    connections: Connections,
    clean: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = tmp_path / "key"
    key.write_bytes(Path(clean.ready["private_key_file"]).read_bytes())
    key.chmod(mode)
    if folder:
        monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    connections.oac(private_key=str(key))
    report = OACHook().check()
    assert report.works
    texts = " ".join(step.text for step in report.steps if step.name == "key")
    assert ("chmod 600" in texts) is (state == "warning")
    # Whoever edits Connections can name other files, unless that is limited.
    assert ("can name any file" in texts) is not folder
    assert steps(report)["key"] == ("ok" if folder and state == "note" else state)


def test_of_a_key_file_outside_of_the_folder_the_check_tells_nothing(
    connections: Connections, clean: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    said = set()
    for path in (clean.ready["private_key_file"], "/no/such/file"):
        connections.oac(private_key=path)
        said.add(str(OACHook().check()))
    (text,) = said
    assert "lies outside of" in text


# -------------------------------------------------------------------------------------------- the certificate


def certificate(simulator: Simulator, days: float) -> str:
    """A certificate of the simulator's key that ends in so many days."""
    key = load_private_key(simulator.ready["private_key_file"], folder=None).key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=900))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [
        (31.5, "ok", "in 31 days"),
        (1.5, "warning", "in 1 day"),
        (-1.5, "warning", "ended on"),
    ],
)
def test_the_end_of_the_certificate_is_foretold(
    days: float, state: str, said: str, connections: Connections, clean: Simulator
) -> None:
    pem = certificate(clean, days)
    clean.control.settings(app={"certificates": {"airflow": pem}})
    connections.oac(certificate=pem)
    report = OACHook().check()
    assert report.works
    assert steps(report)["certificate"] == state
    text = next(step.text for step in report.steps if step.name == "certificate")
    assert said in text
    assert ("keygen" in text) is (state == "warning")
    ends = (datetime.now(UTC) + timedelta(days=days)).date()
    assert report.facts["certificate_expires"] == str(ends)
    assert report.facts["certificate_days_left"] == math.floor(days)


def test_a_certificate_that_ended_is_named_although_the_sign_in_fails(
    connections: Connections, clean: Simulator
) -> None:
    pem = certificate(clean, -1.5)
    clean.control.settings(app={"active": False})
    connections.oac(certificate=pem)
    report = OACHook().check()
    assert failed(report).name == "sign-in"
    assert steps(report)["certificate"] == "warning"


# ---------------------------------------------------------------------------------------------- whose it is


@pytest.fixture
def of_jane(domain: Domain, connections: Connections, store: Path) -> Domain:
    """A domain whose tokens name a person, and a Connection to it."""
    domain.tokens = {"access_token": access_token(sub="jane.doe@example.com")}
    extra = {
        "identity_url": domain.server.url, "scope": "s", "grant": "refresh_token", "refresh_token": FIRST,
    }  # fmt: skip
    connection = {"conn_type": "oac", "host": domain.server.url, "login": "id", "password": SECRET, "extra": extra}
    connections.set("oac_default", connection)
    return domain


def test_a_person_is_warned_of(of_jane: Domain) -> None:
    report = OACHook().check()
    assert report.works
    assert steps(report)["user"] == "warning"
    assert "jane.doe@example.com looks like a person" in str(report)


def test_an_opaque_token_names_nobody(of_jane: Domain) -> None:
    of_jane.tokens = {}
    report = OACHook().check()
    assert report.works
    assert report.facts["user"] is None
    assert "user" not in steps(report)


# ------------------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        ({"scope": None}, "connection", "The scope"),
        ({"grant": "refresh_token", "refresh_token": FIRST}, "store", "needs a store that tasks share"),
        ({"scope": "https://wrong.example.comurn:opc:resource:consumer::all"}, "sign-in", "scope has the wrong host"),
        ({"scope": "prod"}, "rights", "Compare the Connection's scope"),
    ],
)
def test_what_is_wrong_fails_where_it_matters(
    changes: dict[str, Any], where: str, said: str, connections: Connections, clean: Simulator
) -> None:
    prod = clean.ready["instances"]["prod"]["scope"]
    connections.oac(**{name: prod if value == "prod" else value for name, value in changes.items()})
    step = failed(OACHook().check())
    assert (step.name, said in step.text) == (where, True)


def test_a_store_without_a_key_fails_there(
    connections: Connections, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    step = failed(OACHook().check())
    assert step.name == "store"
    assert "Airflow has no Fernet key" in step.text


def test_a_store_that_cannot_be_used_is_a_warning_for_an_assertion(connections: Connections, store: Path) -> None:
    store.write_text("a file where a folder should be")
    report = OACHook().check()
    assert report.works
    assert steps(report)["store"] == "warning"
    assert "each signs in by itself" in str(report)


def test_and_a_failure_for_a_chain(connections: Connections, store: Path, clean: Simulator) -> None:
    store.write_text("a file where a folder should be")
    with_secret(connections, grant="refresh_token", user=None, refresh_token=FIRST)
    assert failed(OACHook().check()).name == "store"
    assert clean.control.calls("identity", "token") == 0


def test_a_damaged_record_is_a_failure_for_a_chain_with_its_repair(
    connections: Connections, store: Path, sign_in: SignIn
) -> None:
    with_secret(connections, grant="refresh_token", user=None, refresh_token=FIRST)
    hook = OACHook()
    store_entry = hook.store_entry
    assert store_entry
    issued = Issued(Token("opaque", 0.0, 100.0), FIRST)
    run(keep_sign_in(hook.io, store_entry, hook.settings.auth, issued, None))
    for file in store.iterdir():
        file.write_bytes(b"damaged")
    step = failed(OACHook().check())
    assert step.name == "store"
    assert "cannot be decrypted" in step.text
    assert "login --oac-conn-id oac_default" in step.text


def test_somebody_elses_sign_in_fails_there(connections: Connections, store: Path, sign_in: SignIn) -> None:
    with_secret(connections, grant="refresh_token", user=AUTHOR, refresh_token=seeded(sign_in))
    step = failed(OACHook().check())
    assert step.name == "sign-in"
    assert f"belongs to {ADMIN}, but the Connection's user is {AUTHOR}" in step.text


def test_an_instance_that_is_away_is_told_beside_the_sign_in(connections: Connections) -> None:
    connections.oac(host=f"http://127.0.0.1:{unused_port()}")
    report = OACHook().check()
    step = failed(report)
    assert (step.name, "the connection was refused" in step.text) == ("address", True)
    assert "paused instance" in step.text
    assert steps(report)["sign-in"] == "ok"
    assert "rights" not in steps(report)


def test_a_paused_instance_is_named(connections: Connections) -> None:
    with answering(lambda _seen: Reply(503)) as gateway:
        connections.oac(host=gateway.url)
        step = failed(OACHook().check())
    assert (step.name, "answered HTTP 503" in step.text) == ("address", True)
    assert "the instance is paused" in step.text


def test_a_missing_proxy_is_named(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    port = unused_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    connections.oac(host="https://oac.example.com")
    step = failed(OACHook().check())
    assert step.name == "address"
    assert f"the proxy 127.0.0.1:{port} cannot be reached" in step.text
    assert "HTTPS_PROXY" in step.text


def test_trouble_of_the_instance_is_not_taken_for_a_missing_role(connections: Connections, clean: Simulator) -> None:
    clean.control.fault("GET /catalog", "status", status=503, times=None)
    step = failed(OACHook().check())
    assert (step.name, "HTTP 503" in step.text) == ("rights", True)


# ------------------------------------------------------------------------------------- whatever the servers do


def dripping() -> Iterator[bytes]:
    """An answer that comes byte by byte, for longer than anybody waits."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    for _ in range(2000):
        yield b" "
        time.sleep(0.01)


def nothing() -> Iterator[bytes]:
    time.sleep(20)
    yield b""


@pytest.mark.parametrize("pieces", [nothing, dripping])
@pytest.mark.parametrize("grant", ["jwt_assertion", "refresh_token"])
@pytest.mark.usefixtures("store")
def test_a_check_ends_whatever_the_connections_timeouts_say(
    pieces: Callable[[], Iterator[bytes]], grant: str, connections: Connections
) -> None:
    slow = {
        "read_timeout": 600,
        "connect_timeout": 600,
        "grant": grant,
        "user": None if grant != JWT_ASSERTION else "u",
    }
    with hostile(pieces) as (url, _server):
        for addresses in ({"host": url}, {"identity_url": url}):
            connections.oac(refresh_token=FIRST, **addresses, **slow)
            hook = OACHook()
            report = asyncio.run(check(hook.settings, lambda hook=hook: hook.store_entry, seconds=0.3))
            assert "sign-in" in failed_at(report)
            assert "no complete response within" in str(report)


def failed_at(report: Report) -> list[str]:
    return [step.name for step in report.steps if step.state == "failed"]


def test_a_check_does_not_wait_as_long_as_a_server_asks(connections: Connections, clean: Simulator) -> None:
    clean.control.fault("token", "status", status=503, headers={"Retry-After": "100"}, times=None)
    report = OACHook().check()
    assert failed_at(report) == ["sign-in"]
    assert "the next request was due in" in str(report)


# -------------------------------------------------------------------------- as Airflow's own test calls it


@pytest.mark.parametrize("changes", [{"scope": None}, {"grant": "device_code"}])
@pytest.mark.usefixtures("store")
def test_a_throwaway_id_is_shown_to_nobody(
    changes: dict[str, Any], connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow tests what stands in its form under an id of random letters."""
    connections.oac("xKq7TzVw", **changes)
    caplog.set_level("INFO", logger="airflow_provider_oac.hooks.oac")
    works, text = OACHook("xKq7TzVw").test_connection()
    assert not works
    assert "his Connection" in text
    # Airflow 2.11 itself logs which Connection it reads.
    logged = [record.getMessage() for record in caplog.records if record.name == "airflow_provider_oac.hooks.oac"]
    assert logged
    assert "xKq7TzVw" not in "\n".join([text, *logged])
    assert "xKq7TzVw" in str(OACHook("xKq7TzVw").check())
