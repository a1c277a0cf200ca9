"""Starting and stopping: the ready file, ports, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oac_simulator.launch import Simulator, SimulatorFailed, launch
from oac_simulator.options import parser
from tests.simulator.sim_caller import Caller


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_ready_file_says_what_clients_need(running: Simulator) -> None:
    ready, instances = running.ready, running.ready["instances"]
    needed = ["client_id", "client_secret", "certificate_alias", "private_key_file", "users", "bucket_dir"]
    assert set(needed) <= set(ready)
    assert (set(instances), "ca_file" in ready) == ({"dev", "prod"}, False)
    addresses = {ready["identity_url"], ready["control_url"], *(one["url"] for one in instances.values())}
    assert len(addresses) == 4
    assert all(address.startswith("http://127.0.0.1:") for address in addresses)
    for instance in instances.values():
        assert instance["scope"].endswith("analytics.sim.exampleurn:opc:resource:consumer::all")
    assert (Path(ready["bucket_dir"]) / ready["default_bucket"]).is_dir()


def test_files_are_private(running: Simulator) -> None:
    files = [path for path in running.state.iterdir() if path.is_file() and path.name != "simulator.log"]
    assert {mode(running.state), *map(mode, files)} == {0o700, 0o600}


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    ready_file, scratch = tmp_path / "ready.json", tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "oac_simulator", "serve", "--ready-file", str(ready_file)]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert any(line.startswith(b"Ready file:") for line in process.stdout), process.communicate()
        assert (mode(ready_file), json.loads(ready_file.read_text())["pid"]) == (0o600, process.pid)
        assert any(scratch.iterdir())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert (ready_file.exists(), any(scratch.iterdir())) == (False, False)


@pytest.mark.parametrize("orphaned", [True, False])
def test_launch_leaves_nothing_behind(orphaned: bool) -> None:
    with launch(instances=["only"]) as simulator:
        state, process = simulator.state, simulator.process
        assert set(simulator.ready["instances"]) == {"only"}
        if orphaned:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
            assert not state.exists()
    assert (process.returncode, state.exists()) == (0, False)


def test_one_simulator_per_state_directory(running: Simulator) -> None:
    command = [sys.executable, "-m", "oac_simulator", "serve", "--state", str(running.state)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, "Another simulator is running" in run.stderr) == (1, True)


def test_a_taken_port_is_an_error_that_says_so(running: Simulator) -> None:
    port = running.ready["identity_url"].rpartition(":")[2]
    with pytest.raises(SimulatorFailed, match="in use"), launch(port_base=port):
        pytest.fail("it started on a port that is taken")


def _no_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return True
    return False


@pytest.mark.skipif(_no_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_ipv6() -> None:
    with launch(instances=["dev"], host="::1", control_host="::1") as simulator:
        for name in ("identity_url", "control_url"):
            assert simulator.ready[name].startswith("http://[::1]:")
        assert Caller(simulator).status("GET /system") == 200


@pytest.mark.parametrize("names", ["identity", "a,a", "1st", "a b"])
def test_bad_instance_names_are_refused(names: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["serve", "--instances", names])
    assert "instance" in capsys.readouterr().err
