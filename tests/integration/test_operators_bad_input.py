"""What people get wrong: each a clear error, and nothing that was sent by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_oac.exceptions import (
    OACConfigurationError,
    OACError,
    OACWorkRequestError,
)
from oac_simulator.launch import Simulator
from tests.tasks import SEAL_PASSWORD, Connections, Task
from tests.tasks import backup_operator as make

POST = "POST /snapshots"


def failing(kind: type[OACError], **changes: Any) -> str:
    """The message of a backup that fails with this very kind of error."""
    with pytest.raises(kind) as failure:
        Task(lambda: make(**changes)).attempt()
    assert type(failure.value) is kind
    return str(failure.value)


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        ("Short-1", "14 to 50 characters (it has 7)"),
        ("x" * 20, "a digit, an upper-case letter, a special character"),
        ("NoDigits-At-All-Here", "a digit"),
    ],
)
def test_a_weak_snapshot_password(connections: Connections, clean: Simulator, password: str, missing: str) -> None:
    connections.seal(password=password)
    message = failing(OACConfigurationError)
    assert "Connection 'oac_seal': The snapshot password does not follow OAC's rules" in message
    assert missing in message
    assert password not in message
    assert clean.control.calls("dev", POST) == 0


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_seal_that_ends_in_a_line_break_seals_nothing(
    connections: Connections, clean: Simulator, ending: str
) -> None:
    connections.seal(password=SEAL_PASSWORD + ending)
    message = failing(OACConfigurationError)
    assert "The password of Connection 'oac_seal' ends in a line break" in message
    assert SEAL_PASSWORD not in message
    assert clean.control.calls("dev", POST) == 0


def test_a_seal_without_a_password(connections: Connections) -> None:
    connections.set("oac_seal", {"conn_type": "generic"})
    assert "Connection 'oac_seal' has no password" in failing(OACConfigurationError)


@pytest.mark.parametrize("conn_id", ["oac--seal", "oac seal"])
def test_a_seal_whose_name_cannot_be_part_of_a_snapshots_name(connections: Connections, conn_id: str) -> None:
    assert f"seal_conn_id is {conn_id!r}" in failing(OACConfigurationError, seal_conn_id=conn_id)


def test_a_bucket_that_does_not_exist_fails_the_work(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    message = failing(OACWorkRequestError, bucket="no-such-bucket", deferrable=deferrable)
    assert "ended FAILED" in message
    assert "ACCESS_DENIED: Either the bucket named 'no-such-bucket' does not exist" in message


def test_a_storage_connection_that_lacks_something(connections: Connections) -> None:
    connections.set("bucket", {"conn_type": "generic", "login": "ocid1.user", "extra": {"region": "eu-frankfurt-1"}})
    message = failing(OACConfigurationError, storage_conn_id="bucket")
    assert message.startswith("Connection 'bucket': tenancy_id, fingerprint, private_key missing")


def test_a_storage_connection_with_an_unreadable_key(connections: Connections) -> None:
    extra = {"region": "r", "tenancy_id": "t", "fingerprint": "f", "private_key": "-----BEGIN nonsense"}
    connections.set("bucket", {"conn_type": "generic", "login": "ocid1.user", "extra": extra})
    message = failing(OACConfigurationError, storage_conn_id="bucket")
    assert message.startswith("Connection 'bucket': ")
    assert "nonsense" not in message


def test_a_storage_connection_may_not_name_files_outside_of_the_folder(
    connections: Connections, clean: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    key = clean.ready["private_key_file"]
    extra = {"region": "r", "tenancy_id": "t", "fingerprint": "f", "private_key": key}
    connections.set("bucket", {"conn_type": "generic", "login": "ocid1.user", "extra": extra})
    assert "lies outside of" in failing(OACConfigurationError, storage_conn_id="bucket")
