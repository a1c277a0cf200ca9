"""Fills Airflow 2's real Connection form in and saves it, as a browser does; started with that Airflow's environment.

Reads from standard input the fields for a new Connection and those to change afterwards; prints what stands in the
database after each, what the page of the edit form shows, and what its test button says, as JSON.
"""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from typing import Any

from airflow.models import Connection
from airflow.utils.session import create_session
from airflow.www.app import create_app


class Form(HTMLParser):
    """What a browser would send of a page's form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        #: The list or box whose content comes.
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "input" and found.get("name") and found.get("type") not in ("submit", "checkbox"):
            self.fields[found["name"]] = found.get("value", "")
        elif tag in ("select", "textarea"):
            self._inside = found.get("name", "")
            if tag == "textarea":
                self.fields[self._inside] = ""
        elif tag == "option" and self._inside and ("selected" in found or self._inside not in self.fields):
            self.fields[self._inside] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("select", "textarea"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self.lasttag == "textarea" and self._inside:
            self.fields[self._inside] += data


def saved(conn_id: str) -> tuple[int, dict[str, Any]]:
    """Number and content of a Connection in the database."""
    with create_session() as session:
        row = session.query(Connection).filter_by(conn_id=conn_id).one()
        return row.id, {"host": row.host, "password": row.password, "extra": row.extra_dejson}


def main() -> None:
    """See the module."""
    given = json.load(sys.stdin)
    app = create_app(testing=True)
    app.config["WTF_CSRF_ENABLED"] = False
    roles = app.appbuilder.sm
    roles.add_user("form", "a", "b", "form@localhost", roles.find_role("Admin"), "form")
    browser = app.test_client()
    browser.post("/login/", data={"username": "form", "password": "form"})
    form = Form(browser.get("/connection/add").text)
    offered = sorted(name for name in form.fields if name.startswith("extra__oac__"))
    answer = browser.post("/connection/add", data={**form.fields, **given["new"]})
    assert answer.status_code == 302, answer.text
    number, first = saved("from_form")
    page = browser.get(f"/connection/edit/{number}").text
    answer = browser.post(f"/connection/edit/{number}", data={**Form(page).fields, **given["change"]})
    assert answer.status_code == 302, answer.text
    other = Form(browser.get("/connection/add").text).fields | {"conn_id": "another", "conn_type": "http"}
    assert browser.post("/connection/add", data=other).status_code == 302, "a Connection of another type"
    print(json.dumps({"offered": offered, "first": first, "page": page, "second": saved("from_form")[1]}))


main()
