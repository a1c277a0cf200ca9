"""Workbooks: canvases, exports that are real files, downloads that break."""

from __future__ import annotations

import re
import zlib
from contextlib import nullcontext
from io import BytesIO
from typing import Any

import pytest
import requests
import urllib3
from pypdf import PageObject, PdfReader

from oac_simulator.launch import launch
from tests.simulator.sim_caller import AUTHOR, EXPORT, Caller, encoded

REGIONS = "/shared/Sales/All Regions"
CANVAS = "snapshot!canvas!{}"


def body(*numbers: int, **changes: Any) -> dict[str, Any]:
    return {**EXPORT, "canvasIds": [CANVAS.format(number) for number in numbers], **changes}


def order(sim: Caller, plain: str, wanted: dict[str, Any], **kwargs: Any) -> requests.Response:
    return sim.oac("POST", f"/catalog/workbooks/{encoded(plain)}/exports", json=wanted, **kwargs)


def path_of(reply: requests.Response) -> str:
    """The path of the download that belongs to an order."""
    assert reply.status_code == 202, reply.text
    return str(reply.json()["resourceUri"]).removeprefix("/api/20210901")


def exported(sim: Caller, plain: str, wanted: dict[str, Any], **kwargs: Any) -> str:
    """Order an export and wait; returns the path of the download."""
    reply = order(sim, plain, wanted, **kwargs)
    assert sim.ended(reply)["status"] == "SUCCEEDED"
    return path_of(reply)


def pages(data: bytes) -> list[PageObject]:
    """The pages of a PDF, all of whose objects are where its cross references point."""
    assert (data[:8], data[-6:]) == (b"%PDF-1.4", b"%%EOF\n")
    reader = PdfReader(BytesIO(data), strict=True)
    for number in range(1, reader.trailer["/Size"]):
        reader.get_object(number)
    return list(reader.pages)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, with their checksums verified."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, found = 8, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert zlib.crc32(kind + content) == int.from_bytes(data[place + 8 + size : place + 12 + size], "big")
        found.append((kind, content))
        place += 12 + size
    return found


def test_canvases(sim: Caller) -> None:
    found = sim.oac("POST", f"/catalog/workbooks/{encoded(REGIONS)}/actions/getCanvases").json()
    assert found["visualizeCanvases"][0] == {"canvasId": CANVAS.format(1), "canvasName": "Region 1"}
    assert [canvas["isEnabled"] for canvas in found["presentCanvases"]] == ["true"] * 6 + ["false"]
    assert found["presentCanvases"][2]["visualizeCanvasId"] == CANVAS.format(3)
    board = "/shared/Board/Board Pack"
    assert sim.status(f"POST /catalog/workbooks/{encoded(board)}/actions/getCanvases", user=AUTHOR) == 403
    assert order(sim, board, body(1), user=AUTHOR).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"name": None}, {"type": "mail"}, {"format": "xls"}, {"canvasIds": []}, {"canvasIds": "a"},
        {"canvasIds": [1]}, {"canvasIds": ["a" * 2001]}, {"canvasIds": [CANVAS.format(n) for n in range(1, 7)]},
        {"screenwidth": 3601}, {"screenwidth": 4000}, {"screenheight": 0}, {"screenheight": "600"},
        {"screenheight": True}, {"screenheight": None},
    ],
)  # fmt: skip
def test_what_an_export_refuses(sim: Caller, changes: dict[str, Any]) -> None:
    reply = order(sim, REGIONS, {**body(1), **changes})
    assert (reply.status_code, reply.json().keys()) == (400, {"code", "message"})
    assert sim.control.work_requests("dev") == []


def test_canvases_that_cannot_be_exported(sim: Caller) -> None:
    for canvas, how, status in (
        ("snapshot!presentcanvas!7", "422", 412), ("snapshot!presentcanvas!6", "422", 202),
        (CANVAS.format(9), "422", 422), (CANVAS.format(9), "404", 404), (CANVAS.format(9), "fail", 202),
    ):  # fmt: skip
        sim.control.settings(unknown_canvas=how)
        reply = order(sim, REGIONS, body(canvasIds=[canvas]))
        assert reply.status_code == status
    assert sim.ended(reply)["Errors"][0]["code"] == "InvalidCanvas"
    assert sim.status(f"GET {path_of(reply)}") == 404, "an export that failed has no file"


def test_where_the_id_of_an_export_is(sim: Caller) -> None:
    reply = order(sim, REGIONS, body(1))
    export_id = reply.headers["oa-work-request-id"]
    assert (export_id[:5], path_of(reply).rpartition("/exports/")[2]) == ("biwj-", export_id)
    work = sim.ended(reply)
    assert (work["operationType"], work["resources"][0]["id"]) == ("CREATE_WORKBOOK_EXPORT", export_id)
    sim.control.settings(export_id_in="body")
    assert "oa-work-request-id" not in order(sim, REGIONS, body(1)).headers
    sim.control.settings(export_id_in="header")
    assert order(sim, REGIONS, body(1)).content == b""


def test_the_permission_schedule_workbooks_can_be_needed(sim: Caller) -> None:
    sim.control.settings(export_needs_permission=True)
    assert order(sim, REGIONS, body(1)).status_code == 202, "administrators hold it"
    for privileges, status in (([], 403), (["ScheduleWorkbooks"], 202)):
        sim.control.user(AUTHOR, privileges=privileges)
        assert order(sim, REGIONS, body(1), user=AUTHOR).status_code == status


def test_a_pdf_has_a_page_for_each_canvas(sim: Caller) -> None:
    reply = sim.oac("GET", exported(sim, REGIONS, body(1, 3, 5, name="Re(port) \u00e4"), user=AUTHOR), user=AUTHOR)
    assert reply.headers["Content-Type"] == "application/pdf"
    assert reply.headers["Content-Disposition"].startswith('attachment; filename="Re(port) _.pdf"; filename*=UTF-8')
    assert not {"ETag", "Accept-Ranges"} & set(reply.headers)
    found = pages(reply.content)
    assert [(page.mediabox.width, page.mediabox.height) for page in found] == [(600, 450)] * 3
    texts = [page.extract_text() for page in found]
    assert [text for text in texts if "All Regions" not in text or f"Exported by {AUTHOR}" not in text] == []
    assert [re.findall(r"Region (\d)", text) for text in texts] == [["1"], ["3"], ["5"]]


def test_a_png_has_the_canvases_below_one_another(sim: Caller) -> None:
    reply = sim.oac("GET", exported(sim, REGIONS, body(1, 2, format="PNG")))
    assert reply.headers["Content-Type"] == "image/png"
    found = chunks(reply.content)
    assert found[0][1][:8] == (800).to_bytes(4, "big") + (1200).to_bytes(4, "big")
    assert found[-1] == (b"IEND", b"")
    pixels = zlib.decompress(b"".join(content for kind, content in found if kind == b"IDAT"))
    assert (len(pixels), set(pixels)) == (1200 * 801, {0, 1, 2, 3})
    assert any(b"oac.admin@example.com" in content for kind, content in found if kind == b"iTXt")


def test_the_smallest_picture(sim: Caller) -> None:
    pdf, png = (sim.oac("GET", exported(sim, REGIONS, body(1, format=kind, screenwidth=1, screenheight=1))).content
                for kind in ("pdf", "png"))  # fmt: skip
    assert pages(pdf)
    assert chunks(png)


@pytest.mark.parametrize("size", [5_000, 1_048_576, 3_500_001])
def test_files_of_any_size_are_whole(sim: Caller, size: int) -> None:
    sim.control.settings(export_size=size)
    pdf = sim.oac("GET", exported(sim, REGIONS, body(1, 2))).content
    assert pages(pdf)
    assert len(pdf) == size
    png = sim.oac("GET", exported(sim, REGIONS, body(1, format="png", screenwidth=100, screenheight=50))).content
    assert chunks(png)[-1] == (b"IEND", b"")
    assert size <= len(png) <= size + 28


def test_a_download_that_comes_too_early_or_too_late_or_is_not_theirs(sim: Caller) -> None:
    sim.control.settings(work_seconds=600.0)
    reply = order(sim, REGIONS, body(1))
    path = path_of(reply)
    assert sim.status(f"GET {path}") == 404
    sim.control.settings(export_early="409")
    assert [sim.status(f"GET {path}"), sim.status(f"GET {path}", user=AUTHOR)] == [409, 404]
    sim.control.finish("dev", reply.headers["oa-work-request-id"])
    assert sim.status(f"GET {path}") == 200
    assert [export["plain"] for export in sim.control.exports("dev")] == ["/@Catalog" + REGIONS]
    assert sim.status(f"GET {path.replace(encoded(REGIONS), encoded('/shared/Finance/Twelve Months'))}") == 404
    sim.control.settings(export_lifetime=0.001)
    assert sim.status(f"GET {path}") == 404


def test_a_download_without_a_length(sim: Caller) -> None:
    sim.control.settings(export_size=2_500_000)
    path = exported(sim, REGIONS, body(1))
    whole = sim.oac("GET", path).content
    sim.control.settings(export_length=False)
    bare = sim.oac("GET", path)
    assert ("Content-Length" in bare.headers, bare.content == whole) == (False, True)


DOWNLOAD = "GET /catalog/workbooks/{urlBase64WorkbookId}/exports/{exportId}"


@pytest.mark.parametrize("fault", ["drop_middle", "truncate", "short"])
def test_a_stream_that_ends_at_a_byte(sim: Caller, fault: str) -> None:
    sim.control.settings(export_size=5_000_000)
    path = exported(sim, REGIONS, body(1))
    whole = sim.oac("GET", path).content
    sim.control.fault(DOWNLOAD, fault, at=3_000_123)
    reply = sim.oac("GET", path, stream=True)
    got = bytearray()
    with pytest.raises((urllib3.exceptions.HTTPError, OSError)) if fault != "short" else nullcontext():
        for piece in reply.raw.stream(65536, decode_content=False):
            got += piece
    assert whole.startswith(bytes(got))
    assert (len(got) == 3_000_123) if fault != "drop_middle" else (0 < len(got) <= 3_000_123)
    assert reply.headers["Content-Length"] == ("3000123" if fault == "short" else "5000000")
    assert sim.oac("GET", path).content == whole


#: Eight times what the simulator may need for it.
LARGE = 256 * 1024**2


def test_a_large_file_costs_the_simulator_no_memory() -> None:
    with launch(instances=["dev"], work_seconds=0.0) as simulator:
        sim = Caller(simulator)
        exported(sim, REGIONS, body(1))
        before = peak(simulator.process.pid)
        sim.control.settings(export_size=LARGE, access_token_ttl=3600)
        reply = sim.oac("GET", exported(sim, REGIONS, body(1)), stream=True)
        assert sum(map(len, reply.iter_content(1024 * 1024))) == LARGE
        assert peak(simulator.process.pid) - before < 32 * 1024


def peak(pid: int) -> int:
    """The most memory that a process ever held, in KiB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(text.split()[1]) for text in file if text.startswith("VmHWM"))
