"""The store in a folder: modes, replacing, locks of processes and threads, and everything that is wrong with a disk."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError
from tests.unit.auth.nobody import NOBODY, as_nobody, folder_of_anybody  # noqa: F401
from tests.unit.auth.stores import NAME

TOKEN_FILE, LOCK_FILE = f"{NAME}.token", f"{NAME}.lock"
Make = Callable[[Path, Path], None]
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "tokens"


@pytest.fixture
def store(folder: Path) -> FileStore:
    """A store that holds something under another name, so that its folder exists."""
    store = FileStore(str(folder))
    assert store.write("b" * 64, b"another", None)
    return store


def modes(folder: Path) -> dict[str, str]:
    """The files for `NAME`, and their modes."""
    return {path.name: f"{path.lstat().st_mode & 0o777:o}" for path in folder.glob(f"{NAME}.*")}


def attempts(store: FileStore) -> dict[str, Callable[[], object]]:
    return {
        "read": lambda: store.read(NAME),
        "write": lambda: store.write(NAME, b"2", b"1"),
        "lock": lambda: store.lock(NAME, 1).acquire(),
    }


# ------------------------------------------------------------------------------------------------ reading and writing


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(OACConfigurationError, match=r"store_folder.*absolute"):
        FileStore("tokens")


def test_nothing_is_there_before_something_was_written(folder: Path) -> None:
    store = FileStore(str(folder))
    assert store.where == f"the token store in {folder}"
    assert store.read(NAME) is None
    store.delete(NAME)
    assert not folder.exists()


def test_nobody_else_can_read(folder: Path) -> None:
    former = os.umask(0)
    try:
        store = FileStore(str(folder))
        assert store.write(NAME, b"sealed", None)
        lock = store.lock(NAME, 1)
        assert lock.acquire()
        lock.release()
    finally:
        os.umask(former)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert modes(folder) == {TOKEN_FILE: "600", LOCK_FILE: "600"}


def test_replaces_only_what_is_expected(store: FileStore, folder: Path) -> None:
    changes = ((b"1", b"something"), (b"1", None), (b"2", None), (b"2", b"other"), (b"2", b"1"))
    assert [store.write(NAME, new, old) for new, old in changes] == [False, True, False, False, True]
    assert store.read(NAME) == b"2"
    store.delete(NAME)
    assert store.read(NAME) is None
    assert modes(folder) == {}


def test_the_file_is_replaced_and_not_written_into(store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    with (folder / TOKEN_FILE).open("rb") as former:
        store.write(NAME, b"2", b"1")
        assert former.read() == b"1"


def test_readers_always_see_a_whole_file(store: FileStore) -> None:
    texts = [bytes([number]) * 200_000 for number in range(2)]
    store.write(NAME, texts[0], None)
    changes = [(texts[1], texts[0]), texts] * 30
    with ThreadPoolExecutor(1) as thread:
        written = thread.submit(lambda: [store.write(NAME, new, old) for new, old in changes])
        while not written.done():
            assert store.read(NAME) in texts
    assert all(written.result())


def left(path: Path, _elsewhere: Path) -> None:
    path.write_bytes(b"half of")


def linked(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("made", [left, linked], ids=["by a killed writer", "a link"])
def test_what_is_at_the_temporary_path_goes(made: Make, store: FileStore, folder: Path, tmp_path: Path) -> None:
    store.write(NAME, b"1", None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    made(folder / f"{NAME}.new", elsewhere)
    assert store.write(NAME, b"2", b"1")
    assert (store.read(NAME), elsewhere.read_bytes()) == (b"2", b"somebody's")
    assert modes(folder) == {TOKEN_FILE: "600"}


def test_of_several_entries_only_the_one_that_cannot_be_read_is_an_error(store: FileStore, folder: Path) -> None:
    for name in ("a", "b"):
        store.write(name, name.encode(), None)
    (folder / "b.token").chmod(0o644)
    a, b, c = store.read_all(["a", "b", "c"])
    assert (a, c) == (b"a", None)
    assert isinstance(b, OACTokenStoreError)


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o610, 0o601])
@pytest.mark.parametrize(
    ("name", "step", "refused"), [(TOKEN_FILE, 600, ("read", "write")), ("", 700, ("read", "write", "lock"))]
)
def test_what_others_can_open_is_refused(
    bits: int, name: str, step: int, refused: tuple[str, ...], store: FileStore, folder: Path
) -> None:
    store.write(NAME, b"1", None)
    (folder / name).chmod(bits)
    for attempt in refused:
        with pytest.raises(OACTokenStoreError, match=rf"{name or 'tokens'} belongs.*mode {bits:04o}.*chmod {step}"):
            attempts(store)[attempt]()


@only_root
@pytest.mark.parametrize("name", [TOKEN_FILE, ""])
def test_what_belongs_to_somebody_else_is_refused(name: str, store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    os.chown(folder / name, NOBODY, NOBODY)
    for attempt in ("read", "write"):
        with pytest.raises(OACTokenStoreError, match=f"{name or 'tokens'} belongs to user {NOBODY}.*to user 0"):
            attempts(store)[attempt]()


@pytest.mark.parametrize(
    ("made", "name", "said"),
    [
        *((linked, name, "Remove the symbolic link") for name in (TOKEN_FILE, LOCK_FILE)),
        *((lambda path, _: os.mkfifo(path, 0o600), name, f"{name} is not a reg") for name in (TOKEN_FILE, LOCK_FILE)),
        (lambda path, _: path.mkdir(mode=0o700), TOKEN_FILE, f"{TOKEN_FILE} is not a regular file. Remove it"),
    ],
    ids=["link for token", "link for lock", "pipe for token", "pipe for lock", "folder for token"],
)
def test_what_is_no_file_in_a_files_place_is_refused_at_once(
    made: Make, name: str, said: str, store: FileStore, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    elsewhere.chmod(0o600)
    made(folder / name, elsewhere)
    with pytest.raises(OACTokenStoreError, match=said):
        attempts(store)["read" if name == TOKEN_FILE else "lock"]()
    assert elsewhere.read_bytes() == b"somebody's"
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [path for path in opened if Path(path).is_relative_to(tmp_path)]


# ------------------------------------------------------------------------------------------------------- bad disks


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_folders_place_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = r"The token store in .*file.* could not be .*remove the file at this path"
    for attempt in attempts(FileStore(str(tmp_path / "file" / below))).values():
        with pytest.raises(OACTokenStoreError, match=said):
            attempt()


def test_a_folder_that_cannot_be_written_is_named(anybodys: Path) -> None:
    if os.geteuid() == 0:
        os.chown(anybodys, NOBODY, NOBODY)
    anybodys.chmod(0o500)
    store = FileStore(str(anybodys))
    said = "^The token store in .*Permission denied.*who runs this process, read and write the folder"
    with as_nobody():
        assert store.read(NAME) is None
        for act in (lambda: store.write(NAME, b"1", None), store.lock(NAME, 1).acquire):
            with pytest.raises(OACTokenStoreError, match=said):
                act()


@only_root
@pytest.mark.parametrize(("name", "attempt"), [(TOKEN_FILE, "read"), (LOCK_FILE, "lock")])
def test_another_users_file_that_cannot_be_opened_is_named(name: str, attempt: str, anybodys: Path) -> None:
    """Such as one that root copied into the folder."""
    (anybodys / name).touch(0o600)
    os.chown(anybodys, NOBODY, NOBODY)
    anybodys.chmod(0o700)
    said = f"{name} belongs to user 0 and has mode 0600.*must belong to user {NOBODY}, who runs this process: chown it"
    with as_nobody(), pytest.raises(OACTokenStoreError, match=said):
        attempts(FileStore(str(anybodys)))[attempt]()


def test_a_full_disk_loses_nothing_and_leaves_nothing(store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1" * 500, None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # It counts for root, too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OACTokenStoreError, match=r"could not be written \(File too large\)"):
            store.write(NAME, b"2" * 5000, b"1" * 500)
        assert store.read(NAME) == b"1" * 500
        assert store.write(NAME, b"3" * 500, b"1" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert modes(folder) == {TOKEN_FILE: "600"}


# ----------------------------------------------------------------------------------------------------------- locks


def test_only_one_has_the_lock(store: FileStore) -> None:
    lock, other, of_another = store.lock(NAME, 1), store.lock(NAME, 1), store.lock("b" * 64, 1)
    assert lock.acquire()
    assert lock.extend()
    assert not other.acquire()
    assert not other.extend()
    other.release()
    assert not other.acquire()
    assert of_another.acquire()
    for _ in range(2):
        lock.release()
        of_another.release()
    assert not lock.extend()
    assert other.acquire()
    other.release()


HOLD = """
import sys, time
from airflow_provider_oac.auth.store_file import FileStore
lock = FileStore(sys.argv[1]).lock("a" * 64, 1)
print(lock.acquire(), flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_killed_process_is_free(store: FileStore, folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "True\n"
        lock = store.lock(NAME, 1)
        assert not lock.acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        assert lock.acquire()
        lock.release()


def test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock(store: FileStore) -> None:
    lock, other = store.lock(NAME, 1), store.lock(NAME, 1)
    assert lock.acquire()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        lock.release()
        assert other.acquire()
        other.release()
    finally:
        child.kill()
        child.join()


def test_a_lock_file_that_was_deleted_is_no_lock_any_more(store: FileStore, folder: Path) -> None:
    lock, other = store.lock(NAME, 1), store.lock(NAME, 1)
    assert lock.acquire()
    shutil.rmtree(folder)
    assert other.acquire()
    assert not lock.extend()
    lock.release()
    assert other.extend()
    other.release()
