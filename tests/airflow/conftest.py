"""A real Airflow, of the line installed beside this Python, and a simulated OAC for a whole test session."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_oac.simulator.launch import Simulator, launch
from tests.airflow.mailbox import Mailbox, mailbox
from tests.redis_server import RedisServer, redis_server
from tools.oac_connections import connection_environment, grant_environment, restore_environment
from tools.stack import AirflowStack

GRANTS = ("jwt_assertion", "password", "refresh_token", "device_code")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The simulated identity domain, OAC and bucket that the Connections of `stack` lead to."""
    # Work that is over at once would meet a race of Airflow's scheduler: see dags/stack_probe.py.
    with launch(work_seconds=5, instances=["dev", "prod", "scratch"]) as running:
        yield running


@pytest.fixture(scope="session")
def home() -> Path:
    """AIRFLOW_HOME, empty at first. In the checkout, where it stays for whoever has to find out what went wrong."""
    folder = ROOT / ".airflow" / f"tests-{version('apache-airflow')}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def dags_folder(home: Path) -> Path:
    """Copies of the examples and of the DAGs made for these tests. A test may add files."""
    folder = home / "dags"
    folder.mkdir()
    for source in (ROOT / "dags", HERE / "dags"):
        for file in sorted(source.glob("*.py")):
            shutil.copy(file, folder)
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
def redis() -> Iterator[RedisServer]:
    """The server that holds the token store of `stack`."""
    with redis_server() as running:
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
def stack(
    home: Path, dags_folder: Path, simulator: Simulator, redis: RedisServer, mail: Mailbox, exports: Path
) -> Iterator[AirflowStack]:
    """The running Airflow. Every process it starts is gone when the session ends, however it ends."""
    smtp = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
    environment = {
        **connection_environment(simulator.ready),
        **grant_environment(simulator.ready),
        "AIRFLOW__OAC__STORE": "redis",
        "AIRFLOW__OAC__REDIS_URL": redis.url,
        **restore_environment(simulator.ready),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
            {"conn_type": "smtp", "host": "127.0.0.1", "port": mail.port, "extra": smtp}
        ),
        "AIRFLOW_VAR_OAC_EXPORT_FOLDER": f"file://{exports}",
        "AIRFLOW_VAR_OAC_AUDIT_FOLDER": f"file://{home / 'audits'}",
        "AIRFLOW_VAR_OAC_MAIL_TO": "sales@example.com, board@example.com",
    }
    with AirflowStack(sys.prefix, home, dags_folder, environment) as running:
        yield running
