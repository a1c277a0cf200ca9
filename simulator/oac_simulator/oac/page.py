"""A page of an exported workbook."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True)
class Page:
    """One exported canvas.

    :param workbook: name of the workbook.
    :param canvas: name of the canvas.
    :param user: the exporting user, whose permissions determine the content.
    :param instance: name of the instance.
    :param when: time of the export.
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
        # Every export of one canvas shows the same bars.
        digest = sha256(f"{self.workbook}/{self.canvas}".encode()).digest()
        object.__setattr__(self, "values", [0.1 + 0.9 * byte / 255 for byte in digest[:12]])

    @property
    def lines(self) -> list[str]:
        """The lines of text on the page, the workbook's name first."""
        return [self.workbook, self.canvas, f"Exported by {self.user}", f"Instance {self.instance}, {self.when}"]
