"""What a long-lived process opens for a check, and a command for itself, is closed when it ends."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from airflow_provider_oac.hooks.oac import OACHook
from tests.integration.commands import CommandLine, a_shell  # noqa: F401 (a fixture)
from tests.integration.servers import unused_port
from tests.tasks import Connections

FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not FILES.is_dir(), reason="Linux only")
def test_a_check_leaves_no_socket_and_no_file_open(
    connections: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__STORE", "file")
    monkeypatch.setenv("AIRFLOW__OAC__STORE_FOLDER", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    connections.oac("oac_down", host=f"http://127.0.0.1:{unused_port()}")
    connections.oac("oac_refused", user="nobody@example.com")
    before = 0
    # The first time leaves what an earlier test or an import would leave.
    for _ in range(2):
        gc.collect()
        before = len(os.listdir(FILES))
        works = [OACHook(conn_id).test_connection()[0] for conn_id in ("oac_default", "oac_down", "oac_refused")]
    assert works == [True, False, False]
    assert len(os.listdir(FILES)) == before


def test_a_command_closes_what_it_opens(shell: CommandLine) -> None:
    shell.environment["PYTHONWARNINGS"] = "always::ResourceWarning"
    done = shell.real("airflow_provider_oac", "call", "GET", "/snapshots")
    assert (done.code, "ResourceWarning" in done.err) == (0, False)
