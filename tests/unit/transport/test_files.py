"""Files that a Connection names: regular ones of a sane size, and where it is set, below one folder only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.files import NamedFileError, read_authorities, read_file
from airflow_provider_oac.transport.settings import TransportSettings

LARGEST = 100
OUTSIDE = [
    "key", "missing", "folder", "fifo", "link", "missing/deeper", "allowed/../key", "allowed/link", "allowed-too",
]  # fmt: skip
NO_PATHS = ["~/key", "~nobody-of-this-name/key", "/\0", "~\ud800", "/etc/passwd", "/"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("folder", "allowed", "allowed/below"):
        (tmp_path / name).mkdir()
    for name in ("key", "allowed/key", "allowed/below/key", "allowed-too"):
        (tmp_path / name).write_text("content")
    for name in ("fifo", "allowed/below/ffffffff.1"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "empty").touch()
    os.symlink(tmp_path / "key", tmp_path / "allowed/link")
    os.symlink(tmp_path / "key", tmp_path / "allowed/below/ffffffff.0")
    os.symlink(tmp_path / "allowed/key", tmp_path / "link")
    os.symlink("below/key", tmp_path / "allowed/inner-link")
    os.symlink(tmp_path / "allowed", tmp_path / "linked-folder")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    return tmp_path


def problem(read: Callable[[], object]) -> str:
    with pytest.raises(NamedFileError) as caught:
        read()
    assert caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize("name", [*OUTSIDE, *NO_PATHS])
@pytest.mark.parametrize("read", [read_file, read_authorities])
@pytest.mark.parametrize("folder", ["allowed", "linked-folder"])
def test_all_that_is_outside_looks_alike(place: Path, read: Callable[..., object], name: str, folder: str) -> None:
    limit, path = str(place / folder), name if name in NO_PATHS else str(place / name)
    said = f"lies outside of {limit}, the only folder with files that Connections may name ([oac] file_folder)"
    assert problem(lambda: read(path, limit, LARGEST)) == said


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        *((name, "allowed") for name in ("allowed/key", "allowed/below/key", "allowed/inner-link")),
        *((name, None) for name in ("key", "link", "allowed/../key", "allowed/link")),
    ],
)
def test_what_is_below_the_folder_or_without_one_any_file_is_read(place: Path, name: str, folder: str | None) -> None:
    assert read_file(str(place / name), folder and str(place / folder), LARGEST)[0] == b"content"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("fifo", "is not a regular file"), ("/dev/zero", "is not a regular file"), ("folder", "is a directory"),
        ("missing", "does not exist"), ("key/more", "does not exist"), ("empty", "is empty"),
        ("/proc/self/smaps", "is larger than 100 bytes"), ("loop", "cannot be read (OSError)"),
    ],
)  # fmt: skip
def test_what_is_not_a_file_to_read_is_named_at_once(place: Path, path: str, said: str) -> None:
    assert said in problem(lambda: read_file(str(place / path), None, LARGEST))


def test_a_file_may_be_so_large_and_no_larger(place: Path) -> None:
    path = str(place / "key")
    (place / "key").write_bytes(b"x" * LARGEST)
    assert len(read_file(path, None, LARGEST)[0]) == LARGEST
    assert "is larger than 99 bytes" in problem(lambda: read_file(path, None, LARGEST - 1))


class TestCaFile:
    def refused(self, ca_file: Path, **settings: Any) -> str:
        with pytest.raises(OACConfigurationError) as caught:
            TransportSettings(ca_file=str(ca_file), **settings).ssl_context()
        assert caught.value.__cause__ is None
        return str(caught.value)

    def test_outside_of_the_folder_is_named(self, place: Path) -> None:
        assert self.refused(place / "key", file_folder=str(place / "allowed")) == (
            f"The CA file (Connection: extra, ca_file) cannot be used: it lies outside of {place}/allowed, the only "
            "folder with files that Connections may name ([oac] file_folder). Give the path of a PEM file on this "
            "machine that the Airflow user may read."
        )

    def test_of_the_environment_is_not_limited(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copy(certifi.where(), place / "key")
        monkeypatch.setenv("SSL_CERT_FILE", str(place / "key"))
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        assert TransportSettings(file_folder=str(place / "allowed")).ssl_context()

    @pytest.mark.parametrize("name", ["/proc/self/status", "/proc/kmsg", "folder"])
    def test_that_holds_no_certificate_is_refused_at_once(self, place: Path, name: str) -> None:
        if os.access(place / name, os.R_OK):
            said = self.refused(place / name)
            assert any(f"it {why}" in said for why in ("is empty", "holds no certificate", "cannot be read"))

    def test_does_not_show_the_part_of_its_path_that_does_not_exist(self, place: Path) -> None:
        """It may be a secret that somebody pasted into the wrong field."""
        said = self.refused(place / "se+cret/deeper")
        assert f"it does not exist on this machine (of its path, {str(place)!r} exists)." in said
        assert "se+cret" not in said

    def test_may_be_a_folder_with_the_names_that_openssl_gives(self, place: Path) -> None:
        shutil.copy(certifi.where(), place / "folder/0123abcd.0")
        (place / "folder/README").write_text("not read")
        settings = TransportSettings(ca_file=str(place / "folder"), file_folder=str(place))
        assert settings.ssl_context().cert_store_stats()["x509_ca"] > 50

    def test_must_not_lead_out_of_its_folder_or_hold_a_pipe(self, place: Path) -> None:
        ca_file, folder = place / "allowed/below", str(place / "allowed")
        assert "it holds ffffffff.0, which lies outside of" in self.refused(ca_file, file_folder=folder)
        (ca_file / "ffffffff.0").unlink()
        assert "it holds ffffffff.1, which is not a regular file" in self.refused(ca_file, file_folder=folder)
