"""What `make demo-ui` prints and sets up, as far as it can be judged without running it; and tools/make_env.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools import demo, make_env
from tools.oac_connections import device_connection


def _ready(folder: Path) -> dict[str, Any]:
    (folder / "app-key.pem").write_text("key")
    return {
        "identity_url": "http://127.0.0.1:1", "client_id": "the-client", "client_secret": "s",
        "instances": {"dev": {"url": "http://127.0.0.1:2", "scope": "https://aurn:opc:resource:consumer::all"}},
        "certificate_alias": "airflow", "private_key_file": str(folder / "app-key.pem"),
        "users": {f"oac.{name}@example.com": f"{name}-pw" for name in ("admin", "author", "federated")},
    }  # fmt: skip


def test_the_demo_says_what_a_connection_by_hand_needs_and_how_to_stop_it(tmp_path: Path) -> None:
    ready = _ready(tmp_path)
    text = "\n".join(demo.by_hand(ready, tmp_path / "ready.json", "http://localhost:8080", 4711))
    for needed in (
        ready["client_id"], ready["instances"]["dev"]["scope"], ready["private_key_file"], str(tmp_path / "ready.json"),
        ready["identity_url"], ready["instances"]["dev"]["url"], "airflow", "oac_sign_in", "kill 4711",
    ):  # fmt: skip
        assert needed in text


def test_a_person_can_sign_in_with_a_code_in_the_demo(tmp_path: Path) -> None:
    environment = demo.demo_environment(_ready(tmp_path))
    assert environment["AIRFLOW__OAC__STORE"] == "file"
    assert json.loads(environment["AIRFLOW_CONN_OAC_SIGN_IN"]) == device_connection(_ready(tmp_path))
    assert device_connection(_ready(tmp_path))["extra"]["grant"] == "device_code"


def test_make_env_help_writes_no_file(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(make_env.__file__)), "--help"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "FILE" in run.stdout
    assert not list(tmp_path.iterdir())
