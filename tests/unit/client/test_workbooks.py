"""What is refused before OAC is asked, which canvases are meant, and what a file is made of."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from airflow_provider_oac.auth.session import MemoryStore, Session
from airflow_provider_oac.client.api import Api
from airflow_provider_oac.client.calls import Call, nothing
from airflow_provider_oac.client.file_names import NAME_BYTES, plain_name
from airflow_provider_oac.client.flows.export import Export, WantedFile, name_of, planned
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.client.rest.workbooks import PRESENT, VISUALIZE, Canvas, chosen
from airflow_provider_oac.exceptions import OACConfigurationError
from tests.manual import ManualIO, response
from tests.unit.client.worlds import OAC, SETTINGS, answering

WORKBOOK = catalog_id("/shared/Sales/Board")


T = TypeVar("T")


def canvas(number: int, name: str | None = None, tab: str = VISUALIZE) -> Canvas:
    kind = "canvas" if tab == VISUALIZE else "presentcanvas"
    return Canvas(f"snapshot!{kind}!{number}", name or f"Canvas {number}", tab, True, {})


LISTED = [canvas(1), canvas(2), canvas(3, "Twice"), canvas(4, "Twice"), canvas(1, tab=PRESENT)]
LISTED += [canvas(2, "Story", PRESENT)]
IDS = {number: f"snapshot!canvas!{number}" for number in range(1, 5)}


def wanted(file_format: str = "pdf") -> WantedFile:
    return WantedFile("a label", f"s3://b/x/Board.{file_format}", WORKBOOK, "Board", file_format, 1440, 900)


def test_an_export_has_the_canvases_and_the_size_that_are_wanted() -> None:
    body = workbooks.export(WORKBOOK, "Board", ["a", "b"], "png", 3600, 1).body
    assert (body["canvasIds"], body["screenwidth"], body["screenheight"]) == (["a", "b"], 3600, 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"canvas_ids": ["x"] * 6}, "1 to 5 canvases, not 6"),
        ({"canvas_ids": []}, "1 to 5 canvases, not 0"),
        ({"canvas_ids": ["x" * 2001]}, "1 to 2000 characters, but .* has 2001"),
        ({"canvas_ids": [""]}, "1 to 2000 characters"),
        ({"file_format": "PDF"}, "'pdf' or 'png', not 'PDF'"),
        ({"file_format": "xlsx"}, "'pdf' or 'png'"),
        ({"width": 4000}, "width must be a whole number of 1 to 3600 pixels, not 4000"),
        ({"height": 3601}, "height .* not 3601"),
        ({"height": 0}, "height .* not 0"),
        ({"width": 1440.5}, r"width .* not 1440\.5"),
        ({"width": True}, "width .* not True"),
        ({"workbook_id": ""}, "names something, but it is"),
    ],
)
def test_what_oac_would_refuse_is_refused_before(change: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"workbook_id": WORKBOOK, "name": "n", "canvas_ids": ["x"], "file_format": "pdf"}
    with pytest.raises(OACConfigurationError, match=says):
        workbooks.export(**{**arguments, **change})


def test_canvases_of_both_tabs_are_read_and_unknown_members_kept() -> None:
    one = {"canvasId": "v1", "canvasName": "One", "colour": "red"}
    two = {"canvasId": "p1", "canvasName": "One", "isEnabled": "false", "visualizeCanvasId": "v1"}
    answer = response(200, json.dumps({"visualizeCanvases": [one], "presentCanvases": [two]}))
    assert workbooks.canvases(WORKBOOK).read(answer) == [
        Canvas("v1", "One", VISUALIZE, True, one), Canvas("p1", "One", PRESENT, False, two)
    ]  # fmt: skip
    assert workbooks.canvases(WORKBOOK).read(response(200, "{}")) == []


def test_details_are_read_leniently() -> None:
    found = workbooks.get(WORKBOOK).read(response(200, '{"name": "Board", "owner": null, "x": 1}'))
    assert (found.name, found.owner, found.id, found.raw["x"]) == ("Board", "", "", 1)
    assert workbooks.get(WORKBOOK, ["name", "content"]).query == {"fields": "name,content"}


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (None, [*IDS.values()]),
        (["Canvas 2", "Canvas 1"], [IDS[2], IDS[1]]),
        (["snapshot!presentcanvas!1"], ["snapshot!presentcanvas!1"]),
        (["Story"], ["snapshot!presentcanvas!2"]),
        ([IDS[4], "Canvas 1"], [IDS[4], IDS[1]]),
    ],
)
def test_canvases_are_chosen_by_name_or_id_in_the_order_wanted(names: list[str] | None, ids: list[str]) -> None:
    assert [item.id for item in chosen(LISTED, names)] == ids


@pytest.mark.parametrize(
    ("listed", "names", "says"),
    [
        ([canvas(1, tab=PRESENT)], None, "no canvas in its visualize tab"),
        (
            LISTED,
            ["Canvas 9"],
            r"no canvas 'Canvas 9', by name or by id\. It has: 'Canvas 1' \(snapshot!canvas!1, visu",
        ),
        (LISTED, ["Twice"], rf"2 canvases are named 'Twice': {IDS[3]}, {IDS[4]}\. Give the id"),
        (LISTED, ["Canvas 1", IDS[1]], f"{IDS[1]} is given twice"),
        (LISTED, [], "No canvas given"),
    ],
)
def test_a_canvas_that_is_not_there_or_not_one_is_named(
    listed: list[Canvas], names: list[str] | None, says: str
) -> None:
    with pytest.raises(OACConfigurationError, match=says):
        chosen(listed, names)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (5, [5]), (6, [5, 1]), (23, [5, 5, 5, 5, 3])])
def test_a_pdf_is_one_file_of_exports_of_five_canvases(count: int, sizes: list[int]) -> None:
    canvases = [canvas(number) for number in range(count)]
    (file,) = planned(wanted(), canvases)
    assert [len(export.canvas_ids) for export in file.exports] == sizes
    assert [item for export in file.exports for item in export.canvas_ids] == [item.id for item in canvases]
    assert (file.url, file.canvases) == ("s3://b/x/Board.pdf", tuple(item.name for item in canvases))


@pytest.mark.parametrize(
    ("count", "names"), [(1, "canvas '0'"), (3, "canvases '0', '1', '2'"), (5, "canvases '0', '1', '2' and 2 more")]
)
def test_a_message_names_workbook_and_canvases(count: int, names: str) -> None:
    canvases = [canvas(number, str(number)) for number in range(count)]
    assert [file.label for file in planned(wanted(), canvases)] == [f"a label, {names}"]
    assert [file.label for file in planned(wanted("png"), canvases)] == [f"a label, canvas '{i}'" for i in range(count)]


@pytest.mark.parametrize(
    ("canvases", "urls"),
    [
        ([canvas(7)], [""]),
        (
            [canvas(1, "Übersicht / Q1"), canvas(2, "../../etc"), canvas(3, "***")],
            ["-01-Übersicht_Q1", "-02-etc", "-03-unnamed"],
        ),
        ([canvas(number) for number in range(100)], [f"-{number + 1:03}-Canvas_{number}" for number in range(100)]),
    ],
    ids=["one canvas", "several", "a hundred"],
)
def test_pngs_are_files_with_number_and_name_of_the_canvas(canvases: list[Canvas], urls: list[str]) -> None:
    files = planned(wanted("png"), canvases)
    assert [file.url for file in files] == [f"s3://b/x/Board{url}.png" for url in urls]
    assert [file.exports for file in files] == [(Export((canvas.id,)),) for canvas in canvases]


@pytest.mark.parametrize("text", ["../x", "a/b", "..", "x\\y", "a:b*?[c]"])
def test_a_name_never_leads_elsewhere(text: str) -> None:
    assert not set("/\\:*?[]") & set(plain_name(text))
    assert plain_name(text) not in ("", ".", "..")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("カ\u3099ハ\u3099ナンス", "ガバナンス"),
        ("Börse", "Börse"),
        ("Bo\u0308rse", "Börse"),
        ("हिन्दी रिपोर्ट", "हिन्दी_रिपोर्ट"),
        ("a\u200cb", "ab"),
        ("売上　レポート", "売上_レポート"),
        ("a__b\u0336", "a__b\u0336"),
        ("Q1 / Q2: 50 % 🚀", "Q1_Q2_50"),
        ("🏳\ufe0f\u200d🌈", "unnamed"),
        ("a 🏳\ufe0f b\u0336", "a_b\u0336"),
        ("\u0301", "unnamed"),
        ("\ud800", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_a_name_keeps_its_letters_and_marks(text: str, name: str) -> None:
    assert plain_name(text) == name
    assert plain_name(unicodedata.normalize("NFD", text)) == plain_name(text)


@pytest.mark.parametrize("letter", ["a", "é", "売", "𠮷"])
def test_a_name_is_no_longer_than_a_file_system_takes(letter: str) -> None:
    name = plain_name(letter * 300)
    assert NAME_BYTES - 8 < len(f"{name}.pdf".encode()) <= NAME_BYTES
    file = replace(wanted("png"), url=f"s3://out/{name}.png")
    for made in planned(file, [canvas(number, letter * 299 + str(number)) for number in range(120)]):
        folder, _, last = made.url.rpartition("/")
        assert (folder, len(last.encode()) <= NAME_BYTES) == ("s3://out", True)
        assert last.startswith(letter * 20)
    assert len({made.url for made in planned(file, [canvas(1, letter * 299), canvas(2, letter * 300)])}) == 2


@pytest.mark.parametrize(
    ("workbook_id", "name"),
    [
        (catalog_id("/@Catalog/shared/Sales/Board"), "Board"),
        (catalog_id("/shared/Sales/Börse") + "=", "Börse"),
        ("no-base64-!", "no-base64-!"),
        ("abc", "abc"),
    ],
)
def test_the_name_stands_in_the_id(workbook_id: str, name: str) -> None:
    assert name_of(workbook_id) == name


class Threads(ManualIO):
    """Notes that something runs in a thread."""

    events: list[str]

    async def to_thread(self, function: Callable[[], T]) -> T:
        self.events.append("thread")
        return function()


def test_a_download_is_reported_beside_the_event_loop() -> None:
    """The report may load Airflow's plugins, which takes half a second."""
    io = answering(response(200, b"%PDF", {"content-type": "application/pdf"}), Threads)
    io.events = events = []  # type: ignore[attr-defined,var-annotated]
    call = Call("download an export", "GET", "/x", nothing, item="'admin'.'Board'")
    asyncio.run(Api(io, OAC, Session(SETTINGS, MemoryStore()), on_read=events.append).perform(call))
    assert events[-2:] == ["thread", "'admin'.'Board'"]
