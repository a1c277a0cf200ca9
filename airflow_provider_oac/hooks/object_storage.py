"""Files in any store that Airflow's ``ObjectStoragePath`` reaches, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from airflow_provider_oac._compat import object_storage_path, report_file
from airflow_provider_oac.client.file_names import NAME_BYTES, cut
from airflow_provider_oac.exceptions import OACError, OACStorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

# The smallest part of an upload that S3 and OCI take. What a store buffers counts for the memory of the task: the own
# default of s3fs is ten times as much. S3 takes 10,000 parts, so that a file may have 48 GiB.
_BLOCK = 5 * 1024 * 1024
# For so many seconds a copy may go on in the store after it said that it copies (Azure does so); and the pause between
# two looks at it.
_COPYING = 60.0
_LOOK_INTERVAL = 0.25


class Destination:
    """A file that may come to be.

    :param url: where: ``file:///…``, ``s3://connection@bucket/key``, ``gs://…``, ``abfs://…``, ``oci://…``, or the path
        of a local file.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :raises OACStorageError: if there is no such store here, or it cannot be reached with this Connection.
    """

    def __init__(self, url: str, conn_id: str | None = None) -> None:
        with _explained(f"open the store of {url}"):
            self.place = object_storage_path(url, conn_id)
            self.url = str(self.place)
            self.fs = self.place.fs
            self.path = str(self.place.path)

    def size(self) -> int | None:
        """Bytes of the file; ``None`` if there is none."""
        with _explained(f"look for {self.url}"):
            return _size_of(self.fs, self.path)

    def read(self) -> bytes:
        """Read the whole file, a small one."""
        with _explained(f"read {self.url}"):
            data = self.fs.cat_file(self.path)
        return bytes(data)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        with _explained(f"remove {self.url}"), contextlib.suppress(FileNotFoundError):
            _remove(self.fs, self.path)

    def write(self, data: bytes) -> None:
        """Write the whole file, a small one."""
        sink = ObjectStorageSink(self)
        try:
            sink.write(data)
            sink.commit()
        except BaseException:
            sink.discard()
            raise


class ObjectStorageSink:
    """Writes a file such that under its name there is only ever a whole one: the old one, or the new one.

    Where the store can throw away an upload that it was not told to finish (S3, Google Cloud Storage and OCI, by
    fsspec's ``commit`` and ``discard``), the file appears with :meth:`commit`. Elsewhere (local files, Azure) it is
    written beside its place as ``.<name>.<mark>-<random>-<try>.part`` and moved; a local one is replaced atomically,
    and nobody but its owner can read it before. Where a store can only copy, what is beside stays until the copy has
    the size that was written.

    A process that is killed cannot put away what it has begun. The next try does so with a file beside; for an upload,
    let a lifecycle rule of the bucket abort what is incomplete after a day.

    :param destination: the file.
    :param mark: of the task that writes; by default of nobody, so that nothing left behind is found again.
    :param try_number: what earlier tries of the task left behind is removed before the first byte is written.
    """

    def __init__(self, destination: Destination, mark: str | None = None, try_number: int = 1) -> None:
        self._destination = destination
        self._fs = destination.fs
        self._mark = mark
        self._try_number = try_number
        self._folder, self._prefix = _beside(destination.path, mark)
        # A name that nobody can guess, so that nobody else can put a file or a link there.
        self._beside = f"{self._folder}{self._prefix}{secrets.token_hex(8)}-{try_number}.part"
        self._file: Any = None
        self._in_place = False
        # Permissions of a local file in its place.
        self._mode = 0
        self._size = 0
        # A flow that is canceled discards while a thread may still be writing.
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        :raises OACStorageError: if the store does not.
        """
        with self._lock, _explained(f"write {self._destination.url}"):
            if self._file is None:
                self._file = self._opened()
            self._file.write(data)
            self._size += len(data)

    def commit(self) -> None:
        """Put the file into its place.

        :raises OACStorageError: if the store does not take it.
        """
        with self._lock, _explained(f"write {self._destination.url}"):
            if self._file is None:
                self._file = self._opened()
            if self._in_place:
                # Sends the last part; the file is not there before it is committed.
                self._file.close()
                self._file.commit()
            else:
                if _is_local(self._fs):
                    _flush_to_disk(self._file, self._mode)
                self._file.close()
                if _put(self._fs, self._beside, self._destination.path, self._size):
                    self._attempt(partial(_remove, self._fs, self._beside))
            self._file = None
        try:
            report_file(self._destination.place)
        except Exception as problem:
            # The file is there. Whatever a reader of lineage or Airflow's check of the URI raises.
            log.warning("%s was written, but could not be reported as lineage: %s", self._destination.url, problem)

    def discard(self) -> None:
        """Remove what was written since the beginning or the last :meth:`commit`. What cannot be removed is logged."""
        with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            if self._in_place:
                self._attempt(partial(_forget, file))
            else:
                # A disk that is full refuses to flush; it is closed nevertheless.
                with contextlib.suppress(Exception):
                    file.close()
                self._attempt(partial(_remove, self._fs, self._beside))

    def _opened(self) -> Any:
        """Open the file for writing: in its place if the store can discard, else beside it."""
        self._size = 0
        if _is_local(self._fs):
            self._attempt(self._remove_leftovers)
            file, self._mode = self._in_folder(partial(new_file, self._beside))
            return file
        # Asked of a file of the name beside: a store that cannot discard may make it appear at once.
        probe = self._open(self._beside, autocommit=False)
        self._in_place = _can_discard(probe)
        if self._in_place:
            _forget(probe)
            return self._open(self._destination.path, autocommit=False)
        probe.close()
        self._attempt(partial(_remove, self._fs, self._beside))
        self._attempt(self._remove_leftovers)
        return self._open(self._beside)

    def _open(self, path: str, **options: Any) -> Any:
        return self._in_folder(partial(self._fs.open, path, "wb", block_size=_BLOCK, **options))

    def _in_folder(self, opened: Callable[[], T]) -> T:
        try:
            return opened()
        except FileNotFoundError:
            # A store with real folders. One with buckets does not come here before it sends anything, so that a
            # bucket whose name is wrong is not made.
            self._fs.makedirs(self._fs._parent(self._beside), exist_ok=True)
            return opened()

    def _remove_leftovers(self) -> None:
        """Remove what earlier tries of this task left beside the file."""
        if self._mark is None or self._try_number < 2:
            return
        self._fs.invalidate_cache()
        former = re.compile(rf"{re.escape(self._prefix)}[0-9a-f]+-(\d+)\.part")
        for path in self._fs.ls(self._folder, detail=False):
            name = str(path).rpartition("/")[2]
            if (found := former.fullmatch(name)) and int(found[1]) < self._try_number:
                self._attempt(partial(_remove, self._fs, f"{self._folder}{name}"))

    def _attempt(self, removal: Callable[[], None]) -> None:
        try:
            removal()
        except FileNotFoundError:
            pass
        except Exception as problem:
            log.warning("Could not remove the unfinished file of %s: %s", self._destination.url, problem)


def _beside(path: str, mark: str | None) -> tuple[str, str]:
    """The folder of a file with its slash, and how the names of the files beside it begin."""
    folder, slash, name = path.rpartition("/")
    # Not every store removes a file without taking its name for a pattern.
    name = re.sub(r"[*?\[\]]", lambda found: f"~{ord(found[0]):02X}", name)
    writer = f"{mark}-" if mark else ""
    most = NAME_BYTES - len(f"..{writer}{'f' * 16}-999999.part")
    if len(name.encode()) > most:
        # What is cut off must not make one name of two.
        digest = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        name = cut(name, most - len(digest)) + digest
    return f"{folder}{slash}", f".{name}.{writer}"


def new_file(path: str) -> tuple[Any, int]:
    """Open a new local file that only its owner can read; never one that is there, nor a link.

    :returns: the file, and the permissions that a new file has in this folder.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    probe = os.open(path, flags, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(probe).st_mode)
    finally:
        os.close(probe)
        os.unlink(path)
    return os.fdopen(os.open(path, flags, 0o600), "wb"), mode


def _put(fs: Any, path: str, to: str, size: int) -> bool:
    """Put one file into its place, and tell whether it still lies beside as well. Not by fsspec's own ``mv``, which
    takes stars and brackets in a name for a pattern, and deletes the source although the store may still be copying it.

    :param size: bytes that it has.
    :raises OACStorageError: if the copy does not get this size.
    """
    if _is_local(fs):
        os.replace(path, to)
        return False
    if _renames(fs):
        fs.mv(path, to)
        return False
    fs.cp_file(path, to)
    give_up = time.monotonic() + _COPYING
    while (found := _size_of(fs, to)) != size:
        if time.monotonic() > give_up:
            raise OACStorageError(
                f"{size} bytes were written, but {to} has {found} bytes {_COPYING:.0f} s after the copy began. Check "
                "the store, then run the task again."
            )
        time.sleep(_LOOK_INTERVAL)
    return True


def _renames(fs: Any) -> bool:
    """Whether a store has a move of its own, as those do that rename (SFTP, SMB, HDFS)."""
    return type(fs).mv is not AbstractFileSystem.mv


def _size_of(fs: Any, path: str) -> int | None:
    # Another worker may have written it since this process looked.
    fs.invalidate_cache()
    try:
        return int(fs.info(path)["size"])
    except FileNotFoundError:
        return None


def _remove(fs: Any, path: str) -> None:
    """Remove one file. Not by ``rm``, which takes stars and brackets in a name for a pattern, where there is a choice:
    ocifs has nothing else.
    """
    try:
        fs.rm_file(path)
    except NotImplementedError:
        fs.rm(path)


def _is_local(fs: Any) -> bool:
    return isinstance(fs, LocalFileSystem)


def _can_discard(file: Any) -> bool:
    """Whether a store keeps what is written apart until it is committed: fsspec's own methods do nothing."""
    kind = type(file)
    return isinstance(file, AbstractBufferedFile) and not (
        kind.commit is AbstractBufferedFile.commit or kind.discard is AbstractBufferedFile.discard
    )


def _forget(file: Any) -> None:
    """Throw away an upload."""
    try:
        file.discard()
    finally:
        # Otherwise it is closed, and so sent, when it is collected.
        file.closed = True


def _flush_to_disk(file: Any, mode: int) -> None:
    """A crash of the machine must not leave a name without the bytes."""
    file.flush()
    # Some mounted file systems have the same permissions for all files, and refuse to change them.
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
        os.fchmod(file.fileno(), mode)
    with contextlib.suppress(OSError):
        os.fsync(file.fileno())


@contextlib.contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Name what was being done, whatever a store's library raises."""
    try:
        yield
    except OACError:
        raise
    except Exception as problem:
        raise OACStorageError(
            f"Could not {doing} ({type(problem).__name__}: {problem}). Check that the bucket or folder exists and has "
            "space left, that its Connection may write there, and that the package for this kind of store is installed."
        ) from problem
