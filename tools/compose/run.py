#!/usr/bin/env python3
"""Bring docker-compose.yml up in containers, run backups, and kill a worker and a triggerer while they run.

The containers run in a private Docker engine; at the end the program removes engine, images, volumes and secrets. If a
registry cannot provide an image, the program builds a stand-in with the same name from Debian packages. Needs root on
Debian; installs docker.io and mmdebstrap if they are missing. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools import debian, make_env
from tools.stack import StackError, until

HERE = Path(__file__).resolve().parent
#: The services of docker-compose.yml, including the profile `demo`, and their numbers of replicas.
RUNNING = {
    "postgres": 1,
    "redis": 1,
    "simulator": 1,
    "api-server": 1,
    "scheduler": 1,
    "dag-processor": 1,
    "triggerer": 2,
    "worker": 2,
}
ENDING = ("init", "connections")
#: By default, Airflow waits five minutes before it fails a task whose worker is gone.
SCHEDULER = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    # Run only the runs that this program triggers.
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
}
NEEDS_DAGS = ("dag-processor", "triggerer", "worker")


# -- pure parts


def base_images(compose: str, dockerfile: str) -> dict[str, str]:
    """Return the third-party images by the name of their stand-in: `{"redis": "redis:7.4.11-alpine3.21", ...}`."""
    named = re.findall(r"^\s*(?:image:|FROM)\s+(\S+:\S+)", f"{compose}\n{dockerfile}", re.MULTILINE)
    return {image.partition(":")[0]: image for image in named}


def override(dags: Path) -> dict[str, Any]:
    """Return the overrides for docker-compose.yml: the network during the build, the DAG folder, two settings."""
    services: dict[str, Any] = {name: {"volumes": [f"{dags}:/app/dags:ro"]} for name in NEEDS_DAGS}
    # Containers have no route out, because the engine does not change this machine's firewall.
    return {"services": {**services, "init": {"build": {"network": "host"}}, "scheduler": {"environment": SCHEDULER}}}


def missing(containers: list[dict[str, Any]]) -> list[str]:
    """Describe the services that are not ready; empty if all are healthy or have ended successfully.

    :param containers: output of `docker compose ps --all --format json`.
    """
    found = []
    for service, count in RUNNING.items():
        healthy = [c for c in containers if c["Service"] == service and c["Health"] == "healthy"]
        if len(healthy) != count:
            found.append(f"{service} ({len(healthy)} of {count} healthy)")
    for service in ENDING:
        if not any(c["Service"] == service and c["State"] == "exited" and c["ExitCode"] == 0 for c in containers):
            found.append(f"{service} (has not ended with 0)")
    return found


# -- small tools


def say(text: str) -> None:
    print(f"[compose] {time.strftime('%H:%M:%S')} {text}", flush=True)


def run(*command: str | Path, **options: Any) -> str:
    """Run a program and return its output. Raises StackError, with the end of the output, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise StackError(f"`{' '.join(map(str, command))[:200]}` failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


# -- the engine and its images


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[None]:
    """Run a Docker engine that keeps all data in `folder` and changes neither firewall nor routes."""
    docker = ("docker.io", "Running docker-compose.yml in containers")
    program = debian.found(lambda: shutil.which("dockerd"), *docker)
    debian.found(lambda: shutil.which("docker"), "docker-cli", docker[1])
    socket = f"unix://{folder}/engine.sock"
    os.environ.update(DOCKER_HOST=socket, DOCKER_CONFIG=str(folder / "config"))
    places = ["--data-root", folder / "data", "--exec-root", folder / "run", "--pidfile", folder / "pid"]
    alone = [f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--host", socket, "--bridge=none", *alone, *places], stdout=log, stderr=log
        )

    def answers() -> bool | None:
        if process.poll() is not None:
            raise StackError(f"dockerd ended:\n{(folder / 'engine.log').read_text()[-3000:]}")
        return True if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0 else None

    try:
        until(answers, 60, lambda: "dockerd does not answer.", pause=0.5)
        yield
    finally:
        process.terminate()
        process.wait(120)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (mounted := line.split()[1]).startswith(f"{folder}/"):
                run("umount", mounted)


def make_images(folder: Path) -> None:
    """Pull the third-party images, or build stand-ins for them. Compose always comes from Debian."""
    compose, dockerfile = (ROOT / "docker-compose.yml").read_text(), (ROOT / "Dockerfile").read_text()
    context = folder / "images"
    shutil.copytree(HERE / "images", context)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", context / "certificates.crt")

    say("debian: the base of the stand-ins")
    make = debian.found(lambda: shutil.which("mmdebstrap"), "mmdebstrap", "Making images without a registry")
    unread = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")]
    run(make, "--quiet", "--variant=minbase", "--include=ca-certificates", *unread, "trixie", folder / "debian.tar")
    run("docker", "import", folder / "debian.tar", "debian")
    (folder / "debian.tar").unlink()

    classic = {**os.environ, "DOCKER_BUILDKIT": "0"}
    for name, image in {"compose": "compose", **base_images(compose, dockerfile)}.items():
        pulled = ":" in image and subprocess.run(["docker", "pull", image], capture_output=True, check=False)
        if pulled and pulled.returncode == 0:
            say(f"{image}: from the registry")
            continue
        say(f"{image}: a stand-in")
        run("docker", "build", "--network", "host", "--target", name, "--tag", image, context, env=classic)

    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    container = run("docker", "create", "compose", "true").strip()
    run("docker", "cp", f"{container}:/usr/libexec/docker/cli-plugins/docker-compose", plugins)
    run("docker", "rm", container)


# -- the project in it


class Project:
    """The services of docker-compose.yml, with the profile `demo`.

    :param folder: folder for the files of this run.
    """

    def __init__(self, folder: Path) -> None:
        dags = folder / "dags"
        shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "blocking_backup.py", dags)
        (folder / "override.json").write_text(json.dumps(override(dags)))
        make_env.write(folder / "env")
        self._password = make_env.read(folder / "env")["ADMIN_PASSWORD"]
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(folder / "override.json")]
        self._command = ["docker", "compose", "--env-file", str(folder / "env"), *files, "--profile", "demo"]
        self._token = ""

    def compose(self, *arguments: str) -> str:
        return run(*self._command, *arguments, cwd=ROOT)

    def wait_healthy(self, timeout: float = 1200) -> None:
        """Wait until every service is healthy. Raises StackError, with the logs of those that are not."""

        def check() -> bool | None:
            return None if missing(self._containers()) else True

        def failure() -> str:
            ill = missing(self._containers())
            return f"not healthy: {', '.join(ill)}.\n" + self.compose(
                "logs", "--tail", "20", *(text.split()[0] for text in ill)
            )

        until(check, timeout, failure, pause=5)

    def _containers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines()]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call Airflow's REST API as the admin."""
        headers = {"Content-Type": "application/json"}
        if path != "/auth/token":
            self._token = self._token or self.sign_in()
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:8080{path}", data, headers, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
            return json.load(reply)

    def sign_in(self) -> str:
        return str(self.api("POST", "/auth/token", {"username": "admin", "password": self._password})["access_token"])

    def simulator(self, call: str) -> Any:
        """Call the simulator's control API from inside its container, because it is not reachable from outside."""
        code = (
            "import json; from oac_simulator.control import Control;"
            f"print(json.dumps(Control(json.load(open('/simulator/ready.json'))).{call}))"
        )
        return json.loads(self.compose("exec", "-T", "simulator", "python", "-c", code))

    def snapshots(self, label: str) -> list[str]:
        """Return the names of the snapshots of a series, in any state."""
        return [s["name"] for s in self.simulator("snapshots('dev')") if s["name"].startswith(f"{label}--")]

    # -- DAGs

    def trigger(self, dag_id: str) -> str:
        """Start a run and return its path in the REST API."""
        dag = f"/api/v2/dags/{dag_id}"
        self.api("PATCH", dag, {"is_paused": False})
        made = self.api("POST", f"{dag}/dagRuns", {"logical_date": None})
        return f"{dag}/dagRuns/{quote(made['dag_run_id'], safe='')}"

    def wait_success(self, run_path: str, timeout: float = 900) -> None:
        """Wait for the end of a run. Raises StackError unless it succeeds."""

        def check() -> str | None:
            state = self.api("GET", run_path)["state"]
            return str(state) if state in ("success", "failed") else None

        def tasks() -> str:
            found = self.api("GET", f"{run_path}/taskInstances")["task_instances"]
            return ", ".join(f"{t['task_id']}: {t['state']} (try {t['try_number']})" for t in found)

        if until(check, timeout, lambda: f"the run is not over: {tasks()}", pause=3) != "success":
            raise StackError(f"{run_path} failed: {tasks()}")

    def wait_place(self, run_path: str, state: str) -> str:
        """Wait until the task `backup` is in a state and return the host of its triggerer or worker."""

        def check() -> str | None:
            task = self.api("GET", f"{run_path}/taskInstances/backup")
            where = task["hostname"] if state == "running" else (task.get("triggerer_job") or {}).get("hostname")
            return str(where) if task["state"] == state and where else None

        return until(check, 300, lambda: f"the backup is not {state}.", pause=1)

    def backup_survives(self, dag_id: str, label: str, state: str, seconds: int) -> None:
        """Kill the container in which a backup waits, and check that the backup succeeds with one snapshot.

        :param state: `deferred` to kill the triggerer, `running` to kill the worker.
        :param seconds: duration of the work in OAC, longer than Airflow needs to notice the loss.
        """
        before = len(self.snapshots(label))
        self.simulator(f"settings(work_seconds={seconds})")
        run_path = self.trigger(dag_id)
        host = self.wait_place(run_path, state).partition(".")[0]
        until(lambda: len(self.snapshots(label)) > before or None, 120, lambda: "OAC makes no snapshot.", pause=3)
        name, pid = run("docker", "inspect", "--format", "{{.Name}} {{.State.Pid}}", host).split()
        say(f"{dag_id}: backup is {state}, killing {name[1:]}")
        # Kill the process, as the kernel does when memory is short: `docker kill` would also prevent the restart.
        os.kill(int(pid), signal.SIGKILL)
        until(lambda: self._restarted(host) or None, 60, lambda: f"{name} was not started again.")
        self.wait_success(run_path)
        made = len(self.snapshots(label)) - before
        if made != 1:
            raise StackError(f"{made} snapshots after a kill; expected 1.")
        tries = self.api("GET", f"{run_path}/taskInstances/backup")["try_number"]
        say(f"{dag_id}: success after {tries} tries, one snapshot")

    def _restarted(self, host: str) -> bool:
        return run("docker", "inspect", "--format", "{{.RestartCount}}", host).strip() != "0"


def all_steps(folder: Path) -> None:
    make_images(folder)
    project = Project(folder)
    say("airflow-provider-oac: build the image")
    project.compose("build", "init")
    size = int(run("docker", "inspect", "--format", "{{.Size}}", "airflow-provider-oac"))
    say(f"airflow-provider-oac: {size / 1e6:.0f} MB; start all services")
    try:
        project.compose("up", "--detach", "--no-build")
        project.wait_healthy()
        say("all services are healthy")
        project.wait_success(project.trigger("oac_nightly_backup"))
        if len(project.snapshots("nightly")) != 1:
            raise StackError(f"snapshots after the nightly backup: {project.snapshots('nightly')}; expected one.")
        say("oac_nightly_backup: success, one snapshot")
        project.backup_survives("oac_nightly_backup", "nightly", "deferred", 90)
        project.backup_survives("blocking_backup", "blocking", "running", 180)
        project.wait_healthy()
        say("all services are healthy again")
    finally:
        say("remove containers and volumes")
        project.compose("down", "--volumes", "--timeout", "10")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        print("make test-compose needs root: it starts a Docker engine.", file=sys.stderr)
        return 2
    # Not in /tmp, which may be in memory: the images take four gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="oac-compose-", dir="/var/tmp"))
    try:
        with engine(folder):
            all_steps(folder)
    except (StackError, debian.NotInstalled) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)
    say("passed; engine, images and volumes are removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
