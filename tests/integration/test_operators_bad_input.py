"""What people get wrong: each a clear error, and nothing that was sent by mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_provider_oac.exceptions import (
    OACApiError,
    OACAuthError,
    OACConfigurationError,
    OACError,
    OACWorkRequestError,
)
from airflow_provider_oac.operators.snapshots import OACDeleteSnapshotOperator
from oac_simulator.launch import Simulator
from tests.tasks import AUTHOR, SEAL_PASSWORD, Connections, Task
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snapshot_label": "a--b"}, "snapshot_label is 'a--b', but as a part of the snapshot's name it must have"),
        ({"folder": "../elsewhere"}, "The folder is '../elsewhere'"),
    ],
)
def test_a_name_that_could_not_be_read_back(
    connections: Connections, clean: Simulator, changes: dict[str, Any], message: str
) -> None:
    assert message in failing(OACConfigurationError, **changes)
    assert clean.control.calls("dev", POST) == 0


def test_a_bucket_that_does_not_exist_fails_the_work(
    connections: Connections, clean: Simulator, deferrable: bool
) -> None:
    message = failing(OACWorkRequestError, bucket="no-such-bucket", deferrable=deferrable)
    assert "ended FAILED" in message
    assert "ACCESS_DENIED: Either the bucket named 'no-such-bucket' does not exist" in message


def test_a_bucket_that_is_refused_at_once(connections: Connections, clean: Simulator) -> None:
    clean.control.settings(missing_bucket="400")
    message = failing(OACApiError, bucket="no-such-bucket")
    assert "HTTP 400" in message
    assert "Either the bucket named 'no-such-bucket' does not exist" in message


def test_plain_http_to_another_machine(connections: Connections) -> None:
    connections.oac(host="http://oac.example.com")
    message = failing(OACConfigurationError)
    assert "Connection 'oac_default': The OAC address (Connection: host) is plain http" in message
    assert "Use https://" in message


def test_a_user_without_the_role(connections: Connections, clean: Simulator) -> None:
    connections.oac(user=AUTHOR)
    message = failing(OACApiError)
    assert "HTTP 401" in message
    assert "application role" in message


def stranger() -> str:
    """A key that no application knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


@pytest.mark.parametrize(
    ("extra", "cause"),
    [
        ({"private_key": stranger()}, "private key does not match the imported certificate"),
        ({"certificate_alias": "other"}, "certificate alias"),
        ({"scope": "https://elsewhere.example.comurn:opc:resource:consumer::all"}, "the scope has the wrong host"),
        ({"user": "oac.inactive@example.com"}, "deactivated"),
        ({"user": "nobody@example.com"}, "the user is missing, deactivated or named differently"),
        ({"assertion_audience": "https://wrong.example.com/"}, "audience of the assertions"),
    ],
)
def test_signing_in_with_something_wrong(
    connections: Connections, clean: Simulator, extra: dict[str, Any], cause: str
) -> None:
    connections.oac(**extra)
    message = failing(OACAuthError)
    assert message.startswith(f"Connection 'oac_default': Signing in at {clean.ready['identity_url']}")
    assert re.search(f"Likely cause: .*({cause}).* Next step: ", message)
    assert clean.control.calls("dev", POST) == 0


def test_a_wrong_client_secret(connections: Connections, clean: Simulator) -> None:
    connection = {"conn_type": "oac", "host": clean.ready["instances"]["dev"]["url"], "login": clean.ready["client_id"]}
    extra = {
        "identity_url": clean.ready["identity_url"],
        "scope": clean.ready["instances"]["dev"]["scope"],
        "grant": "password",
        "user": "oac.admin@example.com",
        "user_password": clean.ready["users"]["oac.admin@example.com"],
    }
    connections.set("oac_default", {**connection, "password": "not-the-secret", "extra": extra})
    message = failing(OACAuthError)
    assert "client id or client secret is wrong" in message
    assert "not-the-secret" not in message
    assert extra["user_password"] not in message


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


@pytest.mark.parametrize("given", [{}, {"snapshot_id": "1", "snapshot_name": "x"}])
def test_a_delete_that_names_nothing_or_two_things(connections: Connections, given: dict[str, str]) -> None:
    operator = OACDeleteSnapshotOperator(task_id="delete", **given)
    with pytest.raises(OACConfigurationError, match="Give either snapshot_id or snapshot_name"):
        Task(lambda: operator).attempt()
