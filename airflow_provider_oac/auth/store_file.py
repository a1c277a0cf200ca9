"""A store in a folder that the tasks of one host share."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_provider_oac.exceptions import OACConfigurationError, OACTokenStoreError

_LARGEST = 1 << 20


class FileStore:
    """Keeps one file and one lock file for each sign-in, accessible only to their owner (0600, in a 0700 folder).

    The locks are the operating system's (``flock``), which releases them when a process dies. They work between the
    processes of a host, and over a network file system only if it supports them.

    :param folder: absolute path of the folder, which is created if it is missing.
    :raises OACConfigurationError: if the path is relative.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(os.path.expanduser(folder))
        if not self._folder.is_absolute():
            raise OACConfigurationError(
                f"The folder of the token store ([oac] store_folder) is {folder!r}; it must be an absolute path: a "
                "task's working directory is not predictable."
            )

    @property
    def where(self) -> str:
        """Kind and location of the store, for messages."""
        return f"the token store in {self._folder}"

    def read(self, name: str) -> bytes | None:
        """Return the bytes stored under a name; ``None`` if there are none."""
        with self._explained("read"):
            try:
                self._check_folder()
                descriptor = self._open(self._path(name), os.O_RDONLY)
            except FileNotFoundError:
                return None
            with open(descriptor, "rb") as file:
                return file.read(_LARGEST)

    def write(self, name: str, sealed: bytes, expected: bytes | None) -> bool:
        """Replace a file atomically: write a new one beside it, flush it to the disk, rename it."""
        with self._explained("written"):
            self._make_folder()
            if self.read(name) != expected:
                return False
            path = self._folder / f"{name}.new"
            # This writer holds the lock, so an existing file was left by a writer that was killed.
            path.unlink(missing_ok=True)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(sealed)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(path, self._path(name))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            # The renaming must reach the disk, too.
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return True

    def delete(self, name: str) -> None:
        """Delete the entry of a name; its lock file stays, because another process may hold the lock."""
        with self._explained("changed"), suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def read_all(self, names: Sequence[str]) -> list[bytes | OACTokenStoreError | None]:
        """Return what is stored under several names; for an unreadable one, its error."""
        outcomes: list[bytes | OACTokenStoreError | None] = []
        for name in names:
            try:
                outcomes.append(self.read(name))
            except OACTokenStoreError as problem:
                outcomes.append(problem)
        return outcomes

    def lock(self, name: str, lease: float) -> FileLock:
        """Return the lock of a name; it needs no lease, because the operating system frees it when its holder dies."""
        return FileLock(self, name)

    def open_lock(self, name: str) -> int:
        """Open the lock file of a name."""
        with self._explained("locked"):
            self._make_folder()
            return self._open(self._lock_path(name), os.O_RDWR | os.O_CREAT)

    def is_lock(self, name: str, descriptor: int) -> bool:
        """Whether an open file is still the lock file of a name, which may have been deleted and created again."""
        with self._explained("locked"):
            try:
                return os.path.samestat(os.fstat(descriptor), os.stat(self._lock_path(name), follow_symlinks=False))
            except FileNotFoundError:
                return False

    def _lock_path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.token"

    def _open(self, path: Path, flags: int) -> int:
        """Open a file of the folder without blocking; refuse a file that other users own or can access.

        The folder is this user's alone, so a link, a pipe or a device in it is a mistake and no attack.
        """
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise OACTokenStoreError(f"{path} is not a regular file. Remove it.")
            self._refuse_foreign(info, path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()

    def _check_folder(self) -> None:
        info = os.stat(self._folder)
        if not stat.S_ISDIR(info.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self._refuse_foreign(info, self._folder)

    def _refuse_foreign(self, info: os.stat_result, path: Path) -> None:
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise OACTokenStoreError(
                f"{path} belongs to user {info.st_uid} and has mode {info.st_mode & 0o777:04o}, so other users may "
                f"read or replace tokens there. It must belong to user {os.geteuid()}, who runs this process: chown "
                f"it, and chmod {'700' if path == self._folder else '600'}."
            )

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            step = {
                errno.ENOSPC: "Make room on the disk",
                errno.EDQUOT: "Make room within the quota",
                errno.EROFS: "Put the folder ([oac] store_folder) on a disk that can be written",
                errno.ELOOP: "Remove the symbolic link at the file's path",
                errno.EISDIR: "Remove the folder at the file's path",
                errno.EEXIST: f"{self._folder} must be a folder: remove the file at this path",
                errno.ENOTDIR: f"{self._folder} must be a folder: remove the file at this path",
            }.get(error.errno or 0, f"Let user {os.geteuid()}, who runs this process, read and write the folder")
            raise OACTokenStoreError(
                f"The token store in {self._folder} could not be {done} ({reason}). {step}."
            ) from error


class FileLock:
    """The lock of one name in a folder."""

    def __init__(self, store: FileStore, name: str) -> None:
        self._store = store
        self._name = name
        self._held: int | None = None

    def acquire(self) -> bool:
        """Try to take the lock; ``False`` if another process or thread holds it."""
        descriptor = self._store.open_lock(self._name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise OACTokenStoreError(
                f"{self._store.where} cannot be locked ({error.strerror}): its file system must support flock. Put "
                "it on a local disk ([oac] store_folder)."
            ) from error
        if not self._store.is_lock(self._name, descriptor):
            os.close(descriptor)
            return False
        self._held = descriptor
        return True

    def extend(self) -> bool:
        """Whether the lock is still held; it is, unless the file was deleted."""
        return self._held is not None and self._store.is_lock(self._name, self._held)

    def release(self) -> None:
        """Release the lock."""
        if self._held is not None:
            # Closing alone does not release it while a forked child has the file open, too.
            with suppress(OSError):
                fcntl.flock(self._held, fcntl.LOCK_UN)
            os.close(self._held)
            self._held = None
