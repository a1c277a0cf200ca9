"""A store that keeps an upload apart until it is committed, as the fsspec packages for S3, Google and OCI do."""

from __future__ import annotations

from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2.11
    from airflow.io.store import attach


class Bucket(AbstractFileSystem):
    """Objects by path. An object is there when its upload is committed, and not before.

    It has no folders, and its files take whole blocks as S3 does.
    """

    protocol = "bucket"
    cachable = False
    # Of all buckets, so that a test may look at what an operator made.
    objects: ClassVar[dict[str, bytes]] = {}
    uploads: ClassVar[list[Upload]] = []
    refuse: ClassVar[Exception | None] = None

    @classmethod
    def empty(cls) -> None:
        cls.objects.clear()
        cls.uploads.clear()
        cls.refuse = None

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Upload:
        return Upload(self, path, mode, **options)

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        if path not in self.objects:
            raise FileNotFoundError(path)
        return {"name": path, "size": len(self.objects[path]), "type": "file"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        self.info(path)
        return self.objects[path][start:end]

    def rm_file(self, path: str) -> None:
        self.info(path)
        del self.objects[path]

    def cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        self.objects[path2] = self.objects[path1]


class Upload(AbstractBufferedFile):
    """A multipart upload."""

    def __init__(self, fs: Bucket, path: str, mode: str, **options: Any) -> None:
        super().__init__(fs, path, mode, **options)
        self.parts: list[bytes] | None = None
        self.state = "open"

    def _initiate_upload(self) -> None:
        self.parts = []
        Bucket.uploads.append(self)

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self.parts is not None
        if Bucket.refuse is not None:
            raise Bucket.refuse
        self.parts.append(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        assert self.parts is not None
        Bucket.objects[self.path] = b"".join(self.parts)
        self.state = "committed"

    def discard(self) -> None:
        self.buffer = None
        self.state = "discarded"


def attach_store(scheme: str, fs: AbstractFileSystem) -> None:
    """Let Airflow find a store by its scheme, as if a provider had registered it."""
    fsspec.register_implementation(scheme, type(fs), clobber=True)
    attach(scheme, fs=fs)
