"""The commands that look, call and make keys, and what all commands refuse."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.integration.commands import CommandLine, a_shell  # noqa: F401 (a fixture)
from tests.tasks import ADMIN, oac_connection
from tests.unit.auth.tokens import access_token

try:
    from airflow.cli.cli_config import ActionCommand  # noqa: F401
    from airflow.providers_manager import ProvidersManager

    HAS_COMMANDS = hasattr(ProvidersManager, "cli_command_functions")
except ImportError:
    HAS_COMMANDS = False


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("", 2, "the following arguments are required"),
        ("sign-in", 2, "import-tokens"),
        ("check --oac-conn-id nobody", 1, "Airflow has no Connection 'nobody'"),
        ("check --oac-conn-id a_bucket", 1, "is of the type 'aws', not"),
        ("import-tokens missing --oac-conn-id oac_person", 1, "missing cannot be read: No such file"),
        ("import-tokens ../binary --oac-conn-id oac_person", 1, "binary cannot be read: it is not UTF-8 text"),
        ("import-tokens ../huge --oac-conn-id oac_person", 1, "huge is larger than 1048576 characters"),
        ("call FETCH /system", 2, "invalid choice"),
        ("call GET https://elsewhere.example.com/x", 1, "sends its token only to"),
        ("call GET /system --output no-folder/answer", 1, "cannot be written: No such file"),
        ("call POST /snapshots --data {type:REGISTER}", 1, "--data is not JSON"),
        ("keygen --folder keys --name ../x", 1, "cannot be an alias"),
        ("keygen --folder keys --days 0", 1, "is not between 1 and 3650"),
        ("decode", 1, "This is not a readable access token"),
        ("decode ../nested", 1, "This is not a readable access token"),
    ],
)
def test_what_makes_no_sense_is_refused(command: str, code: int, said: str, shell: CommandLine) -> None:
    shell.connection("a_bucket", {"conn_type": "aws", "password": "not-to-be-shown"})
    for name, content in (("binary", b"\xff\xfe{\x00"), ("huge", b" " * ((1 << 20) + 1)), ("nested", b"[" * 9999)):
        (shell.folder / name).write_bytes(content)
    done = shell.run(*command.split(), stdin="opaque-token-of-somebody")
    assert (done.code, done.out, said in done.err) == (code, "", True), done.err
    assert not [secret for secret in ("not-to-be-shown", "opaque") if secret in done.err]
    assert shell.control.calls("dev", "POST /snapshots") == 0
    assert not list(shell.folder.rglob("keys"))


def test_a_connection_of_the_database_is_found_and_both_command_lines_say_the_same(shell: CommandLine) -> None:
    home = shell.folder / "home"
    shell.environment = {
        **{name: value for name, value in shell.environment.items() if not name.startswith("AIRFLOW_CONN_")},
        "AIRFLOW_HOME": str(home),
        # In which Airflow writes a line to standard output when it is imported.
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    added = json.dumps(oac_connection(shell.simulator.ready))
    for command in (("db", "migrate"), ("connections", "add", "oac_kept", "--conn-json", added)):
        assert shell.real("airflow", *command).code == 0
    shell.all_done.clear()
    check = ("check", "--json", "--oac-conn-id", "oac_kept")
    done = shell.real("airflow_provider_oac", *check)
    assert (done.code, done.json["conn_id"], done.json["works"], done.json["user"]) == (0, "oac_kept", True, ADMIN)
    if HAS_COMMANDS:
        other = shell.real("airflow", "oac", *check)
        assert (other.code, other.out) == (done.code, done.out)


def test_call_posts_a_body_and_writes_the_answer_to_a_file(shell: CommandLine) -> None:
    body = {"type": "REGISTER", "name": "x", "bar": {"uri": "file:///x.bar"}}
    (shell.folder / "body.json").write_text(json.dumps(body))
    output = shell.folder / "answer"
    output.write_text("what was there")
    posted = ("call", "POST", "/snapshots", "--output", str(output), "--data")
    # The simulator refuses it: and what is refused takes no good file's place.
    for data, stdin in ((f"@{shell.folder / 'body.json'}", ""), ("@-", json.dumps(body))):
        done = shell.run(*posted, data, stdin=stdin)
        assert (done.code, "storage" in done.json["message"]) == (1, True)
        assert "error: OAC answered HTTP 400" in done.err
    assert shell.control.calls("dev", "POST /snapshots") == 2
    assert output.read_text() == "what was there"
    done = shell.run("call", "GET", "/system", "--output", str(output))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert json.loads(output.read_text())["serviceInstanceKey"] == "dev"
    before = output.read_text()
    shell.control.fault("GET /system", "drop_middle", times=None)
    for to_file in ((), ("--output", str(output))):
        done = shell.run("call", "GET", "/system", *to_file)
        assert (done.code, "no complete response" in done.err) == (1, True)
    assert output.read_text() == before
    assert not list(shell.folder.glob("*.part"))


def test_a_new_key_signs_in_once_its_certificate_is_there(shell: CommandLine) -> None:
    keys = shell.folder / "keys"
    make = ("keygen", "--folder", str(keys), "--name", "airflow-2")
    # Whatever others may read by default here.
    former = os.umask(0)
    try:
        done = shell.run(*make, "--days", "20")
    finally:
        os.umask(former)
    assert done.code == 0
    key, certificate = keys / "airflow-2.key", keys / "airflow-2.crt"
    assert (key.stat().st_mode & 0o777, certificate.stat().st_mode & 0o777 & ~0o644) == (0o600, 0)
    for said in (str(key), str(certificate), "Client credentials", "certificate_alias       airflow-2"):
        assert said in done.out
    assert "PRIVATE KEY" not in done.out
    old = Path(shell.simulator.ready["certificate_file"]).read_text()
    shell.control.settings(app={"certificates": {"airflow": old, "airflow-2": certificate.read_text()}})
    new = {"certificate_alias": "airflow-2", "private_key": str(key), "certificate": certificate.read_text()}
    shell.connection("oac_new", oac_connection(shell.simulator.ready, **new))
    for conn_id, said in (
        ("oac_default", "[note] certificate:"),
        ("oac_new", "[WARN] certificate: The certificate ends"),
    ):
        done = shell.run("check", "--oac-conn-id", conn_id)
        assert (done.code, said in done.out, "[ok  ] sign-in: Signed in at" in done.out) == (0, True, True)
        assert done.out.endswith(f"\nConnection '{conn_id}' works.\n")
    before = key.read_bytes()
    done = shell.run(*make)
    assert (done.code, done.out, "exists and is not overwritten" in done.err) == (1, "", True)
    assert key.read_bytes() == before


def test_decode_shows_everything_but_the_token(shell: CommandLine) -> None:
    token = access_token(sub="jane", name="Jürgen\ud800", iat=1_700_000_000, exp=1_700_000_100, odd=[1])
    (shell.folder / "tokens.json").write_text(json.dumps({"accessToken": token, "refreshToken": "AQIDBA=="}))
    done = shell.run("decode", stdin=f"Authorization: Bearer {token}\n")
    assert shell.run("decode", str(shell.folder / "tokens.json")).out == done.out
    shown = done.json
    assert (shown["claims"]["sub"], shown["header"]["kid"]) == ("jane", "SIGNING_KEY")
    assert shown["times"] == {"iat": "2023-11-14 22:13:20 UTC", "exp": "2023-11-14 22:15:00 UTC"}
    assert (shown["expired"], shown["verified"]) == (True, False)
    assert not [part for part in (*token.split("."), "AQIDBA") if part in done.out]


def test_a_reader_who_has_read_enough_ends_it_quietly_and_all_is_closed(shell: CommandLine) -> None:
    shell.environment["PYTHONWARNINGS"] = "always::ResourceWarning"
    reading, writing = os.pipe()
    os.close(reading)
    process = shell.popen("airflow_provider_oac", "call", "GET", "/snapshots", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert not re.search("Traceback|error|BrokenPipe|ResourceWarning", err)


def test_help_names_the_commands(shell: CommandLine) -> None:
    done = shell.run("--help")
    assert (done.code, "keygen" in done.out) == (0, True)
