"""The commands that begin and end a sign-in, as a person uses them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import EncryptedStore, Record
from airflow_provider_oac.auth.store_file import FileStore
from oac_simulator.launch import Simulator
from tests.drivers import SignIn
from tests.integration.commands import CommandLine
from tests.integration.servers import unused_port
from tests.tasks import ADMIN, oac_connection
from tests.unit.auth.tokens import access_token

CONN_ID = "oac_person"
_JWT = re.compile(r"eyJ[\w-]{10,}\.")


@pytest.fixture
def shell(clean: Simulator, tmp_path: Path) -> Iterator[CommandLine]:
    """A shell with a Connection for people; what its commands said is searched for secrets at the end."""
    clean.control.settings(device_interval=1, device_send_interval=True)
    commands = CommandLine(tmp_path)
    commands.connection(CONN_ID, person(clean))
    yield commands
    secrets = {clean.ready["client_secret"], *clean.ready["users"].values(), commands.fernet_key}
    secrets |= {line for line in Path(clean.ready["private_key_file"]).read_text().splitlines()[1:-1] if len(line) > 20}
    for done in commands.all_done:
        shown = done.out + done.err
        assert not [secret for secret in secrets if secret in shown]
        assert not _JWT.search(shown)
        # Airflow 2.11 logs one of its own where it has no database.
        assert "cli/process.py" not in shown


def person(simulator: Simulator, **extra: Any) -> dict[str, Any]:
    """A Connection for a device sign-in, whose application has a secret."""
    unset = {"user": None, "private_key": None, "certificate_alias": None}
    connection = oac_connection(simulator.ready, **{**unset, "grant": "device_code", **extra})
    return {**connection, "password": simulator.ready["client_secret"]}


def settings(sign_in: SignIn, **changes: Any) -> AuthSettings:
    return replace(sign_in.settings(grant="password", name=CONN_ID), grant="device_code", user=None, **changes)


def kept(shell: CommandLine, sign_in: SignIn) -> Record | None:
    found = EncryptedStore(FileStore(str(shell.store)), [shell.fernet_key]).store_entry(settings(sign_in)).read()
    return found.record if found else None


def asked(sign_in: SignIn, **form: str) -> requests.Response:
    """The token service's answer to a form."""
    ready = sign_in.ready
    url = f"{ready['identity_url']}/oauth2/v1/token"
    client = {"client_id": ready["client_id"], "client_secret": ready["client_secret"]}
    return requests.post(url, data=client | form, timeout=20)


def tokens(sign_in: SignIn) -> dict[str, Any]:
    """What the token service hands out, with a refresh token."""
    scope = sign_in.ready["instances"]["dev"]["scope"] + " offline_access"
    password = sign_in.ready["users"][ADMIN]
    answer: dict[str, Any] = asked(
        sign_in, grant_type="password", username=ADMIN, password=password, scope=scope
    ).json()
    return answer


def test_a_person_signs_in_looks_calls_and_signs_out(shell: CommandLine, sign_in: SignIn, clean: Simulator) -> None:
    login = shell.start("login", "--oac-conn-id", CONN_ID)
    assert f"{clean.ready['identity_url']}/ui/v1/device" in login.until("On any device, open")
    clean.control.approve_device(login.until("enter the code").split()[-1], user=ADMIN)
    done = login.done()
    shell.all_done.append(done)
    assert done.code == 0
    assert f"as {ADMIN}." in done.out
    assert f"Kept, encrypted, in the token store in {shell.store}" in done.out
    assert "s left" in done.err
    record = kept(shell, sign_in)
    assert record
    assert record.owner == ADMIN
    assert record.refresh_token
    assert record.refresh_token not in done.out + done.err
    assert {path.stat().st_mode & 0o777 for path in shell.store.iterdir()} == {0o600}

    done = shell.run("check", "--json", "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert (done.json["works"], done.json["grant"], done.json["user"]) == (True, "device_code", ADMIN)
    renewed = kept(shell, sign_in)
    assert renewed
    assert renewed.refresh_token != record.refresh_token

    done = shell.run("call", "get", "/catalog?search=*", "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert isinstance(done.json, list)
    assert clean.control.grants("refresh_token") == 1

    done = shell.run("logout", "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert f"Revoked the refresh token at {clean.ready['identity_url']}" in done.out
    assert f"Nothing of Connection '{CONN_ID}' is left in" in done.out
    assert kept(shell, sign_in) is None
    refused = asked(sign_in, grant_type="refresh_token", refresh_token=renewed.refresh_token or "")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")

    done = shell.run("check", "--oac-conn-id", CONN_ID)
    assert done.code == 1
    assert "[FAIL] sign-in: No user has signed in for Connection 'oac_person' yet" in done.out
    assert f"login --oac-conn-id {CONN_ID}" in done.out


def test_who_gives_up_keeps_nothing(shell: CommandLine, sign_in: SignIn, clean: Simulator) -> None:
    login = shell.start("login", "--oac-conn-id", CONN_ID)
    login.until("s left")
    os.kill(login.pid, signal.SIGINT)
    done = login.done()
    shell.all_done.append(done)
    assert done.code == 130
    assert "interrupted" in done.err
    assert done.out == ""
    assert kept(shell, sign_in) is None


def test_a_request_that_is_denied_keeps_what_was_there(shell: CommandLine, sign_in: SignIn, clean: Simulator) -> None:
    assert shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=json.dumps(tokens(sign_in))).code == 0
    assert {path.stat().st_mode & 0o777 for path in shell.store.iterdir()} == {0o600}
    assert shell.store.stat().st_mode & 0o777 == 0o700
    before = kept(shell, sign_in)
    login = shell.start("login", "--oac-conn-id", CONN_ID)
    clean.control.approve_device(login.until("enter the code").split()[-1], approve=False)
    done = login.done()
    assert (done.code, done.out) == (1, "")
    assert "the person denied the request" in done.err
    assert kept(shell, sign_in) == before


@pytest.mark.parametrize("command", ["login", "import-tokens"])
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    command: str, shell: CommandLine, sign_in: SignIn, clean: Simulator
) -> None:
    arguments = [command, *(["-"] if command == "import-tokens" else []), "--oac-conn-id"]
    shell.connection("oac_robot", oac_connection(clean.ready))
    done = shell.run(*arguments, "oac_robot")
    assert (done.code, done.out) == (1, "")
    assert "grant jwt_assertion, which needs no person" in done.err
    shell.environment["AIRFLOW__OAC__STORE"] = "memory"
    done = shell.run(*arguments, CONN_ID)
    assert (done.code, done.out) == (1, "")
    assert "[oac] store is memory" in done.err
    shell.environment |= {"AIRFLOW__OAC__STORE": "file", "AIRFLOW__CORE__FERNET_KEY": ""}
    assert "Airflow has no Fernet key" in shell.run(*arguments, CONN_ID).err
    assert clean.control.counters()["calls"].get("identity", {}) == {}


def test_a_store_that_cannot_be_written_is_found_before_anybody_is_asked(shell: CommandLine, clean: Simulator) -> None:
    shell.store.write_text("a file where a folder should be")
    done = shell.run("login", "--oac-conn-id", CONN_ID)
    assert (done.code, done.out) == (1, "")
    assert str(shell.store) in done.err
    assert clean.control.counters()["calls"].get("identity", {}) == {}


def test_tokens_of_a_file_are_kept_and_used(shell: CommandLine, sign_in: SignIn, clean: Simulator) -> None:
    given = tokens(sign_in)
    file = shell.folder / "tokens.tok"
    console = {"app_access_token": given["access_token"], "app_refresh_token": given["refresh_token"]}
    file.write_text("\ufeff" + json.dumps(console))
    done = shell.run("import-tokens", str(file), "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert f"The tokens belong to {ADMIN}." in done.out
    assert "is good for one renewal by this application" in done.out
    assert f"Delete {file}" in done.out
    assert given["refresh_token"] not in done.out + done.err
    assert shell.run("check", "--oac-conn-id", CONN_ID).code == 0
    assert clean.control.grants("refresh_token") == 1


def test_tokens_of_oacs_own_application_serve_to_their_end(
    shell: CommandLine, sign_in: SignIn, clean: Simulator
) -> None:
    person_of = access_token(
        sub="jane.doe@example.com", iat=1_700_000_000, exp=9_000_000_000, client_id="ANALYTICSINST"
    )
    profile = {"accessToken": person_of, "refreshToken": "AQIDBA=="}
    done = shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=json.dumps(profile))
    assert done.code == 0
    assert "Only the access token can be used, until 2255-" in done.out
    assert "was issued to the application 'ANALYTICSINST'" in done.out
    assert "Delete" not in done.out
    record = kept(shell, sign_in)
    assert record
    assert record.refresh_token is None
    assert clean.control.counters()["calls"].get("identity", {}) == {}


def test_tokens_that_cannot_be_renewed_end_no_chain(shell: CommandLine, sign_in: SignIn, clean: Simulator) -> None:
    assert shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=json.dumps(tokens(sign_in))).code == 0
    before = kept(shell, sign_in)
    profile = {"accessToken": access_token(exp=9_000_000_000, iat=1_700_000_000, client_id="ANALYTICSINST")}
    done = shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=json.dumps(profile))
    assert (done.code, done.out) == (1, "")
    assert "would end that" in done.err
    assert kept(shell, sign_in) == before


def test_signing_out_where_the_store_cannot_be_read_does_not_claim_that_nothing_was_there(
    shell: CommandLine, sign_in: SignIn
) -> None:
    assert shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=json.dumps(tokens(sign_in))).code == 0
    shell.environment["AIRFLOW__CORE__FERNET_KEY"] = Fernet.generate_key().decode()
    done = shell.run("logout", "--oac-conn-id", CONN_ID)
    assert (done.code, done.out) == (1, "")
    assert "was not revoked" in done.err


def test_a_file_that_is_none_is_refused(shell: CommandLine) -> None:
    (shell.folder / "binary").write_bytes(b"\xff\xfe{\x00")
    (shell.folder / "huge").write_text(" " * ((1 << 20) + 1))
    for file, said in (
        ("missing", "missing cannot be read: No such file"),
        ("binary", "binary cannot be read: it is no text in UTF-8"),
        ("huge", "huge is larger than 1048576 characters"),
    ):
        done = shell.run("import-tokens", str(shell.folder / file), "--oac-conn-id", CONN_ID)
        assert (done.code, done.out) == (1, "")
        assert said in done.err


def test_signing_out_where_the_domain_is_out_of_reach_says_what_is_left(
    shell: CommandLine, sign_in: SignIn, clean: Simulator
) -> None:
    away = f"http://127.0.0.1:{unused_port()}"
    shell.connection(CONN_ID, person(clean, identity_url=away))
    answer = json.dumps(tokens(sign_in))
    assert shell.run("import-tokens", "-", "--oac-conn-id", CONN_ID, stdin=answer).code == 0
    done = shell.run("logout", "--oac-conn-id", CONN_ID)
    assert (done.code, done.out) == (1, "")
    assert "the connection was refused" in done.err
    assert "has deleted the refresh token, but it was not revoked" in done.err
    done = shell.run("logout", "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert "There was no refresh token to revoke" in done.out


def test_signing_out_where_nothing_is_kept(shell: CommandLine) -> None:
    assert "There was no refresh token to revoke" in shell.run("logout", "--oac-conn-id", CONN_ID).out
    shell.environment["AIRFLOW__OAC__STORE"] = "memory"
    done = shell.run("logout", "--oac-conn-id", CONN_ID)
    assert done.code == 0
    assert "There is nothing to forget" in done.out
