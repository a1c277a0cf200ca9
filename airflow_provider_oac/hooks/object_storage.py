"""Writes complete files, or none, to any store that Airflow's ``ObjectStoragePath`` supports."""

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

from airflow_provider_oac._compat import object_storage_path, report_lineage
from airflow_provider_oac.client.file_names import NAME_BYTES, cut
from airflow_provider_oac.exceptions import OACError, OACStorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

# The smallest part of an upload that S3 and OCI accept. The task holds a part in memory, and the default of s3fs is ten
# times as large. S3 accepts 10,000 parts, so a file may have up to 48 GiB.
_BLOCK = 5 * 1024 * 1024
# Some stores, such as Azure, copy in the background: seconds that such a copy may take, and the pause between two
# checks of it.
_COPYING = 60.0
_LOOK_INTERVAL = 0.25


class Destination:
    """A file to write, which may not exist yet.

    :param url: its location: ``file:///…``, ``s3://connection@bucket/key``, ``gs://…``, ``abfs://…``, ``oci://…``, or
        the path of a local file.
    :param conn_id: the Airflow Connection of the store, if the URL names none.
    :raises OACStorageError: if this kind of store is not installed, or this Connection cannot reach it.
    """

    def __init__(self, url: str, conn_id: str | None = None) -> None:
        with _explained(f"open the store of {url}"):
            self.place = object_storage_path(url, conn_id)
            self.url = str(self.place)
            self.fs = self.place.fs
            self.path = str(self.place.path)

    def size(self) -> int | None:
        """Return the size of the file in bytes; ``None`` if it does not exist."""
        with _explained(f"look for {self.url}"):
            return _size_of(self.fs, self.path)

    def read(self) -> bytes:
        """Read the whole file, which must be small."""
        with _explained(f"read {self.url}"):
            data = self.fs.cat_file(self.path)
        return bytes(data)

    def remove(self) -> None:
        """Remove the file, if it exists."""
        with _explained(f"remove {self.url}"), contextlib.suppress(FileNotFoundError):
            _remove(self.fs, self.path)

    def write(self, data: bytes) -> None:
        """Write the whole file, which must be small."""
        sink = ObjectStorageSink(self)
        try:
            sink.write(data)
            sink.commit()
        except BaseException:
            sink.discard()
            raise


class ObjectStorageSink:
    """Writes a file that is always complete under its name: the old content or the new.

    If the store can discard an unfinished upload (S3, Google Cloud Storage and OCI, with fsspec's ``commit`` and
    ``discard``), the file appears with :meth:`commit`. In other stores (local files, Azure), the content goes to a
    temporary file in the same folder, ``.<name>.<mark>-<random>-<try>.part``, which :meth:`commit` moves. A local file
    is replaced atomically, and only the owner can read its temporary file. If a store can only copy, the temporary file
    stays until the copy has the expected size.

    A process that is killed leaves its unfinished file behind. The next try removes a temporary file. For uploads, add
    a lifecycle rule to the bucket that aborts incomplete ones after a day.

    :param destination: the file.
    :param mark: identifies the task that writes. Without it, a later try does not find temporary files.
    :param try_number: number of the task's try. Temporary files of earlier tries are removed before the first byte is
        written.
    """

    def __init__(self, destination: Destination, mark: str | None = None, try_number: int = 1) -> None:
        self._destination = destination
        self._fs = destination.fs
        self._mark = mark
        self._try_number = try_number
        self._folder, self._prefix = _beside(destination.path, mark)
        # A random name prevents other users from placing a file or a link there.
        self._beside = f"{self._folder}{self._prefix}{secrets.token_hex(8)}-{try_number}.part"
        self._file: Any = None
        self._in_place = False
        # Permissions of a local file after commit.
        self._mode = 0
        self._size = 0
        # When a flow is canceled, it discards the file while a thread may still be writing.
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Write the next bytes.

        :raises OACStorageError: if the store does not accept them.
        """
        with self._lock, _explained(f"write {self._destination.url}"):
            if self._file is None:
                self._file = self._opened()
            self._file.write(data)
            self._size += len(data)

    def commit(self) -> None:
        """Make the file appear under its name.

        :raises OACStorageError: if the store does not accept it.
        """
        with self._lock, _explained(f"write {self._destination.url}"):
            if self._file is None:
                self._file = self._opened()
            if self._in_place:
                # close() sends the last part; commit() makes the file appear.
                self._file.close()
                self._file.commit()
            else:
                if _is_local(self._fs):
                    _flush_to_disk(self._file, self._mode)
                self._file.close()
                if _put(self._fs, self._beside, self._destination.path, self._size):
                    self._attempt(partial(_remove, self._fs, self._beside))
            self._file = None
        # `?` and `#` would end the path of a URI. Otherwise it is the one that ObjectStoragePath reports itself.
        uri = self._destination.url.replace("?", "%3F").replace("#", "%23")
        report_lineage("output", self._destination.place, uri)

    def discard(self) -> None:
        """Remove what was written since the beginning or the last :meth:`commit`; log what cannot be removed."""
        with self._lock:
            file, self._file = self._file, None
            if file is None:
                return
            if self._in_place:
                self._attempt(partial(_forget, file))
            else:
                # close() raises an error if the disk is full, but it closes the file.
                with contextlib.suppress(Exception):
                    file.close()
                self._attempt(partial(_remove, self._fs, self._beside))

    def _opened(self) -> Any:
        """Open the file for writing: under its name if the store can discard an upload, else a temporary file."""
        self._size = 0
        if _is_local(self._fs):
            self._attempt(self._remove_leftovers)
            file, self._mode = self._in_folder(partial(new_file, self._beside))
            return file
        # The probe has the temporary name, because a store that cannot discard may make it appear at once.
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
            # Only stores with real folders get here. A store with buckets reports a missing bucket later, when it
            # sends a part, so a bucket with a wrong name is never created.
            self._fs.makedirs(self._fs._parent(self._beside), exist_ok=True)
            return opened()

    def _remove_leftovers(self) -> None:
        """Remove temporary files that earlier tries of this task left."""
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
    """Return the folder of a file, with its slash, and the prefix of the names of its temporary files."""
    folder, slash, name = path.rpartition("/")
    # When removing a file, some stores treat its name as a pattern.
    name = re.sub(r"[*?\[\]]", lambda found: f"~{ord(found[0]):02X}", name)
    writer = f"{mark}-" if mark else ""
    most = NAME_BYTES - len(f"..{writer}{'f' * 16}-999999.part")
    if len(name.encode()) > most:
        # Two names that differ only in the part that is cut off must stay different.
        digest = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        name = cut(name, most - len(digest)) + digest
    return f"{folder}{slash}", f".{name}.{writer}"


def new_file(path: str) -> tuple[Any, int]:
    """Create a local file that only its owner can read; never open an existing file or a link.

    :returns: the file, and the default permissions of a new file in this folder.
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
    """Move or copy a temporary file to its final name. Return ``True`` if the temporary file is still there.

    fsspec's default ``mv`` is not used, because it treats stars and brackets in a name as a pattern, and deletes the
    source although the store may still be copying it.

    :param size: the size of the file in bytes.
    :raises OACStorageError: if the copy does not reach this size.
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
    """Return whether a store implements its own move, as stores that can rename do (SFTP, SMB, HDFS)."""
    return type(fs).mv is not AbstractFileSystem.mv


def _size_of(fs: Any, path: str) -> int | None:
    # Another worker may have written the file since this process last looked.
    fs.invalidate_cache()
    try:
        return int(fs.info(path)["size"])
    except FileNotFoundError:
        return None


def _remove(fs: Any, path: str) -> None:
    """Remove one file.

    ``rm`` treats stars and brackets in a name as a pattern, so it is used only where there is no ``rm_file`` (ocifs).
    """
    try:
        fs.rm_file(path)
    except NotImplementedError:
        fs.rm(path)


def _is_local(fs: Any) -> bool:
    return isinstance(fs, LocalFileSystem)


def _can_discard(file: Any) -> bool:
    """Return whether a store hides an upload until it is committed: fsspec's default methods do nothing."""
    kind = type(file)
    return isinstance(file, AbstractBufferedFile) and not (
        kind.commit is AbstractBufferedFile.commit or kind.discard is AbstractBufferedFile.discard
    )


def _forget(file: Any) -> None:
    """Discard an upload."""
    try:
        file.discard()
    finally:
        # Otherwise garbage collection closes the file, which sends it.
        file.closed = True


def _flush_to_disk(file: Any, mode: int) -> None:
    """Flush a local file to disk, so a crash of the machine cannot leave a name without its content."""
    file.flush()
    # Some mounted file systems give all files the same permissions and refuse to change them.
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
        os.fchmod(file.fileno(), mode)
    with contextlib.suppress(OSError):
        os.fsync(file.fileno())


@contextlib.contextmanager
def _explained(doing: str) -> Iterator[None]:
    """Turn any error of a store's library into one that names the failed operation."""
    try:
        yield
    except OACError:
        raise
    except Exception as problem:
        raise OACStorageError(
            f"Could not {doing} ({type(problem).__name__}: {problem}). Check that the bucket or folder exists and has "
            "space left, that its Connection may write there, and that the package for this kind of store is installed."
        ) from problem
