"""Fixtures of all tests: a home for Airflow, the simulator, and the driver that runs flows.

This module sets the environment before any import of Airflow. The user's own settings (an Airflow, a proxy, a netrc, a
CA
bundle) must not change a result, and no test may change them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The speed of examples depends on the machine, so tests do not check it.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

_FOREIGN = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_FOREIGN_FILES = ("NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _own_environment() -> None:
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "_AIRFLOW")) or name.upper() in _FOREIGN or name in _FOREIGN_FILES:
            del os.environ[name]
    home = tempfile.mkdtemp(prefix="airflow-provider-oac-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(home, "dags")),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


_own_environment()

from airflow_provider_oac.auth.session import PROCESS_STORE  # noqa: E402
from oac_simulator.launch import Simulator, launch  # noqa: E402
from tests.drivers import Drive, SignIn, blocking  # noqa: E402
from tests.faults.table import pytest_terminal_summary  # noqa: E402, F401


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """Run a simulator (instances `dev` and `prod`) for the whole session.

    A test that changes or counts anything in it uses `clean`."""
    with launch(work_seconds=0.2) as running:
        yield running


@pytest.fixture
def clean(simulator: Simulator) -> Iterator[Simulator]:
    """The simulator in its first state, without faults, with counters at zero, and without cached tokens."""
    PROCESS_STORE.clear()
    simulator.control.reset()
    yield simulator
    simulator.control.reset()
    PROCESS_STORE.clear()


@pytest.fixture
def drive() -> Drive:
    """Run a flow: `drive(lambda io: io.send(request))`.

    Flows do not depend on the driver. Tests of the drivers import `each_driver` of tests/drivers.py, which overrides
    this
    fixture."""
    return blocking


@pytest.fixture
def sign_in(clean: Simulator) -> SignIn:
    """Create settings and sessions that sign in at the simulator: `sign_in.settings(grant="password")`."""
    return SignIn(clean.ready)
