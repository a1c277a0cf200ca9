"""Run one small measurement in a separate process and print JSON: `python small.py WHAT [PORT FOLDER]`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

OURS = [
    "acl", "catalog", "compare", "connections", "oac", "restore", "runs", "snapshots", "system", "workbooks",
]  # fmt: skip
MODULES = {
    "ours": [f"airflow_provider_oac.operators.{name}" for name in OURS]
    + [f"airflow_provider_oac.sensors.{name}" for name in ("catalog", "snapshots", "work_requests")]
    + ["airflow_provider_oac.provider_info"],
    "airbyte": ["airflow.providers.airbyte.operators.airbyte", "airflow.providers.airbyte.sensors.airbyte"],
    "http": ["airflow.providers.http.operators.http", "airflow.providers.http.sensors.http"],
    "dbt": ["airflow.providers.dbt.cloud.operators.dbt", "airflow.providers.dbt.cloud.sensors.dbt"],
    "powerbi": ["airflow.providers.microsoft.azure.operators.powerbi"],
    "databricks": ["airflow.providers.databricks.operators.databricks"],
}


def cpu(work: Callable[[], Any]) -> float:
    """Return the CPU milliseconds of one call."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def imports(kind: str) -> dict[str, Any]:
    """Measure the cost of importing operators and sensors on top of airflow.sdk."""
    from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, Connection  # noqa: F401

    before = set(sys.modules)
    spent = cpu(lambda: [importlib.import_module(name) for name in MODULES[kind]])
    new = set(sys.modules) - before
    known = {name.partition(".")[0] for name in before} | set(sys.stdlib_module_names)
    third = {name.partition(".")[0] for name in new} - known - {"airflow", "airflow_provider_oac"}
    return {"ms": spent, "modules": len(new), "third_party": sorted(third)}


@cache
def operator(kind: str) -> tuple[Any, dict[str, Any]]:
    """Import the operator class for a DAG file and return it with its required arguments."""
    if kind == "empty":
        from airflow.providers.standard.operators.empty import EmptyOperator

        return EmptyOperator, {}
    if kind == "ours":
        from airflow_provider_oac.operators.snapshots import OACCreateSnapshotOperator

        return OACCreateSnapshotOperator, {"snapshot_label": "x", "bucket": "b", "seal_conn_id": "s"}
    if kind == "airbyte":
        from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator

        return AirbyteTriggerSyncOperator, {"connection_id": "x"}
    from airflow.sdk import BaseOperator

    if kind == "one argument":

        class OneArgument(BaseOperator):
            def __init__(self, *, a: str = "x", **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.a = a

        return OneArgument, {}

    class ManyArguments(BaseOperator):
        """An operator with as many arguments and templates as our snapshot operator and one trivial __init__."""

        template_fields = ("a", "b", "c", "d", "e", "f", "g", "h")

        def __init__(
            self, *, a: Any = "x", b: Any = "x", c: Any = "x", d: Any = "x", e: Any = None, f: Any = None,
            g: Any = None, h: Any = None, i: Any = True, j: Any = None, k: Any = 30.0, m: Any = 30.0,
            n: Any = True, o: Any = 30.0, **kwargs: Any,
        ) -> None:  # fmt: skip
            super().__init__(**kwargs)
            self.a, self.b, self.c, self.d, self.e, self.f, self.g, self.h = a, b, c, d, e, f, g, h
            self.i, self.j, self.k, self.m, self.n, self.o = i, j, k, m, n, o

    return ManyArguments, {}


def parse(kind: str) -> dict[str, Any]:
    """Measure the cost of a DAG file of 50 tasks, cold and warm, without the import of the SDK.

    Cold includes the modules that Airflow loads for any DAG (timetables), the import of the operator, and the first 50
    tasks.
    """
    from datetime import UTC, datetime

    from airflow.sdk import DAG, BaseOperator  # noqa: F401

    def build() -> None:
        with DAG("many", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
            made, arguments = operator(kind)
            for number in range(50):
                made(task_id=f"t{number}", **arguments)

    return {"cold": cpu(build), "warm": min(cpu(build) for _ in range(7))}


def keys(folder: Path) -> dict[str, Any]:
    """Measure two assertions: with a kept key, with ours after the first, and with the PEM parsed each time."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from airflow_provider_oac.auth.grants import token_request
    from airflow_provider_oac.auth.settings import AuthSettings

    pem = (folder / "key.pem").read_text()
    settings = AuthSettings("https://localhost", "c", "s", user="u", private_key=pem, certificate_alias="a")
    claims = {"iss": "c", "sub": "u", "aud": "https://localhost", "iat": 1, "exp": 300, "jti": "1" * 36}
    held = load_pem_private_key(pem.encode(), None)

    def repeat(work: Callable[[], Any], times: int) -> float:
        return 1000 * min(cpu(lambda: [work() for _ in range(times)]) / times for _ in range(5))

    first = 1000 * cpu(lambda: token_request(settings, time.time()))
    return {
        "floor": repeat(lambda: [jwt.encode(claims, held, "RS256", headers={"kid": "a"}) for _ in (1, 2)], 50),
        "ours_first": first,
        "ours": repeat(lambda: token_request(settings, time.time()), 50),
        "parsed": repeat(lambda: [jwt.encode(claims, pem, "RS256", headers={"kid": "a"}) for _ in (1, 2)], 3),
    }


def tokens(port: int, folder: Path) -> dict[str, Any]:
    """Measure a token call on a warm connection: kept requests.Session, ours, `http.client`, new session each time.

    Each call includes signing two assertions.
    """
    import http.client
    import ssl

    import requests

    from airflow_provider_oac.auth.grants import token_request
    from airflow_provider_oac.auth.settings import AuthSettings
    from airflow_provider_oac.auth.token_endpoint import mint
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from airflow_provider_oac.transport.settings import TransportSettings

    pem, cert = (folder / "key.pem").read_text(), str(folder / "cert.pem")
    url = f"https://localhost:{port}"
    settings = AuthSettings(url, "c", "s", user="u", private_key=pem, certificate_alias="a")
    io, kept = BlockingIO(TransportSettings(ca_file=cert)), requests.Session()

    def plain(session: Any) -> None:
        made = token_request(settings, time.time())
        session.post(made.url, data=made.body, headers=dict(made.headers), verify=cert).json()

    bare = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=cert))

    def barely() -> None:
        made = token_request(settings, time.time())
        bare.request(made.method, "/oauth2/v1/token", made.body, dict(made.headers))
        json.loads(bare.getresponse().read())

    def repeat(work: Callable[[], Any], times: int) -> float:
        work()
        return 1000 * min(cpu(lambda: [work() for _ in range(times)]) / times for _ in range(5))

    return {
        "floor": repeat(lambda: plain(kept), 20),
        "ours": repeat(lambda: run(mint(io, settings)), 20),
        "http.client": repeat(barely, 20),
        "new": repeat(lambda: plain(requests.Session()), 5),
    }


def catalog(port: int, folder: Path) -> dict[str, Any]:
    """Measure the seconds for a catalog of 10,000 items with 50 ms per page, sequentially and concurrently."""
    from airflow_provider_oac.auth.session import Session
    from airflow_provider_oac.auth.settings import AuthSettings
    from airflow_provider_oac.client.api import Api
    from airflow_provider_oac.client.paging import PagePlan
    from airflow_provider_oac.transport.blocking import BlockingIO, run
    from airflow_provider_oac.transport.settings import TransportSettings

    url, pem = f"https://localhost:{port}", (folder / "key.pem").read_text()
    settings = AuthSettings(url, "c", "s", user="u", private_key=pem, certificate_alias="a")
    transport = TransportSettings(ca_file=str(folder / "cert.pem"))
    taken: dict[str, list[float]] = {"sequential": [], "ours": []}
    for name in [*taken, *taken, *taken]:
        plan = (
            PagePlan(side_by_side=1, allow_truncated=True) if name == "sequential" else PagePlan(allow_truncated=True)
        )
        api = Api(BlockingIO(transport), url, Session(settings))

        async def all_of_them(api: Api = api, plan: PagePlan = plan) -> int:
            return len([item async for item in catalog.list_items("workbooks").each(api, plan)])

        began = time.time()
        if run(all_of_them()) != 10_000:
            raise RuntimeError("the list is not whole")
        taken[name].append(time.time() - began)
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> None:
    what, *rest = sys.argv[1:]
    if what in ("imports", "parse"):
        found = {"imports": imports, "parse": parse}[what](rest[0])
    elif what == "task":
        from tools.bench.tasks import task

        found = task(rest[0], int(rest[1]), Path(rest[2]))
    elif what == "keys":
        found = keys(Path(rest[1]))
    elif what == "tokens":
        found = tokens(int(rest[0]), Path(rest[1]))
    else:
        found = catalog(int(rest[0]), Path(rest[1]))
    print("RESULT " + json.dumps(found), file=sys.stderr)


if __name__ == "__main__":
    main()
