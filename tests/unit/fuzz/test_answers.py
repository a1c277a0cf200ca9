"""Whatever a server answers: a value, or an error of ours that helps and holds no secret."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_oac.auth.device import device_sign_in
from airflow_provider_oac.auth.errors import auth_error
from airflow_provider_oac.auth.token_endpoint import issued_by
from airflow_provider_oac.client.calls import Call
from airflow_provider_oac.client.errors import api_error
from airflow_provider_oac.client.flows.download import ONE_ATTEMPT, PDF, TransferPlan, download
from airflow_provider_oac.client.paging import read_page
from airflow_provider_oac.client.rest import system, workbooks
from airflow_provider_oac.transport.io import Response, http_date
from airflow_provider_oac.transport.retry import retry_after
from tests.contract.rows import CALLS, PASSWORD
from tests.manual import ManualIO
from tests.unit.client.worlds import answering, run
from tests.unit.fuzz import anything
from tests.unit.fuzz.anything import OPAQUE, SETTINGS, TOKEN, few, given_or_refused, harmless, responses

NOW = 1_700_000_000.0
#: To the token service, and in any text that is a JWT.
SENT = (TOKEN, *SETTINGS.secrets)
MAKES: list[Callable[[], Call[Any]]] = [make for _operation, make in CALLS]


@few
@given(responses)
@example(Response(200, {}, b'{"access_token": "t", "expires_in": ' + b"9" * 5000 + b"}"))
@example(Response(200, {"content-type": TOKEN}, b"<html>"))
def test_a_token_answer(response: Response) -> None:
    issued = given_or_refused(SENT, issued_by, SETTINGS, response, NOW)
    if issued is not None:
        assert issued.token.access_token
        assert 0 < issued.token.lifetime < math.inf


@few
@given(responses)
def test_a_refusal_of_the_token_service(response: Response) -> None:
    harmless(auth_error(SETTINGS, response, NOW), SENT)


@few
@given(responses, st.sampled_from(MAKES))
@example(Response(302, {"location": f"https://elsewhere.example.com/?token={TOKEN}"}, b""), MAKES[0])
@example(Response(401, {}, b'{"user": "\\u001b[2J\\ud800", "status": "no"}'), MAKES[0])
@example(Response(401, {}, b'{"user": {"a": "' + TOKEN.encode() + b'"}, "status": "no"}'), MAKES[0])
@example(Response(401, {"www-authenticate": f"Bearer, not {OPAQUE}"}, b""), MAKES[0])
def test_an_error_of_oac(response: Response, make: Callable[[], Call[Any]]) -> None:
    error = api_error(make(), response, NOW, (OPAQUE,))
    assert "\n" not in harmless(error, (TOKEN, OPAQUE, PASSWORD))
    assert error.retry_after is None or 0 <= error.retry_after < math.inf


@few
@given(responses, st.sampled_from(MAKES))
def test_an_answer_of_success(response: Response, make: Callable[[], Call[Any]]) -> None:
    call = make()
    io = answering(lambda _now, _request: response)
    given_or_refused((TOKEN, PASSWORD), run, io, lambda api: api.perform(call))


@few
@given(responses)
@example(Response(200, {"content-length": "9" * 5000}, b"%PDF-"))
def test_a_download(response: Response) -> None:
    call, plan = workbooks.download("id", "export"), TransferPlan(attempts=2, not_ready_grace=1.0)
    for flow in (download(call, Mock(), PDF, plan), download(call, Mock(), None, ONE_ATTEMPT)):
        given_or_refused((TOKEN,), run, answering(lambda _now, _request: response), flow)


@pytest.mark.parametrize("length", ["²", "9" * 5000])
def test_a_length_that_is_no_number_of_bytes(length: str) -> None:
    answer = Response(200, {"content-length": length}, b"x")
    flow = download(system.get(), Mock(), None, ONE_ATTEMPT)
    assert run(answering(lambda _now, _request: answer), flow).size == 1


@few
@given(responses)
def test_a_device_sign_in(response: Response) -> None:
    io, settings = ManualIO(lambda _request: response), replace(SETTINGS, grant="device_code")
    flow = device_sign_in(io, settings, lambda _code: None, lambda _left: None)
    given_or_refused(SENT, asyncio.run, flow)


@few
@given(anything.header_texts, anything.header_texts)
@example("²", "")
@example("Thu, 01 Jan 0000 00:00:00 GMT", "Thu, 01 Jan 99999999999 00:00:00 +9999999")
def test_headers(one: str, other: str) -> None:
    moment = http_date(one)
    assert moment is None or math.isfinite(moment)
    seconds = retry_after(Response(503, {"retry-after": one, "date": other}, b""), NOW)
    assert seconds is None or 0 <= seconds < math.inf
    names = ("oa-current-page", "oa-page-count", "oa-total-items", "oa-next-page")
    page = read_page(Response(200, dict.fromkeys(names, one), b""), [])
    assert page.number is None or page.number >= 0
