"""The calls for workbooks over HTTP."""

from __future__ import annotations

import pytest

from airflow_provider_oac.client.flows.polling import wait
from airflow_provider_oac.client.ids import catalog_id
from airflow_provider_oac.client.rest import workbooks
from airflow_provider_oac.exceptions import OACApiError
from oac_simulator.launch import Simulator
from tests.drivers import Drive, SignIn
from tests.integration.flows import QUICK, oac
from tests.tasks import AUTHOR

REVENUE = catalog_id("/@Catalog/shared/Sales/Revenue by Region")


def test_details_name_the_workbook(drive: Drive, sign_in: SignIn) -> None:
    found = oac(drive, sign_in)(workbooks.get(REVENUE), AUTHOR)
    assert found.name.endswith("Revenue by Region")
    assert found.raw


def test_canvases_of_both_tabs_are_listed(drive: Drive, sign_in: SignIn) -> None:
    listed = oac(drive, sign_in)(workbooks.canvases(REVENUE), AUTHOR)
    by_tab = {tab: [canvas.name for canvas in listed if canvas.tab == tab] for tab in ("visualize", "present")}
    assert by_tab == {"visualize": ["Overview", "Europe", "Americas"], "present": ["Overview", "Europe", "Americas"]}


@pytest.mark.parametrize(("file_format", "begin"), [("pdf", b"%PDF-"), ("png", b"\x89PNG")])
def test_an_export_is_ordered_waited_for_and_fetched(
    drive: Drive, sign_in: SignIn, file_format: str, begin: bytes
) -> None:
    run = oac(drive, sign_in)
    export_id = run(workbooks.export(REVENUE, "Revenue", ["snapshot!canvas!2"], file_format, 320, 200), AUTHOR)
    work = run(wait(export_id, QUICK), AUTHOR)
    assert (work.id, work.operation) == (export_id, "CREATE_WORKBOOK_EXPORT")
    assert run(workbooks.download(REVENUE, export_id), AUTHOR).startswith(begin)


@pytest.mark.parametrize(("status", "setting"), [(422, "422"), (400, "400")])
def test_a_canvas_that_oac_does_not_know_is_refused_in_its_words(
    drive: Drive, sign_in: SignIn, clean: Simulator, status: int, setting: str
) -> None:
    clean.control.settings(unknown_canvas=setting)
    with pytest.raises(OACApiError, match="snapshot!canvas!99") as caught:
        oac(drive, sign_in)(workbooks.export(REVENUE, "x", ["snapshot!canvas!99"], "pdf"), AUTHOR)
    assert caught.value.status == status


def test_a_workbook_that_oac_does_not_know_is_an_error_in_its_words(drive: Drive, sign_in: SignIn) -> None:
    with pytest.raises(OACApiError, match="Could not list the canvases") as caught:
        oac(drive, sign_in)(workbooks.canvases(catalog_id("/@Catalog/shared/Nothing")), AUTHOR)
    assert caught.value.status == 404


def test_another_user_cannot_fetch_an_export(drive: Drive, sign_in: SignIn) -> None:
    run = oac(drive, sign_in)
    export_id = run(workbooks.export(REVENUE, "Revenue", ["snapshot!canvas!1"], "pdf"))
    run(wait(export_id, QUICK))
    with pytest.raises(OACApiError) as caught:
        run(workbooks.download(REVENUE, export_id), AUTHOR)
    assert caught.value.status == 404
