"""The store in a folder: modes, replacing, locks of processes and threads, and everything that is wrong with a disk."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.exceptions import OACConfigurationError, OACError, OACTokenStoreError
from tests.unit.auth.stores import NAME

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parent" / "tokens"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(str(folder))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def opened_below(folder: Path) -> list[str]:
    """What this process has open there. What it has open elsewhere may change at any time: it is not ours."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # The listing itself, and what was closed meanwhile.
            continue
        if Path(target).is_relative_to(folder):
            found.append(target)
    return found


# ------------------------------------------------------------------------------------------------ reading and writing


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(OACConfigurationError, match=r"store_folder.*absolute"):
        FileStore("tokens")


def test_nothing_is_there_before_something_was_written(store: FileStore, folder: Path) -> None:
    assert store.read(NAME) is None
    store.delete(NAME)
    assert not folder.exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read(umask: int, store: FileStore, folder: Path) -> None:
    former = os.umask(umask)
    try:
        assert store.write(NAME, b"sealed", None)
        lock = store.lock(NAME, 1)
        assert lock.acquire()
        lock.release()
    finally:
        os.umask(former)
    assert mode(folder) == 0o700
    assert [mode(path) for path in folder.iterdir()] == [0o600, 0o600]
    assert files(folder) == [f"{NAME}.lock", f"{NAME}.token"]


def test_replaces_only_what_is_expected(store: FileStore, folder: Path) -> None:
    assert not store.write(NAME, b"1", b"something")
    assert store.write(NAME, b"1", None)
    assert not store.write(NAME, b"2", None)
    assert not store.write(NAME, b"2", b"other")
    assert store.write(NAME, b"2", b"1")
    assert store.read(NAME) == b"2"
    store.delete(NAME)
    assert store.read(NAME) is None
    assert files(folder) == []


def test_readers_never_see_half_a_file(store: FileStore) -> None:
    texts = [bytes([number]) * 200_000 for number in range(2)]
    store.write(NAME, texts[0], None)
    ended = threading.Event()

    def write() -> None:
        for number in range(60):
            assert store.write(NAME, texts[(number + 1) % 2], texts[number % 2])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not ended.is_set():
            assert store.read(NAME) in texts
    finally:
        writer.join()


def test_the_file_is_replaced_and_not_written_into(store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    with (folder / f"{NAME}.token").open("rb") as former:
        store.write(NAME, b"2", b"1")
        assert former.read() == b"1"


def test_what_a_killed_writer_left_goes(store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    (folder / f"{NAME}.new").write_bytes(b"half of")
    store.write(NAME, b"2", b"1")
    assert files(folder) == [f"{NAME}.token"]
    assert mode(folder / f"{NAME}.token") == 0o600


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_open_is_refused(bits: int, store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    (folder / f"{NAME}.token").chmod(bits)
    for attempt in (lambda: store.read(NAME), lambda: store.write(NAME, b"2", b"1")):
        with pytest.raises(OACTokenStoreError, match=rf"{NAME}\.token .*mode {bits:04o}.*chmod 600"):
            attempt()


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o777])
def test_a_folder_that_others_can_open_is_refused(bits: int, store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    folder.chmod(bits)
    for attempt in (
        lambda: store.read(NAME), lambda: store.write(NAME, b"2", b"1"), lambda: store.lock(NAME, 1).acquire(),
    ):  # fmt: skip
        with pytest.raises(OACTokenStoreError, match=rf"tokens belongs to user.*mode {bits:04o}.*chmod 700"):
            attempt()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_somebody_else_is_refused(store: FileStore, folder: Path) -> None:
    store.write(NAME, b"1", None)
    os.chown(folder / f"{NAME}.token", NOBODY, NOBODY)
    with pytest.raises(OACTokenStoreError, match=f"belongs to user {NOBODY}.*must belong to user 0"):
        store.read(NAME)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(OACTokenStoreError, match=f"tokens belongs to user {NOBODY}"):
        store.write("b" * 64, b"1", None)


@pytest.mark.parametrize("suffix", ["token", "lock"])
def test_a_symbolic_link_is_not_followed(suffix: str, store: FileStore, folder: Path, tmp_path: Path) -> None:
    store.write("b" * 64, b"1", None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    elsewhere.chmod(0o600)
    (folder / f"{NAME}.{suffix}").symlink_to(elsewhere)
    with pytest.raises(OACTokenStoreError, match="Remove the symbolic link"):
        _ = store.read(NAME) if suffix == "token" else store.lock(NAME, 1).acquire()
    assert elsewhere.read_bytes() == b"somebody's"


def test_a_link_in_the_place_of_the_temporary_file_leads_nowhere(
    store: FileStore, folder: Path, tmp_path: Path
) -> None:
    store.write(NAME, b"1", None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    (folder / f"{NAME}.new").symlink_to(elsewhere)
    assert store.write(NAME, b"2", b"1")
    assert (store.read(NAME), elsewhere.read_bytes()) == (b"2", b"somebody's")
    assert not (folder / f"{NAME}.token").is_symlink()


@pytest.mark.parametrize("suffix", ["token", "lock"])
def test_a_pipe_in_the_files_place_is_refused_at_once(suffix: str, store: FileStore, folder: Path) -> None:
    store.write("b" * 64, b"1", None)
    os.mkfifo(folder / f"{NAME}.{suffix}", 0o600)
    with pytest.raises(OACTokenStoreError, match=rf"{NAME}\.{suffix} is not a regular file"):
        _ = store.read(NAME) if suffix == "token" else store.lock(NAME, 1).acquire()


# ------------------------------------------------------------------------------------------------------- bad disks


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_folders_place_is_named(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStore(str(tmp_path / "file" / below))
    for attempt in (lambda: store.read(NAME), lambda: store.write(NAME, b"1", None), store.lock(NAME, 1).acquire):
        with pytest.raises(
            OACTokenStoreError, match=r"The token store in .*file.* could not be .*remove the file at this path"
        ):
            attempt()


def test_a_folder_in_the_files_place_is_named(store: FileStore, folder: Path) -> None:
    store.write("b" * 64, b"1", None)
    (folder / f"{NAME}.token").mkdir(mode=0o700)
    with pytest.raises(OACTokenStoreError, match=r"is not a regular file\. Remove it"):
        store.read(NAME)
    assert opened_below(folder) == []


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A folder that everybody can get to, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="oac-store-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_nobody(act: Callable[[], object]) -> str:
    """What a process without any rights is told when it does something; empty if it could."""
    context = multiprocessing.get_context("fork")
    inlet, outlet = context.Pipe(duplex=False)

    def child() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            act()
            outlet.send("")
        except OACError as error:
            outlet.send(f"{type(error).__name__}: {error}")

    process = context.Process(target=child)
    process.start()
    assert inlet.poll(30)
    said: str = inlet.recv()
    process.join(30)
    return said


def test_a_folder_that_cannot_be_written_is_named(anybodys: Path) -> None:
    if os.geteuid() == 0:
        os.chown(anybodys, NOBODY, NOBODY)
    anybodys.chmod(0o500)
    store = FileStore(str(anybodys))
    assert as_nobody(lambda: store.read(NAME)) == ""
    for act in (lambda: store.write(NAME, b"1", None), lambda: store.lock(NAME, 1).acquire()):
        said = as_nobody(act)
        assert said.startswith("OACTokenStoreError: The token store in ")
        assert "Permission denied" in said
        assert "who runs this process, read and write the folder" in said
    anybodys.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's folder is needed")
def test_another_users_folder_is_closed(anybodys: Path) -> None:
    tokens = FileStore(str(anybodys / "tokens"))
    tokens.write(NAME, b"1", None)
    assert "belongs to user 0" in as_nobody(lambda: tokens.read(NAME))
    assert "belongs to user 0" in as_nobody(lambda: tokens.write(NAME, b"2", b"1"))
    assert "Permission denied" in as_nobody(lambda: FileStore(str(anybodys / "other")).write(NAME, b"1", None))


FULL_DISK = """
import resource, sys
from airflow_provider_oac.auth.store_file import FileStore
from airflow_provider_oac.exceptions import OACTokenStoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store, name = FileStore(sys.argv[1]), "a" * 64
try:
    store.write(name, b"2" * 5000, b"1" * 500)
except OACTokenStoreError as error:
    print(error)
print(store.read(name) == b"1" * 500)
print(store.write(name, b"3" * 500, b"1" * 500))
"""


def test_a_full_disk_loses_nothing_and_leaves_nothing(store: FileStore, folder: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
    store.write(NAME, b"1" * 500, None)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, timeout=60, check=True
    )
    error, intact, later = done.stdout.splitlines()
    assert "could not be written (File too large)" in error
    assert (intact, later) == ("True", "True")
    assert files(folder) == [f"{NAME}.token"]


# ----------------------------------------------------------------------------------------------------------- locks


def test_only_one_thread_has_the_lock(store: FileStore) -> None:
    holders: list[int] = []
    most: list[int] = []
    count = threading.Lock()

    def work() -> None:
        lock = store.lock(NAME, 1)
        for _ in range(20):
            while not lock.acquire():
                time.sleep(0.001)
            with count:
                holders.append(1)
                most.append(len(holders))
            time.sleep(0.001)
            holders.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 120
    assert max(most) == 1


def test_locks_of_different_names_do_not_meet(store: FileStore) -> None:
    first, other = store.lock(NAME, 1), store.lock("b" * 64, 1)
    assert first.acquire()
    assert other.acquire()
    first.release()
    other.release()


def test_it_is_held_until_it_is_given_back(store: FileStore) -> None:
    lock, rival = store.lock(NAME, 0.01), store.lock(NAME, 0.01)
    assert lock.acquire()
    time.sleep(0.05)
    assert lock.extend()
    assert not rival.acquire()
    assert not rival.extend()
    rival.release()
    assert not rival.acquire()
    lock.release()
    lock.release()
    assert not lock.extend()
    assert rival.acquire()
    rival.release()


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


def test_of_several_entries_only_the_one_that_cannot_be_read_is_an_error(store: FileStore, folder: Path) -> None:
    for name in ("a", "b"):
        store.write(name, name.encode(), None)
    (folder / "b.token").chmod(0o644)
    a, b, c = store.read_all(["a", "b", "c"])
    assert (a, c) == (b"a", None)
    assert isinstance(b, OACTokenStoreError)
