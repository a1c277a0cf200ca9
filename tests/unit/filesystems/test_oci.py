"""What a Connection says to ocifs.

ocifs and Oracle's SDK are not installed here: modules that only keep what they are given stand in their place, so that
the test shows what they are given and nothing of what they do with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.filesystems.oci import get_fs, schemes
from airflow_provider_oac.provider_info import get_provider_info

KEEPS = "class {0}:\n    def __init__(self, *args, **kwargs):\n        self.args, self.kwargs = args, kwargs\n"
PEM = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
API_KEY = {
    "tenancy_id": "ocid1.tenancy.oc1..a",
    "fingerprint": ":".join(["aa"] * 16),
    "region": "eu-frankfurt-1",
    "private_key": PEM,
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which modules are found before any other; `ocifs` and `oci` are there."""
    (tmp_path / "ocifs.py").write_text(KEEPS.format("OCIFileSystem"))
    (tmp_path / "oci").mkdir()
    (tmp_path / "oci" / "__init__.py").touch()
    (tmp_path / "oci" / "signer.py").write_text(KEEPS.format("Signer"))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ocifs", "oci", "oci.signer"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    return tmp_path


@pytest.fixture
def opened(modules: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the file system of a Connection; returns the options that ocifs was given."""

    def open_it(extra: dict[str, Any], login: str = "ocid1.user.oc1..b", **options: Any) -> Any:
        connection = {"conn_type": "generic", "login": login, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_OCI_STORE", json.dumps(connection))
        return get_fs("oci_store", options).kwargs

    return open_it


def test_it_is_registered_for_its_scheme() -> None:
    assert "airflow_provider_oac.filesystems.oci" in get_provider_info()["filesystems"]
    assert schemes == ["oci"]


def test_an_api_key_goes_into_a_signer_and_nowhere_else(opened: Any) -> None:
    given = opened(API_KEY)
    signer, user = given.pop("signer"), "ocid1.user.oc1..b"
    assert signer.args == (API_KEY["tenancy_id"], user, API_KEY["fingerprint"], None)
    key = load_pem_private_key(signer.kwargs["private_key_content"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    config = {
        "tenancy": API_KEY["tenancy_id"], "user": user, "fingerprint": API_KEY["fingerprint"],
        "region": API_KEY["region"], "key_file": "held by the signer",
    }  # fmt: skip
    assert given == {"config": config, "region": API_KEY["region"]}


def test_a_key_file_outside_of_the_folder_is_not_read(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(PEM)
    (tmp_path / "key").chmod(0o600)
    extra = {**API_KEY, "private_key": str(tmp_path / "key")}
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path / "oci"))
    with pytest.raises(OACConfigurationError, match="lies outside of"):
        opened(extra)
    monkeypatch.setenv("AIRFLOW__OAC__FILE_FOLDER", str(tmp_path))
    assert opened(extra)["signer"]


@pytest.mark.parametrize("principal", ["resource_principal", "instance_principal", "oke_principal"])
def test_a_principal_needs_no_key(opened: Any, principal: str) -> None:
    assert opened({"iam_type": principal}, login="") == {"iam_type": principal}


def test_namespace_region_and_endpoint_are_passed_on(opened: Any) -> None:
    given = {"iam_type": "resource_principal", "namespace": "ns", "region": "eu-zurich-1"}
    endpoint = {"service_endpoint": "https://objectstorage.example.com"}
    assert opened({**given, **endpoint}) == {**given, "config_kwargs": endpoint}


def test_options_of_the_path_win(opened: Any) -> None:
    assert opened({"iam_type": "resource_principal", "region": "a"}, region="b")["region"] == "b"


def test_without_a_connection_ocifs_looks_by_itself(modules: Path) -> None:
    assert get_fs(None, {}).kwargs == {}


@pytest.mark.parametrize(
    ("extra", "login", "says"),
    [
        ({}, "", "tenancy_id, fingerprint, region, login .*, private_key missing.*resource_principal"),
        ({**API_KEY, "private_key": None}, "u", "private_key missing"),
        ({**API_KEY, "private_key": "nonsense"}, "u", "key"),
        ({"iam_type": "magic"}, "u", "iam_type is 'magic'"),
        ({"iam_type": "the+secret/="}, "u", "iam_type is a text of 12 characters "),
    ],
)
def test_what_cannot_work_is_named_with_the_connection(
    opened: Any, extra: dict[str, Any], login: str, says: str
) -> None:
    with pytest.raises(OACConfigurationError, match=rf"Connection 'oci_store': .*{says}"):
        opened(extra, login)


def test_without_ocifs_it_says_what_to_install(modules: Path) -> None:
    (modules / "ocifs.py").write_text("raise ImportError('No module named ocifs')")
    with pytest.raises(OACConfigurationError, match=r"airflow-provider-oac\[oci\]"):
        get_fs("oci_store", {})
