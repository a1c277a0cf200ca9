"""OACInstanceLink. That Airflow shows it is tested in a real Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_oac import links
from airflow_provider_oac.links import OACInstanceLink
from airflow_provider_oac.operators.base import OACBaseOperator


@pytest.mark.parametrize(("pushed", "link"), [("https://oac/ui/", "https://oac/ui/"), (None, ""), ("", "")])
def test_it_is_what_the_operator_pushed(monkeypatch: pytest.MonkeyPatch, pushed: str | None, link: str) -> None:
    asked: list[tuple[Any, str]] = []

    def xcom_value(ti_key: Any, key: str) -> Any:
        asked.append((ti_key, key))
        return pushed

    monkeypatch.setattr(links, "xcom_value", xcom_value)
    # Neither operator nor Connection are there where Airflow's web server asks.
    assert OACInstanceLink().get_link(None, ti_key="a task instance") == link
    assert asked == [("a task instance", "oac_instance_url")]


def test_every_operator_has_it() -> None:
    assert [type(link) for link in OACBaseOperator.operator_extra_links] == [OACInstanceLink]
