"""A running Airflow, a simulated OAC, and a browser that looks at them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from oac_simulator.launch import Simulator, launch
from tests.browser.pages import ConnectionForm, OraclePage
from tools.chromium import chromium
from tools.oac_connections import connection, connection_environment
from tools.stack import AirflowStack

Picture = Callable[..., None]
ROOT = Path(__file__).resolve().parent.parent.parent
DAG = "oac_nightly_backup"
# A person is faster than this; a loaded machine may not be.
PATIENCE = 60_000
# Seconds for a test, the start of Airflow included. What is waited for in it ends earlier, and says why.
LONGEST = 1500


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="FOLDER", help="keep pictures of form, page and DAG there")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(LONGEST))


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with launch(work_seconds=15, instances=["dev"], access_token_ttl=100) as running:
        running.control.settings(device_interval=1, device_send_interval=True)
        yield running


@pytest.fixture(scope="session")
def home() -> Path:
    """AIRFLOW_HOME, empty at first; it stays for whoever has to find out what went wrong."""
    folder = ROOT / ".airflow" / "tests-browser"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "dags").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / f"{DAG}.py", folder / "dags")
    return folder


@pytest.fixture(scope="session")
def stack(simulator: Simulator, home: Path) -> Iterator[AirflowStack]:
    """Airflow with the example DAG and all its Connections but `oac_default`, which a person makes."""
    env = connection_environment(simulator.ready)
    del env["AIRFLOW_CONN_OAC_DEFAULT"]
    with AirflowStack(sys.prefix, home, home / "dags", {**env, "AIRFLOW__OAC__STORE": "file"}) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, home: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A new window. What it showed last stays in AIRFLOW_HOME; an error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 760})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.screenshot(path=home / f"{request.node.name}.png")
    context.close()
    assert not errors


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> Picture:
    """Keeps a picture of the window for the documents, if that was asked for."""
    folder = request.config.getoption("--screenshots")

    def keep(name: str, of: Page = page) -> None:
        if folder:
            of.mouse.move(0, 0)
            of.screenshot(path=ROOT / folder / f"{name}.png", animations="disabled")

    return keep


@pytest.fixture
def form(page: Page, stack: AirflowStack) -> ConnectionForm:
    return ConnectionForm(page, stack.url)


@pytest.fixture
def oracle(page: Page, stack: AirflowStack) -> OraclePage:
    return OraclePage(page, stack.url)


@pytest.fixture(scope="session")
def wanted(simulator: Simulator) -> dict[str, Any]:
    """What a person fills in. The port is the way around a bug of Airflow 3.3.2, which cannot test what has none."""
    return {**connection(simulator.ready), "port": 443}
