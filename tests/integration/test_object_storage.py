"""Under a name there is only ever a whole file: in every kind of store, when writing fails, and when it is killed."""

from __future__ import annotations

import os
import re
import secrets
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_oac import _compat
from airflow_provider_oac.exceptions import OACStorageError
from airflow_provider_oac.hooks import object_storage
from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink
from tests.integration.stores import Bucket, attach_store

OLD, NEW = b"the old file", b"the new file, " * 1000


@pytest.fixture(params=["local", "bucket", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder in a store: one that moves atomically, one that can discard, and one that can neither."""
    Bucket.empty()
    attach_store("bucket", Bucket())
    attach_store("memory", MemoryFileSystem())
    yield {"local": f"file://{tmp_path}/exports", "bucket": "bucket://b/exports", "memory": "memory://m/exports"}[
        request.param
    ]
    Bucket.empty()
    MemoryFileSystem.store.clear()


def files(destination: Destination) -> list[str]:
    """Names of all files beside the destination."""
    fs: Any = destination.fs
    if isinstance(fs, Bucket):
        return sorted(path.rpartition("/")[2] for path in Bucket.objects)
    parent = destination.path.rpartition("/")[0]
    return sorted(path.rpartition("/")[2] for path in fs.find(parent)) if fs.exists(parent) else []


def test_a_file_is_what_was_committed_last(folder: str) -> None:
    destination = Destination(f"{folder}/board.pdf")
    assert destination.size() is None
    destination.remove()
    with pytest.raises(OACStorageError, match=r"Could not read .*board\.pdf"):
        destination.read()
    for content in (OLD, NEW):
        sink, before = ObjectStorageSink(destination), destination.size()
        sink.write(content[:5])
        sink.write(content[5:])
        assert destination.size() == before
        sink.commit()
        assert (destination.size(), destination.read()) == (len(content), content)
        assert files(destination) == ["board.pdf"]
    sink.write(OLD)
    for _ in range(2):
        sink.discard()
        assert destination.read() == NEW
        assert files(destination) == ["board.pdf"]


@pytest.mark.parametrize(
    ("name", "in_uri"),
    [("board 100%.pdf", "board 100%.pdf"), ("Report #1.pdf", "Report %231.pdf"), ("Q?.pdf", "Q%3F.pdf")],
)
def test_a_file_is_reported_as_lineage_when_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, in_uri: str
) -> None:
    lineage = import_module(_compat.get_hook_lineage_collector.__module__)
    # Airflow's own, which it gives only where a plugin reads it.
    collector = lineage.HookLineageCollector()
    monkeypatch.setattr(_compat, "get_hook_lineage_collector", lambda: collector)
    sink = ObjectStorageSink(Destination(f"file://{tmp_path}/{name}"))
    sink.write(NEW)
    assert not collector.has_collected
    sink.commit()
    kept = getattr(collector, "collected_assets", None) or collector.collected_datasets
    (output,) = kept.outputs
    assert (getattr(output, "asset", None) or output.dataset).uri == f"file://{tmp_path}/{in_uri}"


@pytest.mark.parametrize("name", ["Board [1].pdf", "B*.pdf", "What?.pdf", "[a-z].pdf"])
def test_a_name_is_no_pattern(folder: str, name: str) -> None:
    mine, other = Destination(f"{folder}/mine.pdf"), Destination(f"{folder}/Board.pdf")
    # Not from a URL, in which a question mark begins a query.
    mine.path = mine.path.replace("mine.pdf", name)
    sinks = ObjectStorageSink(mine, "w"), ObjectStorageSink(other, "w")
    for sink, content in zip(sinks, (OLD, NEW), strict=True):
        sink.write(content)
    for sink in sinks:
        sink.commit()
    assert (mine.read(), other.read()) == (OLD, NEW)
    assert files(mine) == sorted([name, "Board.pdf"])
    sinks[0].write(NEW)
    sinks[0].discard()
    mine.remove()
    assert files(mine) == ["Board.pdf"]


class Slow(MemoryFileSystem):
    """Says that it copies, and does so after some looks, as Azure may."""

    protocol = "slow"
    looks = 0

    def cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        self.todo = (path1, path2)
        self.pipe_file(path2, b"")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        if getattr(self, "todo", ("", ""))[1] == path:
            self.looks -= 1
            if self.looks == 0:
                super().cp_file(*self.todo)
        found: dict[str, Any] = super().info(path, **options)
        return found


@pytest.mark.parametrize("looks", [2, -1])
def test_what_is_copied_is_kept_until_the_copy_is_whole(looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(object_storage, "_COPYING", 0.2)
    slow = Slow()
    slow.looks = looks
    attach_store("slow", slow)
    destination = Destination("slow://m/board.pdf")
    sink = ObjectStorageSink(destination, "w")
    sink.write(NEW)
    failure = pytest.raises(OACStorageError, match=rf"{len(NEW)} bytes were written, but .*board\.pdf has 0")
    with failure if looks < 0 else nullcontext():
        sink.commit()
    kept = destination.path if looks > 0 else slow.todo[0]
    assert slow.cat_file(kept) == NEW
    sink.discard()
    assert files(destination) == ["board.pdf"]
    MemoryFileSystem.store.clear()


def test_leftovers_of_former_writers_are_removed_before_the_first_byte(folder: str) -> None:
    destination = Destination(f"{folder}/board.pdf")
    mine = [".board.pdf.mark-0123456789abcdef-1.part", ".board.pdf.mark-0f-2.part"]
    # Of this try, a later one, another task, another file.
    others = [f".{name}.part" for name in (
        "board.pdf.mark-0f-3", "board.pdf.mark-0f-4", "board.pdf.mark2-0f-1", "board.pdf.0f-1", "board.png.mark-0f-1"
    )]  # fmt: skip
    for name in [*mine, *others]:
        Destination(f"{folder}/{name}").write(b"half")
    sink = ObjectStorageSink(destination, "mark", 3)
    assert files(destination) == sorted([*mine, *others])
    sink.write(NEW)
    sink.commit()
    # A store that can discard never has any.
    assert files(destination) == sorted([*others, "board.pdf", *(mine if folder.startswith("bucket") else [])])


def test_what_is_beside_is_new_unguessable_and_for_its_owner_only(tmp_path: Path) -> None:
    destination = Destination(f"{tmp_path}/board.pdf")
    seen = set()
    for umask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        before = os.umask(umask)
        try:
            sink = ObjectStorageSink(destination, "mark", 1)
            sink.write(NEW)
            (half,) = tmp_path.glob(".*")
            assert re.fullmatch(r"\.board\.pdf\.mark-[0-9a-f]{16}-1\.part", half.name)
            assert stat.S_IMODE(half.stat().st_mode) == 0o600
            seen.add(half.name)
            sink.commit()
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "board.pdf").stat().st_mode) == mode
        assert files(destination) == ["board.pdf"]
    assert len(seen) == 3


@pytest.mark.parametrize("trap", ["link", "file"])
def test_nothing_that_is_there_is_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    # As if somebody had guessed.
    monkeypatch.setattr(secrets, "token_hex", lambda _bytes: "ab")
    beside, victim = tmp_path / ".board.pdf.ab-1.part", tmp_path / "victim"
    victim.write_bytes(OLD)
    beside.symlink_to(victim) if trap == "link" else os.link(victim, beside)
    sink = ObjectStorageSink(Destination(f"{tmp_path}/board.pdf"))
    with pytest.raises(OACStorageError, match=r"Could not write .*board\.pdf \(FileExistsError"):
        sink.write(NEW)
    sink.discard()
    assert (victim.read_bytes(), (tmp_path / "board.pdf").exists()) == (OLD, False)


@pytest.mark.parametrize("letter", ["a", "売"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, letter: str) -> None:
    name = letter * (250 // len(letter.encode()))
    one, other = (Destination(f"{tmp_path}/{name}{end}.pdf") for end in "xy")
    sinks = [ObjectStorageSink(destination, "0123456789abcdef", 12) for destination in (one, other)]
    for sink in sinks:
        sink.write(NEW)
    for sink in sinks:
        sink.commit()
    assert files(one) == [f"{name}x.pdf", f"{name}y.pdf"]


@pytest.fixture
def large() -> Iterator[ObjectStorageSink]:
    """A file of several parts in a bucket."""
    Bucket.empty()
    attach_store("bucket", Bucket())
    yield ObjectStorageSink(Destination("bucket://b/large.pdf"))
    assert Bucket.objects == {}
    Bucket.empty()


def test_an_upload_that_is_discarded_is_not_sent_when_it_is_collected(large: ObjectStorageSink) -> None:
    large.write(b"x" * 6_000_000)
    (upload,) = Bucket.uploads
    large.discard()
    assert (upload.state, upload.closed) == ("discarded", True)


def test_a_store_that_refuses_is_named_with_what_it_said(large: ObjectStorageSink) -> None:
    Bucket.refuse = PermissionError("AccessDenied")
    with pytest.raises(OACStorageError, match=r"Could not write bucket://b/large\.pdf \(PermissionError: AccessDenied"):
        large.write(b"x" * 6_000_000)
    large.discard()


def test_a_store_that_nobody_knows_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(OACStorageError, match="oci-typo"):
        Destination("oci-typo://bucket/board.pdf")


FULL_DISK = """
    import resource, signal, sys
    from airflow_provider_oac.hooks.object_storage import Destination, ObjectStorageSink
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    sink = ObjectStorageSink(Destination(sys.argv[1]))
    try:
        for _ in range(20):
            sink.write(b"x" * 100_000)
        sink.commit()
    except Exception as problem:
        print(type(problem).__name__, problem)
        sink.discard()
"""


def test_a_disk_that_is_full_leaves_neither_a_half_file_nor_a_leftover(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, as it does on a full disk."""
    Destination(f"{tmp_path}/board.pdf").write(OLD)
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), f"{tmp_path}/board.pdf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r"OACStorageError .*board\.pdf.*File too large", done.stdout)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"board.pdf": OLD}
