#!/usr/bin/env python3
"""Run the demo, a real Airflow with a simulated Oracle Analytics Cloud: `make demo`.

Starts the simulator (identity domain, two OAC instances, bucket) and Airflow (API server, scheduler, DAG processor,
triggerer), runs dags/oac_nightly_backup.py and dags/oac_weekly_dashboard_pdf.py, then damages the instance's content,
restores the backup, and shows that the content is back. `--ui` (`make demo-ui`) keeps everything running for you to
look around. Nothing
connects to Oracle.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from oac_simulator.launch import Simulator, SimulatorFailed, launch
from tools.oac_connections import SEAL_PASSWORD, connection_environment, device_connection
from tools.stack import AirflowStack, StackError

if TYPE_CHECKING:
    from airflow_provider_oac.hooks.oac import OACHook

HOME = ROOT / ".airflow" / "demo"
DAG = "oac_nightly_backup"
EXPORT_DAG = "oac_weekly_dashboard_pdf"
INSTANCE = "dev"
UI_PORT = 8080
BEGAN = time.monotonic()


class DemoFailed(Exception):
    """The demo failed; the message gives the reason."""


def say(text: str = "") -> None:
    """Print a line with the time since the start."""
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}" if text else "", flush=True)


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n--- {text} {'-' * max(3, 100 - len(text))}", flush=True)


def the_hook(stack: AirflowStack) -> OACHook:
    """Return a hook with the Connections of the running Airflow."""
    os.environ.update({name: value for name, value in stack.env.items() if name.startswith("AIRFLOW")})
    from airflow_provider_oac.hooks.oac import OACHook

    # The hook's log lines would only clutter the output of the demo.
    logging.getLogger("airflow_provider_oac").setLevel(logging.WARNING)
    # Airflow warns about short values in any extra field, even if the field is not a secret, such as "dev".
    logging.getLogger("airflow.sdk._shared.secrets_masker.secrets_masker").setLevel(logging.ERROR)
    return OACHook("oac_default")


def seed_older_backups(hook: OACHook, nights: int) -> None:
    """Create real backups under the names of earlier nights, so there is something to prune."""
    from airflow_provider_oac.arguments import DEFAULT_FOLDER
    from airflow_provider_oac.client.flows import polling
    from airflow_provider_oac.client.rest import snapshots
    from airflow_provider_oac.client.snapshot_names import SnapshotName, task_mark

    today = datetime.now(UTC).replace(hour=1, minute=0, second=0, microsecond=0)
    started = []
    for night in range(1, nights + 1):
        when = today - timedelta(days=night)
        mark = task_mark(DAG, f"earlier-{night}", "backup", -1, 0)
        name = SnapshotName("nightly", hook.settings.instance, when, "oac_seal", mark)
        storage = snapshots.Storage("oac-backups")
        started.append(hook.run(snapshots.create(str(name), name.uri(DEFAULT_FOLDER), storage, SEAL_PASSWORD)))
    for work_request in started:
        hook.run(polling.wait(work_request))


def catalog(hook: OACHook) -> dict[str, int]:
    """Count the visible catalog items by type, over the REST API with the hook's requests session."""
    counted: dict[str, int] = {}
    with hook.get_conn() as session:
        answer = session.get("/catalog", params={"search": "*"})
        answer.raise_for_status()
        for item in answer.json():
            counted[item["type"]] = counted.get(item["type"], 0) + 1
    return dict(sorted(counted.items()))


def run_backup(stack: AirflowStack) -> dict[str, Any]:
    """Run the DAG through scheduler, workers and triggerer, and return the result of its backup task."""
    run_id = stack.trigger(DAG)
    say(f"run {run_id} of {DAG} is triggered; its backup will wait in the triggerer, without a worker (deferred)")
    give_up = time.monotonic() + 300
    seen: dict[str, str | None] = {}
    states: set[str | None] = set()
    while True:
        for task in stack.task_instances(DAG, run_id):
            if task["state"] != seen.get(task["task_id"]):
                seen[task["task_id"]] = task["state"]
                states.add(task["state"])
                say(f"  task {task['task_id']:10} {task['state']}")
        if stack.run_state(DAG, run_id) in ("success", "failed"):
            break
        if time.monotonic() > give_up:
            raise DemoFailed(f"The run is not over after five minutes.\n{stack.report(DAG, run_id)}")
        time.sleep(0.3)
    if stack.run_state(DAG, run_id) != "success":
        raise DemoFailed(stack.report(DAG, run_id))
    if "deferred" not in states:
        raise DemoFailed("The backup task did not wait in the triggerer.")
    result: dict[str, Any] = stack.xcom(DAG, run_id, "backup")
    pruned = stack.xcom(DAG, run_id, "prune")
    say(f"snapshot      {result['name']}")
    say(f"work request  {result['work_request_id']}, verified: {result['verified']}")
    for name in pruned["deleted"]:
        say(f"pruned        {name}")
    say(f"kept          {len(pruned['kept'])} (the newest 7, the newest of 4 weeks and of 12 months)")
    if not pruned["deleted"]:
        raise DemoFailed("Nothing was pruned, although older backups were there.")
    return result


def run_export(stack: AirflowStack) -> None:
    """Export workbooks and print the paths of the files."""
    run_id = stack.trigger(EXPORT_DAG)
    say(f"run {run_id} of {EXPORT_DAG} is triggered; it signs in as an author who administers nothing")
    if stack.wait_run(EXPORT_DAG, run_id, timeout=300) != "success":
        raise DemoFailed(stack.report(EXPORT_DAG, run_id))
    for task in ("dashboard", "figures"):
        for file in stack.xcom(EXPORT_DAG, run_id, task)["files"]:
            path = Path(file["path"].removeprefix("file://"))
            if path.stat().st_size != file["size"]:
                raise DemoFailed(f"{path} has {path.stat().st_size} bytes instead of {file['size']}.")
            say(f"exported      {path} ({file['size']:,} bytes, {len(file['canvases'])} canvases)")


def show_bar(simulator: Simulator, result: dict[str, Any]) -> None:
    """Print the file in the bucket."""
    path = result["bucket"] + "/" + result["bar_uri"].removeprefix("file:///")
    files = simulator.control.bucket()
    if path not in files:
        raise DemoFailed(f"There is no file {path} in the bucket, only {sorted(files)}.")
    say(f"file          {path}, {files[path]:,} bytes, sealed with the password of Connection {result['seal']}")


def damage_and_restore(simulator: Simulator, hook: OACHook, result: dict[str, Any]) -> None:
    """Delete part of the instance's content and restore it from the backup."""
    from airflow_provider_oac.client.flows import polling
    from airflow_provider_oac.client.rest import system

    before = simulator.control.content(INSTANCE)
    say(f"before        {catalog(hook)}")
    lost = simulator.control.damage(INSTANCE)
    say(f"damaged       {catalog(hook)}: {len(lost)} objects are gone")
    if simulator.control.content(INSTANCE) == before:
        raise DemoFailed("The damage changed nothing.")
    work_request = hook.run(system.restore_snapshot(result["snapshot_id"], SEAL_PASSWORD))
    say(f"restoring     work request {work_request}")
    hook.run(polling.succeeded(polling.WorkRequestTarget(work_request, report=say)))
    say(f"after         {catalog(hook)}")
    if simulator.control.content(INSTANCE) != before:
        raise DemoFailed("The restored content is not the content of before.")
    say("the restored content equals the content of before, object by object")


def show_sign_ins(simulator: Simulator) -> None:
    """Print how often each grant was used."""
    grants = {name: count for name, count in simulator.control.counters()["grants"].items() if count}
    if not grants.get("jwt-bearer"):
        raise DemoFailed(f"No sign-in by JWT assertion was seen, only {grants}.")
    say(f"sign-ins      {grants} at {simulator.ready['identity_url']} (tokens live 100 s)")


def demo_environment(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return Connections, and settings of a token store that all processes share for sign-in with a code."""
    return {
        **connection_environment(ready),
        "AIRFLOW_CONN_OAC_SIGN_IN": json.dumps(device_connection(ready)),
        "AIRFLOW__OAC__STORE": "file",
        "AIRFLOW_VAR_OAC_EXPORT_FOLDER": f"file://{HOME / 'exports'}",
    }


def by_hand(ready: Mapping[str, Any], ready_file: Path, airflow_url: str, pid: int) -> list[str]:
    """Print how to create a Connection, sign in with a code, and stop the demo."""
    instance = ready["instances"][INSTANCE]
    user, person = next(iter(ready["users"])), "oac.federated@example.com"
    return [
        f"A Connection by hand: {airflow_url}/connections, type Oracle Analytics Cloud",
        f"  Host               {instance['url']}",
        f"  Client ID          {ready['client_id']}",
        f"  Identity URL       {ready['identity_url']}",
        f"  Scope              {instance['scope']}",
        f"  User               {user}",
        f"  Certificate alias  {ready['certificate_alias']}",
        f"  Private key        {ready['private_key_file']}",
        f"  Ready file         {ready_file} (these values, the client secret and the users' passwords)",
        "Signing in with a code: Connection oac_sign_in, menu Admin, Oracle Analytics, Sign in.",
        f"  Approve as         {person}, password {ready['users'][person]}",
        f"Stop: Ctrl-C, or `kill {pid}` when it runs in the background.",
    ]


def leave_running(stack: AirflowStack, simulator: Simulator) -> None:
    """Print the URLs, and wait for Ctrl-C."""
    title("Running")
    print(f"Airflow     {stack.url}  (no password: everybody is admin; it listens on this machine only)")
    print(f"            DAG {DAG}: {stack.url}/dags/{DAG}")
    for name, instance in simulator.ready["instances"].items():
        print(f"OAC {name:7} {instance['url']}")
    print(f"Identity    {simulator.ready['identity_url']}")
    print(
        f"Inside OAC  {simulator.ready['control_url']}  (what a DAG did: snapshots, catalog, work; docs/simulator.md)"
    )
    print(f"Exports     {HOME / 'exports'}")
    print(f"Bucket      {simulator.ready['bucket_dir']}")
    print(f"Logs        {stack.home / 'logs'}")
    print("", *by_hand(simulator.ready, simulator.state / "ready.json", stack.url, os.getpid()), sep="\n", flush=True)
    try:
        while True:
            time.sleep(5)
            stack.wait_ready()
    except KeyboardInterrupt:
        print("\nStopping ...", flush=True)


def demo(ui: bool) -> None:
    """Run all steps."""
    shutil.rmtree(HOME, ignore_errors=True)
    title("Starting the simulator and Airflow")
    # The work takes some seconds, so the tasks have something to wait for.
    with launch(instances=[INSTANCE, "prod"], work_seconds=0.5, access_token_ttl=100) as simulator:
        say(f"simulator: identity domain {simulator.ready['identity_url']}, "
            f"OAC {simulator.ready['instances'][INSTANCE]['url']}")  # fmt: skip
        env = demo_environment(simulator.ready)
        stack = AirflowStack(sys.prefix, HOME, ROOT / "dags", env, port=UI_PORT if ui else 0)
        with stack:
            say(f"Airflow {stack.version}: {', '.join(stack.components)} are up at {stack.url}")
            hook = the_hook(stack)
            title("Connection test and backups of earlier nights")
            works, message = hook.test_connection()
            say(message)
            if not works:
                raise DemoFailed(message)
            seed_older_backups(hook, nights=12)
            say("12 older backups are in place")
            simulator.control.settings(work_seconds=6.0)
            title(f"The DAG {DAG}")
            result = run_backup(stack)
            show_bar(simulator, result)
            title(f"The DAG {EXPORT_DAG}")
            run_export(stack)
            title("Damage and restore")
            damage_and_restore(simulator, hook, result)
            show_sign_ins(simulator)
            if ui:
                leave_running(stack, simulator)
    title("Done")
    say("everything was simulated on this machine; nothing was sent to Oracle")
    if not ui:
        say(f"nothing is left running; Airflow's logs are in {HOME / 'logs'}, the exports in {HOME / 'exports'}")
        say("next: `make demo-ui` to look around, README.md to point it at a real OAC")


def main() -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ui", action="store_true", help="leave Airflow and the simulator running")
    options = parser.parse_args()
    # SIGTERM ends the demo as Ctrl-C does, with cleanup.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo(options.ui)
    except (DemoFailed, StackError, SimulatorFailed) as problem:
        print(f"\nTHE DEMO FAILED: {problem}\n\nLogs: {HOME}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
