"""The commands that look, call and make keys."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from oac_simulator.launch import Simulator
from tests.integration.commands import CommandLine
from tests.integration.test_command_line import shell  # noqa: F401 (a fixture)
from tests.tasks import ADMIN, oac_connection
from tests.unit.auth.tokens import access_token

HAS_COMMANDS = True
try:
    from airflow.cli.cli_config import ActionCommand  # noqa: F401
    from airflow.providers_manager import ProvidersManager

    HAS_COMMANDS = hasattr(ProvidersManager, "cli_command_functions")
except ImportError:
    HAS_COMMANDS = False


@pytest.fixture
def robot(shell: CommandLine, clean: Simulator) -> CommandLine:  # noqa: F811
    """A shell with a Connection that needs nobody."""
    shell.connection("oac_default", oac_connection(clean.ready))
    return shell


# ---------------------------------------------------------------------------------------------------- Connections


def test_a_connection_that_is_not_there_or_of_another_type_is_refused(robot: CommandLine) -> None:
    robot.connection("a_bucket", {"conn_type": "aws", "password": "not-to-be-shown"})
    for conn_id, said in (("nobody", "Airflow has no Connection 'nobody'"), ("a_bucket", "is of the type 'aws', not")):
        done = robot.run("check", "--oac-conn-id", conn_id)
        assert (done.code, done.out) == (1, "")
        assert said in done.err
        assert "not-to-be-shown" not in done.err


def test_a_connection_of_the_database_is_found_and_both_command_lines_say_the_same(
    robot: CommandLine, clean: Simulator
) -> None:
    home = robot.folder / "home"
    robot.environment = {
        **{name: value for name, value in robot.environment.items() if not name.startswith("AIRFLOW_CONN_")},
        "AIRFLOW_HOME": str(home),
        # In which Airflow writes a line to standard output when it is imported.
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    assert robot.real("airflow", "db", "migrate").code == 0
    added = oac_connection(clean.ready)
    assert robot.real("airflow", "connections", "add", "oac_kept", "--conn-json", json.dumps(added)).code == 0
    robot.all_done.clear()
    check = ("check", "--json", "--oac-conn-id", "oac_kept")
    done = robot.real("airflow_provider_oac", *check)
    assert done.code == 0
    assert (done.json["conn_id"], done.json["works"], done.json["user"]) == ("oac_kept", True, ADMIN)
    if HAS_COMMANDS:
        other = robot.real("airflow", "oac", *check)
        assert (other.code, other.out) == (done.code, done.out)


# ---------------------------------------------------------------------------------------------------------- check


def test_check_for_people_and_for_programs(robot: CommandLine) -> None:
    done = robot.run("check")
    assert done.code == 0
    assert "[ok  ] sign-in: Signed in at" in done.out
    assert "[note] certificate:" in done.out
    assert done.out.endswith("\nConnection 'oac_default' works.\n")
    done = robot.run("check", "--json")
    assert (done.code, done.err, done.json["works"]) == (0, "", True)
    assert {step["name"] for step in done.json["steps"]} >= {"connection", "store", "sign-in", "rights", "certificate"}


# ----------------------------------------------------------------------------------------------------------- call


def test_call_posts_a_body_and_writes_the_answer_to_a_file(robot: CommandLine, clean: Simulator) -> None:
    body = {"type": "REGISTER", "name": "x", "bar": {"uri": "file:///x.bar"}}
    (robot.folder / "body.json").write_text(json.dumps(body))
    output = robot.folder / "answer"
    output.write_text("what was there")
    arguments = ("call", "POST", "/snapshots", "--output", str(output), "--data")
    done = robot.run(*arguments, f"@{robot.folder / 'body.json'}")
    # The simulator refuses it: and what is refused takes no good file's place.
    assert (done.code, "storage" in done.json["message"]) == (1, True)
    assert "error: OAC answered HTTP 400" in done.err
    assert output.read_text() == "what was there"
    done = robot.run("call", "GET", "/system", "--output", str(output))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert json.loads(output.read_text())["serviceInstanceKey"] == "dev"
    assert not list(robot.folder.glob("*.part"))


def test_call_reads_a_body_from_standard_input(robot: CommandLine, clean: Simulator) -> None:
    done = robot.run("call", "POST", "/snapshots", "--data", "@-", stdin='{"type": "REGISTER"}')
    assert (done.code, clean.control.calls("dev", "POST /snapshots")) == (1, 1)
    done = robot.run("call", "POST", "/snapshots", "--data", "{type: REGISTER}")
    assert (done.code, done.out) == (1, "")
    assert "--data is not JSON" in done.err
    assert clean.control.calls("dev", "POST /snapshots") == 1


@pytest.mark.parametrize("output", [False, True])
def test_call_without_a_complete_answer_says_so(output: bool, robot: CommandLine, clean: Simulator) -> None:
    clean.control.fault("GET /system", "drop_middle", times=None)
    file = robot.folder / "answer"
    done = robot.run("call", "GET", "/system", *(["--output", str(file)] if output else []))
    assert done.code == 1
    assert "no complete response" in done.err
    assert not file.exists()


def test_call_refuses_what_makes_no_sense(robot: CommandLine, clean: Simulator) -> None:
    assert "invalid choice" in robot.run("call", "FETCH", "/system").err
    elsewhere = robot.run("call", "GET", "https://elsewhere.example.com/x")
    assert (elsewhere.code, "sends its token only to" in elsewhere.err) == (1, True)
    done = robot.run("call", "GET", "/system", "--output", str(robot.folder / "no-folder" / "answer"))
    assert (done.code, "cannot be written: No such file" in done.err) == (1, True)


# ------------------------------------------------------------------------------------------------- keygen, decode


def test_a_new_key_signs_in_once_its_certificate_is_there(robot: CommandLine, clean: Simulator) -> None:
    keys = robot.folder / "keys"
    # Whatever others may read by default here.
    former = os.umask(0)
    try:
        done = robot.run("keygen", "--folder", str(keys), "--name", "airflow-2", "--days", "20")
    finally:
        os.umask(former)
    assert done.code == 0
    key, certificate = keys / "airflow-2.key", keys / "airflow-2.crt"
    assert (key.stat().st_mode & 0o777, certificate.stat().st_mode & 0o777 & ~0o644) == (0o600, 0)
    for said in (str(key), str(certificate), "Client credentials", "certificate_alias       airflow-2"):
        assert said in done.out
    assert "PRIVATE KEY" not in done.out
    old = Path(clean.ready["certificate_file"]).read_text()
    clean.control.settings(app={"certificates": {"airflow": old, "airflow-2": certificate.read_text()}})
    new = {"certificate_alias": "airflow-2", "private_key": str(key), "certificate": certificate.read_text()}
    robot.connection("oac_new", oac_connection(clean.ready, **new))
    for conn_id in ("oac_default", "oac_new"):
        assert robot.run("check", "--oac-conn-id", conn_id).code == 0
    assert "[WARN] certificate: The certificate ends on" in robot.all_done[-1].out
    before = key.read_bytes()
    done = robot.run("keygen", "--folder", str(keys), "--name", "airflow-2")
    assert (done.code, done.out) == (1, "")
    assert "exists and is not overwritten" in done.err
    assert key.read_bytes() == before


@pytest.mark.parametrize("arguments", [("--name", "../x"), ("--days", "0")])
def test_a_key_that_makes_no_sense_is_not_made(arguments: tuple[str, str], robot: CommandLine) -> None:
    done = robot.run("keygen", "--folder", str(robot.folder / "keys"), *arguments)
    assert (done.code, done.out) == (1, "")
    assert not (robot.folder / "keys").exists()


def test_decode_shows_everything_but_the_token(robot: CommandLine) -> None:
    token = access_token(sub="jane", name="Jürgen\ud800", iat=1_700_000_000, exp=1_700_000_100, odd=[1])
    (robot.folder / "tokens.json").write_text(json.dumps({"accessToken": token, "refreshToken": "AQIDBA=="}))
    outs = {
        robot.run("decode", stdin=f"Authorization: Bearer {token}\n").out,
        robot.run("decode", str(robot.folder / "tokens.json")).out,
    }
    (out,) = outs
    shown = json.loads(out)
    assert (shown["claims"]["sub"], shown["header"]["kid"]) == ("jane", "SIGNING_KEY")
    assert shown["times"] == {"iat": "2023-11-14 22:13:20 UTC", "exp": "2023-11-14 22:15:00 UTC"}
    assert (shown["expired"], shown["verified"]) == (True, False)
    assert not [part for part in (*token.split("."), "AQIDBA") if part in out]


@pytest.mark.parametrize("text", ["opaque-token-of-somebody", "[" * 9999])
def test_decode_of_what_is_no_token_shows_nothing_of_it(text: str, robot: CommandLine) -> None:
    done = robot.run("decode", stdin=text)
    assert (done.code, done.out) == (1, "")
    assert "This is not a readable access token" in done.err
    assert "opaque" not in done.err


def test_a_reader_who_has_read_enough_ends_it_quietly(robot: CommandLine) -> None:
    file = robot.folder / "token"
    file.write_text(access_token(sub="jane"))
    reading, writing = os.pipe()
    os.close(reading)
    process = robot.popen("airflow_provider_oac", "decode", str(file), stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (1, "")


def test_no_command_and_a_wrong_one_are_explained(robot: CommandLine) -> None:
    assert robot.run().code == 2
    done = robot.run("sign-in")
    assert (done.code, done.out) == (2, "")
    assert "import-tokens" in done.err
    done = robot.run("--help")
    assert done.code == 0
    assert "keygen" in done.out
