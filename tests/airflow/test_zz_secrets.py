"""The last test of a session: nothing that the other tests left behind holds a secret.

Searched is everything below AIRFLOW_HOME, byte by byte and without an exception: logs of tasks, triggers, DAG
processing and of every process; the database with its deleted rows; files that DAGs wrote. Besides, every column of the
database by its name (XCom, rendered fields, serialised DAGs, task state, ...), the arguments of all triggers and of
deferred tasks that there were (decrypted), the command lines of all processes, and Redis.

Where secrets may be, and are not looked for: in the environment of Airflow's processes, by which these tests hand
Connections over, as deployments do; and in the memory of processes. Redis and the encrypted columns of the database
hold some, encrypted: they are searched like the rest.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis as redis_client

from oac_simulator.launch import Simulator
from tests.airflow.scenario import over, ran
from tests.airflow.witness import Witness, rows
from tests.leaks import Search
from tests.redis_server import RedisServer
from tools.stack import AirflowStack

HERE = Path(__file__).resolve().parent
#: Members of a Connection and of its extra that are secret.
SECRET = ("password", "private_key", "private_key_passphrase", "user_password", "refresh_token")


@pytest.fixture(scope="module", autouse=True)
def _sqlite(is_cluster: bool) -> None:
    if is_cluster:
        pytest.skip("the search reads a database of SQLite; it is made with the LocalExecutor on every Airflow line")


def known(stack: AirflowStack, simulator: Simulator) -> dict[str, str]:
    """All secrets of this session by name: those of the Connections, and all that the identity domain issued or saw."""
    found = {}
    for name, value in stack.env.items():
        if name.startswith("AIRFLOW_CONN_"):
            connection = json.loads(value)
            members = {**connection, **(connection.get("extra") or {})}
            found |= {f"{name} {member}": members[member] for member in SECRET if members.get(member)}
    ledger = simulator.control.secrets()
    assert ledger["forgotten"] == 0
    found |= {f"{item['name']} {number}": item["value"] for number, item in enumerate(ledger["seen"])}
    return found


def columns(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every column of every table, with all that stands in it."""
    for (table,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        for _, column, *_ in rows(database, f"PRAGMA table_info('{table}')"):
            sql = f'SELECT CAST("{column}" AS BLOB) FROM "{table}" WHERE "{column}" IS NOT NULL'
            if data := b"\n".join(row[0] for row in rows(database, sql)):
                yield f"table {table}.{column}", data


def places(stack: AirflowStack, witness: Witness, redis: RedisServer) -> Iterator[tuple[str, bytes]]:
    """Everything that is searched, by name."""
    for path in sorted(stack.home.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(stack.home)), path.read_bytes()
    yield from columns(stack.database)
    for number, line in enumerate(sorted(witness.command_lines)):
        yield f"process {number}", line
    yield "triggers", b"\n".join(witness.trigger_arguments())
    yield "deferred tasks", b"\n".join(sorted(witness.next_kwargs))
    with contextlib.closing(redis_client.Redis.from_url(redis.url)) as client:
        for key in sorted(client.scan_iter()):
            if client.type(key) == b"string":
                yield f"redis {key.decode()}", key + b"\n" + client.get(key)


@pytest.fixture(scope="module")
def canary(stack: AirflowStack, dags_folder: Path) -> tuple[str, str]:
    """What a task let out wherever a secret could get out, and the id of its run."""
    value = f"Canary+{secrets.token_hex(8)}/=%&{secrets.token_hex(4)}"
    folder = stack.home / "canary"
    folder.mkdir()
    text = (HERE / "canary_dag.py").read_text()
    for name, replaced in (("the canary", value), ("the folder", str(folder))):
        assert text.count(f'"{name}"') == 1
        text = text.replace(f'"{name}"', repr(replaced))
    (dags_folder / "canary.py").write_text(text)
    run_id = stack.trigger("canary", run_id=f"canary-{secrets.token_hex(16)}")
    stack.wait_task_state("canary", run_id, "canary", "deferred")
    (folder / quote(value, safe="")).touch()
    return value, over(stack, "canary", run_id, "failed")


@pytest.mark.smoke
def test_the_search_finds_what_is_there(
    stack: AirflowStack, witness: Witness, redis: RedisServer, canary: tuple[str, str]
) -> None:
    assert witness.failure is None
    searched = list(places(stack, witness, redis))
    found = Search({"canary": canary[0], "run": canary[1]}).found(searched)
    expected = {
        "triggers", "deferred tasks", "table xcom.value", "table serialized_dag.data",
        "table rendered_task_instance_fields.rendered_fields", "dags/canary.py",
    }  # fmt: skip
    if stack.version >= "3.3":
        expected.add("table task_state_store.value")
    assert expected <= found["canary"]
    assert {"airflow.db", "airflow.db-wal"} & found["canary"]
    folder = f"logs/dag_id=canary/run_id={canary[1]}/task_id=canary/attempt=1.log"
    assert folder in found["canary"]
    for start, end in ((folder + ".trigger", ""), ("process ", ""), ("logs/", "canary.py.log")):
        assert any(place.startswith(start) and place.endswith(end) for place in found["canary"]), (start, end)
    assert "It was said" in stack.log("canary", canary[1], "canary")
    # What they log on other lines and other days is not known; that they are searched is.
    assert "processes/scheduler.log" in found["run"]
    assert {f"processes/{name}.log" for name in stack.components} <= {place for place, _ in searched}


@pytest.mark.smoke
def test_no_secret_is_anywhere(stack: AirflowStack, witness: Witness, redis: RedisServer, simulator: Simulator) -> None:
    ran(stack, "loud")
    logs = (stack.home / "logs/dag_id=loud").rglob("*.trigger.*")
    loud = "".join(path.read_text() for path in logs)
    assert [loud.count(text) for text in ("Loud: ", "Loud in a list: ", "Loud exception", "loud error ***")] == [3] * 4
    secret = known(stack, simulator)
    assert len(secret) > 10
    assert Search(secret).found(places(stack, witness, redis)) == {}
