"""Starting and stopping: the ready file, TLS, ports, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from oac_simulator.launch import Simulator, SimulatorFailed, launch
from oac_simulator.options import parser
from tests.simulator.sim_caller import Caller

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_ready_file_says_what_clients_need(running: Simulator) -> None:
    ready = running.ready
    assert {
        "identity_url", "instances", "client_id", "client_secret", "certificate_alias", "private_key_file",
        "users", "bucket_dir", "control_url",
    } <= set(ready)  # fmt: skip
    assert set(ready["instances"]) == {"dev", "prod"}
    addresses = [ready["identity_url"], ready["control_url"], *(i["url"] for i in ready["instances"].values())]
    assert len(set(addresses)) == 4
    assert all(address.startswith("http://127.0.0.1:") for address in addresses)
    for instance in ready["instances"].values():
        assert instance["scope"].endswith("analytics.sim.exampleurn:opc:resource:consumer::all")
    assert "ca_file" not in ready
    assert (Path(ready["bucket_dir"]) / ready["default_bucket"]).is_dir()


def test_files_are_private(running: Simulator) -> None:
    assert mode(running.state) == 0o700
    for path in running.state.iterdir():
        if path.is_file() and path.name != "simulator.log":
            assert mode(path) == 0o600, path


def test_imports_no_layer_of_the_provider() -> None:
    code = "import json, sys, oac_simulator.__main__, oac_simulator.launch;print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert not {"airflow", "airflow_provider_oac", "requests"} & modules


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "oac_simulator", "serve", "--ready-file", str(ready_file)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(scratch)}
    ) as process:
        assert process.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith(b"Ready file:"):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()
        ready = json.loads(ready_file.read_text())
        assert mode(ready_file) == 0o600
        assert ready["pid"] == process.pid
        assert any(scratch.iterdir())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == b""
    assert not ready_file.exists()
    assert not any(scratch.iterdir())


def test_launch_leaves_nothing_behind() -> None:
    with launch(instances=["only"]) as simulator:
        state, process = simulator.state, simulator.process
        assert set(simulator.ready["instances"]) == {"only"}
    assert process.returncode == 0
    assert not state.exists()


def test_ends_when_who_started_it_dies() -> None:
    with launch(instances=["only"]) as simulator:
        assert simulator.process.stdin is not None
        simulator.process.stdin.close()
        assert simulator.process.wait(30) == 0
        assert not simulator.state.exists()


def test_one_simulator_per_state_directory(running: Simulator) -> None:
    command = [sys.executable, "-m", "oac_simulator", "serve", "--state", str(running.state)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "Another simulator is running" in run.stderr


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
        assert simulator.ready["identity_url"].startswith("http://[::1]:")
        assert simulator.ready["control_url"].startswith("http://[::1]:")
        caller = Caller(simulator)
        with caller.session:
            assert caller.oac("GET", "/system").ok


@pytest.mark.parametrize("names", ["identity", "a,a", "1st", "a b"])
def test_bad_instance_names_are_refused(names: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["serve", "--instances", names])
    assert "instance" in capsys.readouterr().err


def test_tls_with_an_own_ca() -> None:
    with launch(tls=True, instances=["dev"]) as simulator:
        ready = simulator.ready
        assert ready["identity_url"].startswith("https://")
        assert ready["instances"]["dev"]["url"].startswith("https://")
        context = ssl.create_default_context(cafile=ready["ca_file"])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        handler = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
        for host in ("127.0.0.1", "localhost"):
            address = ready["identity_url"].replace("127.0.0.1", host)
            with opener.open(f"{address}/.well-known/openid-configuration", timeout=20) as reply:
                assert json.load(reply)["token_endpoint"] == f"{ready['identity_url']}/oauth2/v1/token"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            OPENER.open(f"{ready['identity_url']}/.well-known/openid-configuration", timeout=20)
        caller = Caller(simulator)
        caller.session.verify = ready["ca_file"]
        assert caller.oac("GET", "/system").status_code == 200
