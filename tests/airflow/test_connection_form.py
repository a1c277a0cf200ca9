"""What a person pastes into the real Connection form survives save, edit and save again, and works afterwards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.provider_info import CONNECTION_FIELDS, SECRET_FIELDS
from oac_simulator.launch import Simulator
from tools.oac_connections import connection
from tools.stack import AirflowStack

PHRASE = "  a phrase with blanks "


def run(stack: AirflowStack, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(stack.venv / "bin" / "python"), *arguments]
    return subprocess.run(
        command, env=stack.env, cwd=stack.home, input=text, capture_output=True, text=True, check=False
    )


def filled(simulator: Simulator) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a person fills in; the extra as Airflow 3's form makes it: those that are unset are null."""
    extra = connection(simulator.ready, user_password=None)["extra"]
    host, login = simulator.ready["instances"]["dev"]["url"] + "/ui/", simulator.ready["client_id"]
    standard = {"conn_type": "oac", "host": host, "login": login, "password": "a secret"}
    return standard, {**dict.fromkeys(CONNECTION_FIELDS), **extra, "private_key_passphrase": PHRASE}


@pytest.mark.smoke
def test_what_is_pasted_survives(stack: AirflowStack, simulator: Simulator) -> None:
    by_form = form_of_airflow_2 if stack.is_airflow_2 else form_of_airflow_3
    by_form(stack, simulator)
    report = json.loads(
        run(stack, "-m", "airflow_provider_oac", "check", "--oac-conn-id", "from_form", "--json").stdout
    )
    assert report["works"], report
    assert report["administrator"] is True
    # Airflow's own command says what was found as well, if it is asked to.
    done = run(stack, str(stack.venv / "bin" / "airflow"), "connections", "test", "from_form", "--verbose")
    assert "Connection success!" in done.stdout, done.stdout + done.stderr
    assert "The user may administer it" in done.stdout + done.stderr


def form_of_airflow_3(stack: AirflowStack, simulator: Simulator) -> None:
    """What the form sends, by its code in 3.1 to 3.3: the masked extra as a whole, and which members changed."""
    (standard, extra), path = filled(simulator), "/api/v2/connections"
    body = {"connection_id": "from_form", **standard, "schema": "", "description": "", "port": None}
    stack._http("POST", path, {**body, "extra": json.dumps(extra)})
    for changed in ({"read_timeout": 30}, {"certificate_alias": extra["certificate_alias"], "connect_timeout": None}):
        shown = stack._http("GET", f"{path}/from_form")
        masked = json.loads(shown["extra"])
        assert {name for name, value in masked.items() if value == "***"} == {"private_key", "private_key_passphrase"}
        change = {**shown, "extra": json.dumps({**masked, **changed})}
        stack._http("PATCH", f"{path}/from_form?update_mask=extra", change)
    stored = stack.airflow("connections", "get", "from_form", "--output", "json")
    (row,) = json.loads(stored[stored.index("[{") :])
    kept = row["extra_dejson"] if isinstance(row["extra_dejson"], dict) else json.loads(row["extra_dejson"])
    # Airflow's command shows numbers as texts.
    assert kept == {**extra, "read_timeout": "30"}
    assert row["password"] == "a secret"


def form_of_airflow_2(stack: AirflowStack, simulator: Simulator) -> None:
    """Through the page itself. Its box for a key has one line: a browser drops the newlines of what is pasted."""
    standard, form = filled(simulator)
    extra = {name: value for name, value in form.items() if value is not None}
    extra |= {"private_key": extra["private_key"].replace("\n", ""), "private_key_passphrase": PHRASE.strip()}
    new = {f"extra__oac__{name}": value for name, value in extra.items()}
    new |= {"conn_id": "from_form", **standard}
    given = {"new": new, "change": {"extra__oac__read_timeout": "30"}}
    done = run(stack, str(Path(__file__).with_name("form_of_airflow_2.py")), text=json.dumps(given))
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["offered"] == sorted(f"extra__oac__{name}" for name in CONNECTION_FIELDS)
    assert found["first"]["extra"] == extra
    assert found["second"]["extra"] == {**extra, "read_timeout": "30"}
    assert found["second"]["password"] == "a secret"
    for name in SECRET_FIELDS:
        assert name not in extra or extra[name] not in found["page"]


def test_the_test_that_a_worker_runs(stack: AirflowStack, simulator: Simulator) -> None:
    if not stack.version.startswith("3.3"):
        pytest.skip("only Airflow 3.3 tests a Connection in a worker")
    conn, path = connection(simulator.ready, user="oac.author@example.com"), "/api/v2/connections/enqueue-test"
    body = {**conn, "connection_id": "in_a_worker", "extra": json.dumps(conn["extra"])}
    done = stack.wait_connection_test(path, stack._http("POST", path, body)["token"])
    assert done["state"] == "success", done
    assert "The user oac.author@example.com is not an administrator" in done["result_message"]
