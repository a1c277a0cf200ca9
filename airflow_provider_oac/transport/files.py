"""Read the files that a Connection names, if it may name them.

Every user who may edit Connections chooses the names. A name must not hang the process (a FIFO, a device). If the
deployment limits Connections to a folder, a name must not reveal anything about a file outside that folder.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath

# How OpenSSL names the certificates of a folder: by a hash of the subject.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d{1,4}")


class NamedFileError(Exception):
    """A file that cannot be used.

    Its text is the problem, as a sentence without its subject (the file), such as ``is empty``.
    """


def read_file(path: str, folder: str | None, largest: int) -> tuple[bytes, int]:
    """Read a regular file, and return its content and its permissions.

    :param path: its absolute or ``~`` path.
    :param folder: the folder that Connections are limited to, if any.
    :param largest: maximum size in bytes.
    :raises NamedFileError: if it cannot be used; never while another exception is handled, as its text may hold a
        piece of a secret that looks like a path.
    """
    with _opened(path, folder, largest) as (descriptor, _, info):
        if stat.S_ISDIR(info.st_mode):
            raise NamedFileError("is a directory")
        return _content(descriptor, largest), stat.S_IMODE(info.st_mode)


def read_authorities(path: str, folder: str | None, largest: int) -> bytes:
    """Read certificate authorities: a regular file, or the files of a folder that OpenSSL would read.

    The parameters and the errors are those of :func:`read_file`; ``largest`` limits all files of a folder together.
    """
    with _opened(path, folder, largest) as (descriptor, resolved, info):
        if not stat.S_ISDIR(info.st_mode):
            return _content(descriptor, largest)
        names = sorted(name for name in os.listdir(descriptor) if _HASHED.fullmatch(name))
    found, problem = b"", "holds no certificate under a name that OpenSSL reads (run `openssl rehash` in it)"
    for name in names:
        try:
            found += read_file(os.path.join(resolved, name), folder, largest - len(found))[0] + b"\n"
        except NamedFileError as error:
            found, problem = b"", f"holds {name}, which {error}"
            break
    if not found:
        raise NamedFileError(problem)
    return found


def _content(descriptor: int, largest: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        # Some files, such as those in /proc, do not report their size. If such a file has no data yet, read returns
        # None.
        content = file.read(largest + 1) or b""
    _check_size(len(content), largest)
    if not content:
        raise NamedFileError("is empty")
    return content


def _existing_part(path: str) -> str:
    """The longest part of a path that exists; empty if there is none (an unknown user's ``~``).

    Only this part can be shown: the rest may be a piece of a secret that starts with a slash.
    """
    with suppress(ValueError):
        path = os.path.expanduser(path)
    while path:
        try:
            os.lstat(path)
        except (OSError, ValueError):
            path = "" if path == os.path.dirname(path) else os.path.dirname(path)
        else:
            break
    return path


@contextmanager
def _opened(path: str, folder: str | None, largest: int) -> Iterator[tuple[int, str, os.stat_result]]:
    """The open file or folder, its path with links resolved, and its ``stat`` result."""
    resolved = _resolve(path, folder)
    try:
        # Check its kind first: opening a device may have effects.
        _check_kind(os.stat(resolved), largest)
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
            # A FIFO may have replaced it since.
            _check_kind(info, largest)
            yield descriptor, resolved, info
        finally:
            os.close(descriptor)
        return
    except (FileNotFoundError, NotADirectoryError):
        problem = "does not exist on this machine"
    except PermissionError:
        problem = f"may not be read by this process (user id {os.geteuid()})"
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({type(error).__name__})"
    raise NamedFileError(f"{problem} (of its path, {_existing_part(path)!r} exists)")


def _resolve(path: str, folder: str | None) -> str:
    """The path without links, if Connections may name it."""
    with suppress(ValueError):
        path = os.path.expanduser(path)
    # Check before any access to the disk: an error must not reveal whether a file outside the folder exists.
    allowed = not folder or (".." not in PurePath(path).parts and PurePath(path).is_relative_to(folder))
    if allowed:
        with suppress(OSError, ValueError):  # Opening it reports the problem.
            path = os.path.realpath(path)
        allowed = not folder or PurePath(path).is_relative_to(os.path.realpath(folder))
    if not allowed:
        raise NamedFileError(
            f"lies outside of {folder}, the only folder with files that Connections may name ([oac] file_folder)"
        )
    return path


def _check_kind(info: os.stat_result, largest: int) -> None:
    if stat.S_ISREG(info.st_mode):
        _check_size(info.st_size, largest)
    elif not stat.S_ISDIR(info.st_mode):
        raise NamedFileError("is not a regular file")


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise NamedFileError(f"is larger than {largest} bytes")
