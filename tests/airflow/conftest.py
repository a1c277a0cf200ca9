"""A real Airflow, of the line installed beside this Python, and a simulated OAC for a whole test session.

`make test` runs several such sessions at a time, each with its own part of the tests, Airflow and simulator. Within a
session the runs of a module that are named by `@pytest.mark.begins` start at once and wait side by side.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from oac_simulator.launch import Simulator, launch
from tests.airflow.mailbox import Mailbox, mailbox
from tests.airflow.scenario import with_passphrase
from tests.airflow.witness import Witness, watching
from tests.redis_server import RedisServer, redis_server
from tools.oac_connections import (
    connection,
    connection_environment,
    grant_environment,
    restore_environment,
    spare_environment,
)
from tools.stack import AirflowStack

GRANTS = ("jwt_assertion", "password", "refresh_token", "device_code")
#: Instances for tasks that get killed, so that what they leave behind concerns no other test.
SPARES = ("spare-1", "spare-2")
# Seconds for a test, the start of Airflow included. What is waited for in it ends earlier, and says why.
LONGEST = 1500
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster", action="store_true", help="the services of docker-compose.yml in place of one LocalExecutor"
    )
    parser.addoption("--session", default="all", help="name of this session, for sessions that run at the same time")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a cluster is left out where there is none: that is a choice of the command line. All may take long."""
    if not config.getoption("--cluster"):
        left_out = [item for item in items if item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        item.add_marker(pytest.mark.timeout(LONGEST))


@pytest.fixture(scope="session")
def is_cluster(pytestconfig: pytest.Config) -> bool:
    """Whether `stack` is a cluster."""
    return bool(pytestconfig.getoption("--cluster"))


@pytest.fixture(scope="session")
def simulator(is_cluster: bool) -> Iterator[Simulator]:
    """The simulated identity domain, OAC and bucket that the Connections of `stack` lead to; with TLS for a cluster."""
    # Work that is over at once would meet a race of Airflow's scheduler, which fails a task whose
    # trigger fires before it has heard from its executor that the task's process ended.
    with launch(work_seconds=5, instances=["dev", "prod", "scratch", *SPARES], tls=is_cluster) as running:
        yield running


@pytest.fixture(scope="session")
def home(is_cluster: bool, pytestconfig: pytest.Config) -> Path:
    """AIRFLOW_HOME, empty at first. It stays in the checkout to find out what went wrong."""
    session = "cluster" if is_cluster else pytestconfig.getoption("--session")
    folder = ROOT / ".airflow" / f"tests-{version('apache-airflow')}-{session}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "config", folder / "config")
    return folder


@pytest.fixture(scope="session")
def dags_folder(home: Path) -> Path:
    """Copies of the examples and of the DAGs made for these tests. A test may add files."""
    folder = home / "dags"
    folder.mkdir()
    for source in (ROOT / "dags", HERE / "dags"):
        for file in sorted(source.glob("*.py")):
            shutil.copy(file, folder)
    (readme,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    if not version("apache-airflow").startswith("2."):
        (folder / "readme.py").write_text(readme)
    example = (folder / "oac_nightly_backup.py").read_text()
    for grant in GRANTS:
        (folder / f"nightly_by_{grant}.py").write_text(_by_grant(example, grant))
    return folder


def _by_grant(example: str, grant: str) -> str:
    """The nightly backup that people copy, with the Connection of a grant and a name for its snapshots."""
    for old, new in (
        ('dag_id="oac_nightly_backup"', f'dag_id="nightly_by_{grant}"'),
        ('"snapshot_label": "nightly"', f'"snapshot_label": "by-{grant.replace("_", "-")}"'),
        ("default_args={", f'default_args={{"oac_conn_id": "oac_{grant}", '),
    ):
        assert example.count(old) == 1, old
        example = example.replace(old, new)
    return example


@pytest.fixture(scope="session")
def secrets(is_cluster: bool) -> dict[str, str]:
    """What the `.env` of a cluster holds."""
    if not is_cluster:
        return {"REDIS_PASSWORD": ""}
    from tools.cluster import new_secrets

    return new_secrets()


@pytest.fixture(scope="session")
def redis(secrets: dict[str, str]) -> Iterator[RedisServer]:
    """The server that holds the token store of `stack`; of a cluster, the tasks that wait for a worker as well."""
    with redis_server(secrets["REDIS_PASSWORD"]) as running:
        yield running


@pytest.fixture(scope="session")
def mail() -> Iterator[Mailbox]:
    """Where the Connection `smtp_default` of `stack` leads to."""
    with mailbox() as running:
        yield running


@pytest.fixture(scope="session")
def exports(home: Path) -> Path:
    """The folder that the example DAGs export to."""
    return home / "exports"


@pytest.fixture(scope="session")
def audits(home: Path) -> Path:
    """The folder that the example DAG writes its audits to."""
    return home / "audits"


@pytest.fixture(scope="session")
def witness(home: Path) -> Iterator[Witness]:
    """Sees what is there only for a while, from before the first process of `stack` to the end."""
    with watching(home) as looking:
        yield looking


@pytest.fixture(scope="session")
def environment(
    home: Path, simulator: Simulator, redis: RedisServer, mail: Mailbox, exports: Path, audits: Path, is_cluster: bool
) -> dict[str, str]:
    """The Connections, Variables and settings of `stack`, as environment variables."""
    smtp = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
    store = {"AIRFLOW__OAC__STORE": "redis", "AIRFLOW__OAC__REDIS_URL": redis.url}
    connections = {
        "OAC_EXPORT": with_passphrase(connection(simulator.ready, user="oac.author@example.com")),
        "SMTP_DEFAULT": {"conn_type": "smtp", "host": "127.0.0.1", "port": mail.port, "extra": smtp},
    }
    return {
        **connection_environment(simulator.ready),
        **grant_environment(simulator.ready),
        **restore_environment(simulator.ready),
        **spare_environment(simulator.ready, SPARES),
        **({} if is_cluster else store),
        **{f"AIRFLOW_CONN_{name}": json.dumps(connection) for name, connection in connections.items()},
        "AIRFLOW_VAR_OAC_EXPORT_FOLDER": f"file://{exports}",
        "AIRFLOW_VAR_OAC_EXTRACT_FOLDER": f"file://{home / 'extracts'}",
        "AIRFLOW_VAR_OAC_GIT_CHECKOUT": str(home / "checkout"),
        "AIRFLOW_VAR_OAC_AUDIT_FOLDER": f"file://{audits}",
        "AIRFLOW_VAR_OAC_MAIL_TO": "sales@example.com, board@example.com",
    }


@pytest.fixture(scope="session")
def stack(
    home: Path,
    dags_folder: Path,
    environment: dict[str, str],
    redis: RedisServer,
    witness: Witness,
    secrets: dict[str, str],
    is_cluster: bool,
) -> Iterator[AirflowStack]:
    """The running Airflow. Every process it starts is gone when the session ends, however it ends."""
    if not is_cluster:
        with AirflowStack(sys.prefix, home, dags_folder, environment, parallelism=8) as running:
            yield running
        return
    from tools.cluster import Cluster
    from tools.postgres import postgres_server

    with postgres_server("airflow", secrets["POSTGRES_PASSWORD"]) as postgres:
        more: dict[str, Any] = {"secrets": secrets, "postgres": postgres, "redis_port": redis.port}
        with Cluster(sys.prefix, home, dags_folder, environment, **more) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def begun(request: pytest.FixtureRequest, stack: AirflowStack) -> dict[str, str]:
    """Node ids of this module's tests to the runs that they name, all started at once."""
    started = {}
    for item in request.session.items:
        mark = item.get_closest_marker("begins")
        if mark and isinstance(item, pytest.Function) and item.module is request.module:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            started[item.nodeid] = stack.trigger(mark.args[0].format(**parameters), mark.kwargs.get("conf"))
    return started


@pytest.fixture
def run_id(request: pytest.FixtureRequest, begun: dict[str, str]) -> str:
    """The run that the test names by `@pytest.mark.begins("dag_id")`; it may be over."""
    return begun[request.node.nodeid]
