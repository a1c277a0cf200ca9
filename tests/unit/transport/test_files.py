"""Files that a Connection names: regular ones of a sane size, and where it is set, below one folder only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import certifi
import pytest

from airflow_provider_oac.exceptions import OACConfigurationError
from airflow_provider_oac.transport.files import NamedFileError, read_authorities, read_file
from airflow_provider_oac.transport.settings import TransportSettings

LARGEST = 100
OUTSIDE = [
    "key",
    "missing",
    "folder",
    "fifo",
    "link",
    "missing/deeper",
    "allowed/../key",
    "allowed/link",
    "allowed-too",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("folder", "allowed", "allowed/below"):
        (tmp_path / name).mkdir()
    for name in ("key", "allowed/key", "allowed/below/key", "allowed-too"):
        (tmp_path / name).write_text("content")
    os.mkfifo(tmp_path / "fifo")
    os.mkfifo(tmp_path / "allowed/fifo")
    os.symlink(tmp_path / "key", tmp_path / "allowed/link")
    os.symlink(tmp_path / "allowed/key", tmp_path / "link")
    os.symlink("below/key", tmp_path / "allowed/inner-link")
    os.symlink(tmp_path / "allowed", tmp_path / "linked-folder")
    return tmp_path


def problem(read: Callable[[], object]) -> NamedFileError:
    with pytest.raises(NamedFileError) as caught:
        read()
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("read", [read_file, read_authorities])
@pytest.mark.parametrize("folder", ["allowed", "linked-folder"])
def test_all_that_is_outside_of_the_folder_looks_alike(
    place: Path, read: Callable[..., object], name: str, folder: str
) -> None:
    limit = str(place / folder)
    error = problem(lambda: read(str(place / name), limit, LARGEST))
    assert (
        str(error)
        == f"lies outside of {limit}, the only folder with files that Connections may name ([oac] file_folder)"
    )


@pytest.mark.parametrize("path", ["~/key", "~nobody-of-this-name/key", "/\0", "~\ud800", "/etc/passwd", "/"])
def test_what_is_no_path_is_outside_as_well(place: Path, path: str) -> None:
    assert "lies outside of" in str(problem(lambda: read_file(path, str(place / "allowed"), LARGEST)))


@pytest.mark.parametrize("name", ["allowed/key", "allowed/below/key", "allowed/inner-link"])
def test_what_is_below_the_folder_is_read(place: Path, name: str) -> None:
    assert read_file(str(place / name), str(place / "allowed"), LARGEST)[0] == b"content"


@pytest.mark.parametrize("name", ["key", "link", "allowed/../key", "allowed/link"])
def test_without_a_folder_any_file_is_read(place: Path, name: str) -> None:
    assert read_file(str(place / name), None, LARGEST)[0] == b"content"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("allowed/fifo", "is not a regular file"), ("/dev/zero", "is not a regular file"), ("folder", "is a directory"),
        ("missing", "does not exist"), ("key/more", "does not exist"), ("/proc/self/smaps", "is larger than 100 bytes"),
    ],
)  # fmt: skip
def test_what_is_not_a_file_to_read_is_named_at_once(place: Path, path: str, said: str) -> None:
    assert said in str(problem(lambda: read_file(str(place / path), None, LARGEST)))


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1])
def test_a_file_may_be_so_large_and_no_larger(place: Path, size: int) -> None:
    (place / "key").write_bytes(b"x" * size)
    if size > LARGEST:
        assert "is larger than 100 bytes" in str(problem(lambda: read_file(str(place / "key"), None, LARGEST)))
    else:
        assert len(read_file(str(place / "key"), None, LARGEST)[0]) == size


class TestCaFile:
    @pytest.mark.parametrize("name", ["fifo", "/dev/zero"])
    def test_that_is_no_regular_file_is_refused_at_once(self, place: Path, name: str) -> None:
        with pytest.raises(OACConfigurationError, match="is not a regular file"):
            TransportSettings(ca_file=str(place / name)).ssl_context()

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_outside_of_the_folder_tells_nothing(self, place: Path, name: str) -> None:
        settings = TransportSettings(ca_file=str(place / name), file_folder=str(place / "allowed"))
        with pytest.raises(OACConfigurationError) as caught:
            settings.ssl_context()
        assert str(caught.value) == (
            f"The CA file (Connection: extra, ca_file) cannot be used: it lies outside of {place}/allowed, the only "
            "folder with files that Connections may name ([oac] file_folder). Give the path of a PEM file on this "
            "machine that the Airflow user may read."
        )
        assert caught.value.__cause__ is None

    def test_of_the_environment_is_not_limited(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copy(certifi.where(), place / "key")
        monkeypatch.setenv("SSL_CERT_FILE", str(place / "key"))
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        assert TransportSettings(file_folder=str(place / "allowed")).ssl_context()

    @pytest.mark.parametrize("name", ["/proc/self/status", "/proc/kmsg", "allowed/below"])
    def test_that_holds_no_certificate_is_refused_at_once(self, place: Path, name: str) -> None:
        if os.access(place / name, os.R_OK):
            with pytest.raises(OACConfigurationError, match=r"it (is empty|holds no certificate|cannot be read)"):
                TransportSettings(ca_file=str(place / name)).ssl_context()

    def test_does_not_show_the_part_of_its_path_that_does_not_exist(self, place: Path) -> None:
        """It may be a secret that somebody pasted into the wrong field."""
        with pytest.raises(OACConfigurationError) as caught:
            TransportSettings(ca_file=str(place / "se+cret/deeper")).ssl_context()
        assert f"it does not exist on this machine (of its path, {str(place)!r} exists)." in str(caught.value)
        assert "se+cret" not in str(caught.value)


class TestFolderOfAuthorities:
    def folder(self, place: Path) -> TransportSettings:
        shutil.copy(certifi.where(), place / "allowed/below/0123abcd.0")
        (place / "allowed/below/README").write_text("not read")
        return TransportSettings(ca_file=str(place / "allowed/below"), file_folder=str(place / "allowed"))

    def test_is_read_by_the_names_that_openssl_gives(self, place: Path) -> None:
        assert self.folder(place).ssl_context().cert_store_stats()["x509_ca"] > 50

    def test_must_not_lead_elsewhere(self, place: Path) -> None:
        settings = self.folder(place)
        os.symlink(place / "key", place / "allowed/below/ffffffff.0")
        with pytest.raises(OACConfigurationError, match=r"it holds ffffffff\.0, which lies outside of"):
            settings.ssl_context()

    def test_must_not_hold_a_pipe(self, place: Path) -> None:
        settings = self.folder(place)
        os.mkfifo(place / "allowed/below/ffffffff.0")
        with pytest.raises(OACConfigurationError, match=r"it holds ffffffff\.0, which is not a regular file"):
            settings.ssl_context()
