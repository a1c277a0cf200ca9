"""The commands that begin and end a sign-in, as a person uses them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.auth.settings import AuthSettings
from airflow_provider_oac.auth.store import Record
from airflow_provider_oac.auth.token_endpoint import ask
from airflow_provider_oac.exceptions import OACAuthError
from tests.chains import Store, signed_in
from tests.drivers import SignIn, blocking
from tests.integration.commands import PERSON, CommandLine, a_shell, person  # noqa: F401 (a fixture)
from tests.integration.servers import unused_port
from tests.tasks import ADMIN
from tests.unit.auth.tokens import access_token

FOR_PERSON = ("--oac-conn-id", PERSON)
IMPORT = ("import-tokens", "-", *FOR_PERSON)
# What OAC's own application hands out on a person's profile page.
PROFILE = {
    "accessToken": access_token(sub="jane", iat=1_700_000_000, exp=9_000_000_000, client_id="ANALYTICSINST"),
    "refreshToken": "AQIDBA==",
}


def settings(sign_in: SignIn, **changes: Any) -> AuthSettings:
    return replace(sign_in.settings(grant="password", name=PERSON), grant="device_code", user=None, **changes)


def kept(shell: CommandLine, sign_in: SignIn) -> Record | None:
    found = Store(str(shell.store), shell.fernet_key).store_entry(settings(sign_in)).read()
    return found.record if found else None


def tokens(sign_in: SignIn) -> str:
    """An answer of the token service, with a refresh token."""
    issued = signed_in(sign_in)
    return json.dumps({"access_token": issued.token.access_token, "refresh_token": issued.refresh_token})


def test_a_person_signs_in_looks_calls_and_signs_out(shell: CommandLine, sign_in: SignIn) -> None:
    login = shell.start("login", *FOR_PERSON)
    assert f"{shell.simulator.ready['identity_url']}/ui/v1/device" in login.until("On any device, open")
    shell.control.approve_device(login.until("enter the code").split()[-1], user=ADMIN)
    done = login.done()
    assert done.code == 0
    assert f"as {ADMIN}." in done.out
    assert f"Stored, encrypted, in the token store in {shell.store}" in done.out
    assert "s left" in done.err
    record = kept(shell, sign_in)
    assert record
    assert record.owner == ADMIN
    assert record.refresh_token
    assert record.refresh_token not in done.out + done.err

    done = shell.run("check", "--json", *FOR_PERSON)
    assert done.code == 0
    assert (done.json["works"], done.json["grant"], done.json["user"]) == (True, "device_code", ADMIN)
    assert {step["name"] for step in done.json["steps"]} >= {"connection", "store", "sign-in", "rights"}
    renewed = kept(shell, sign_in)
    assert renewed
    assert renewed.refresh_token != record.refresh_token

    done = shell.run("call", "get", "/catalog?search=*", *FOR_PERSON)
    assert (done.code, type(done.json)) == (0, list)
    assert shell.control.grants("refresh_token") == 1

    done = shell.run("logout", *FOR_PERSON)
    assert done.code == 0
    assert f"Revoked the refresh token at {shell.simulator.ready['identity_url']}" in done.out
    assert f"Deleted all tokens of Connection '{PERSON}' from" in done.out
    assert kept(shell, sign_in) is None
    with pytest.raises(OACAuthError, match="invalid_grant"):
        blocking(lambda io: ask(io, settings(sign_in, refresh_token=renewed.refresh_token)))

    done = shell.run("check", *FOR_PERSON)
    assert done.code == 1
    assert "[FAIL] sign-in: No user has signed in for Connection 'oac_person' yet" in done.out
    assert f"login --oac-conn-id {PERSON}" in done.out


@pytest.mark.parametrize(
    ("denied", "code", "said"), [(True, 1, "the person denied the request"), (False, 130, "interrupted")]
)
def test_a_sign_in_that_is_denied_or_given_up_keeps_what_was_there(
    denied: bool, code: int, said: str, shell: CommandLine, sign_in: SignIn
) -> None:
    assert shell.run(*IMPORT, stdin=tokens(sign_in)).code == 0
    before = kept(shell, sign_in)
    login = shell.start("login", *FOR_PERSON)
    user_code = login.until("enter the code").split()[-1]
    if denied:
        shell.control.approve_device(user_code, approve=False)
    else:
        login.until("s left")
        login.interrupt()
    done = login.done()
    assert (done.code, done.out, said in done.err) == (code, "", True)
    assert kept(shell, sign_in) == before


@pytest.mark.parametrize("command", [("login",), ("import-tokens", "-")])
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(command: tuple[str, ...], shell: CommandLine) -> None:
    shell.store.write_text("a file where a folder should be")
    for conn_id, environment, said in (
        ("oac_default", {}, "grant jwt_assertion, which needs no person"),
        (PERSON, {}, str(shell.store)),
        (PERSON, {"AIRFLOW__OAC__STORE": "memory"}, "[oac] store is memory"),
        (PERSON, {"AIRFLOW__OAC__STORE": "file", "AIRFLOW__CORE__FERNET_KEY": ""}, "Airflow has no Fernet key"),
    ):
        shell.environment |= environment
        done = shell.run(*command, "--oac-conn-id", conn_id, stdin=json.dumps(PROFILE))
        assert (done.code, done.out, said in done.err) == (1, "", True), said
    assert shell.control.counters()["calls"].get("identity", {}) == {}


def test_tokens_of_a_file_are_kept_and_used(shell: CommandLine, sign_in: SignIn) -> None:
    given = signed_in(sign_in)
    file = shell.folder / "tokens.tok"
    console = {"app_access_token": given.token.access_token, "app_refresh_token": given.refresh_token}
    file.write_text("\ufeff" + json.dumps(console))
    done = shell.run("import-tokens", str(file), *FOR_PERSON)
    assert done.code == 0
    for said in (f"The tokens belong to {ADMIN}.", "Tasks renew the refresh token by themselves", f"Delete {file}"):
        assert said in done.out
    assert str(given.refresh_token) not in done.out + done.err
    assert shell.run("check", *FOR_PERSON).code == 0
    assert shell.control.grants("refresh_token") == 1


def test_tokens_of_oacs_own_application_serve_to_their_end_and_end_no_chain(
    shell: CommandLine, sign_in: SignIn
) -> None:
    done = shell.run(*IMPORT, stdin=json.dumps(PROFILE))
    assert done.code == 0
    assert "Only the access token can be used, until 2255-" in done.out
    assert "was issued to the application 'ANALYTICSINST'" in done.out
    assert "Delete" not in done.out
    record = kept(shell, sign_in)
    assert record
    assert record.refresh_token is None
    assert shell.control.counters()["calls"].get("identity", {}) == {}

    assert shell.run(*IMPORT, stdin=tokens(sign_in)).code == 0
    before = kept(shell, sign_in)
    done = shell.run(*IMPORT, stdin=json.dumps(PROFILE))
    assert (done.code, done.out) == (1, "")
    assert "cannot be renewed, and they would replace" in done.err
    assert kept(shell, sign_in) == before


def test_signing_out_says_what_is_left(shell: CommandLine, sign_in: SignIn) -> None:
    def said(code: int) -> str:
        done = shell.run("logout", *FOR_PERSON)
        assert (done.code, bool(done.out)) == (code, code == 0)
        return done.out + done.err

    assert "There was no refresh token to revoke" in said(0)
    # The domain is out of reach.
    shell.connection(PERSON, person(shell.simulator, identity_url=f"http://127.0.0.1:{unused_port()}"))
    assert shell.run(*IMPORT, stdin=tokens(sign_in)).code == 0
    failed = said(1)
    assert "the connection was refused" in failed
    assert "has deleted the refresh token, but it was not revoked" in failed
    assert "There was no refresh token to revoke" in said(0)
    # The store cannot be read.
    assert shell.run(*IMPORT, stdin=tokens(sign_in)).code == 0
    shell.environment["AIRFLOW__CORE__FERNET_KEY"] = Fernet.generate_key().decode()
    assert "was not revoked" in said(1)
    shell.environment["AIRFLOW__OAC__STORE"] = "memory"
    assert "No tokens are stored" in said(0)
