"""What is on a page of an exported workbook."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True)
class Page:
    """One canvas on paper.

    :param workbook: the workbook's name.
    :param canvas: the canvas's name.
    :param user: who exported: an export shows what this user may see.
    :param instance: where.
    :param when: the time.
    :param width: in pixels.
    :param height: in pixels.
    """

    workbook: str
    canvas: str
    user: str
    instance: str
    when: str
    width: int
    height: int
    values: list[float] = field(init=False)

    def __post_init__(self) -> None:
        # Bars that look alike in every export of one canvas.
        digest = sha256(f"{self.workbook}/{self.canvas}".encode()).digest()
        object.__setattr__(self, "values", [0.1 + 0.9 * byte / 255 for byte in digest[:12]])

    @property
    def lines(self) -> list[str]:
        """The words on the page, the workbook's name first."""
        return [self.workbook, self.canvas, f"Exported by {self.user}", f"Instance {self.instance}, {self.when}"]
