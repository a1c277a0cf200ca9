"""Files made of a head, a long middle that is computed, and a tail: sent in constant memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import shake_256

#: The middle is made of blocks of this many bytes.
BLOCK = 1024 * 1024


class Filler:
    """The blocks of a middle: bytes that do not compress and that differ from block to block.

    :param seed: what the bytes are made from.
    """

    def __init__(self, seed: str) -> None:
        # No byte above 0x7e and no line end, so that a middle is also a comment of a text file.
        raw = shake_256(seed.encode()).digest(BLOCK)
        self._block = raw.translate(bytes(33 + value % 94 for value in range(256)))

    def block(self, number: int, size: int = BLOCK) -> bytes:
        """One block: its number, then bytes that are the same in all blocks."""
        return (b"%016d" % number + self._block[16:])[:size]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file: length, type, data, checksum."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


@dataclass(frozen=True)
class LongFile:
    """A file.

    :param head: what comes first.
    :param middle: how many bytes are computed in between.
    :param tail: what comes last.
    :param seed: what the middle is made from.
    :param chunked: whether the middle is made of PNG chunks, each as long as a block; otherwise it is plain bytes.
    """

    head: bytes
    middle: int
    tail: bytes
    seed: str
    chunked: bool

    @property
    def size(self) -> int:
        """The whole length."""
        return len(self.head) + self.middle + len(self.tail)

    def pieces(self, stop: int) -> Iterator[bytes]:
        """The bytes up to `stop`, a block at a time."""
        begin = 0
        for data in self._parts():
            if begin >= stop:
                return
            yield data[: stop - begin]
            begin += len(data)

    def _parts(self) -> Iterator[bytes]:
        yield self.head
        if self.middle:
            filler = Filler(self.seed)
            for number in range(-(-self.middle // BLOCK)):
                yield self._block(filler, number, min(BLOCK, self.middle - number * BLOCK))
        yield self.tail

    def _block(self, filler: Filler, number: int, size: int) -> bytes:
        if not self.chunked:
            return filler.block(number, size)
        # Private, ancillary, safe to copy: what shows a PNG passes over it.
        return png_chunk(b"paDs", filler.block(number, size - 12))
