"""What a person does in Airflow's web interface, in their own words: the Connection form, our page, a DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import FrameLocator, Locator, Page, expect

# What the accordion of the form calls the part that holds a field.
SECTIONS = {
    "Sign in": ("identity_url", "scope", "user"),
    "JWT assertion": ("certificate_alias", "private_key"),
}


CONTRASTS = """body => {
  const context = document.createElement("canvas").getContext("2d");
  const light = (color) => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((one) => one / 255).map(
      (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const ground = light(getComputedStyle(body).backgroundColor);
  return [...body.querySelectorAll("*")].map((one) => getComputedStyle(one))
    .filter((style) => parseFloat(style.borderBottomWidth) > 0)
    .map((style) => light(style.borderBottomColor))
    .map((border) => Math.max(border, ground) / Math.min(border, ground));
}"""


class ConnectionForm:
    """Airflow's form for a Connection.

    :param page: the browser's page.
    :param url: of Airflow.
    """

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url
        self._dialog = page.get_by_role("dialog")

    def add(self, conn_id: str) -> None:
        """Open an empty form and choose our type from the list of types."""
        self._page.goto(f"{self._url}/connections")
        self._page.get_by_role("button", name="Add Connection").first.click()
        self._page.locator("input[name=connection_id]").fill(conn_id)
        self._dialog.get_by_role("combobox").fill("Oracle Analytics Cloud")
        self._page.get_by_role("option", name="Oracle Analytics Cloud").click()

    def edit(self, conn_id: str) -> None:
        """Open the form of a saved Connection."""
        self._page.goto(f"{self._url}/connections")
        self._row(conn_id).get_by_role("button", name="Edit Connection").click()
        expect(self._dialog.locator("input[name=host]")).to_be_visible()

    def fill(self, connection: dict[str, Any]) -> None:
        """Fill in what a Connection in Airflow's JSON form has."""
        # One section is open at a time.
        self.open("Standard Fields")
        for name in ("host", "login", "password", "port"):
            self.standard(name).fill(str(connection[name]))
        for section, names in SECTIONS.items():
            self.open(section)
            for name in names:
                self.field(name).fill(connection["extra"][name])

    def open(self, section: str) -> None:
        """Open a section of the form."""
        button = self._dialog.get_by_role("button", name=section, exact=True)
        if button.get_attribute("aria-expanded") == "false":
            button.click()

    def standard(self, name: str) -> Locator:
        """One of the fields that every Connection has."""
        return self._dialog.locator(f"input[name={name}]")

    def field(self, name: str) -> Locator:
        """One of our fields."""
        return self._dialog.locator(f"#element_{name}")

    def save(self) -> None:
        """Save, and wait until it is."""
        self._dialog.get_by_role("button", name="Save").click()
        expect(self._dialog).to_be_hidden()

    def test(self, conn_id: str) -> str:
        """Press the button that tests it; the message."""
        with self._page.expect_response("**/api/v2/connections/test") as answered:
            self._row(conn_id).get_by_role("button", name="Test Connection").click()
        said = answered.value.json()
        return f"{said.get('status')}: {said.get('message')}"

    def _row(self, conn_id: str) -> Locator:
        return self._page.get_by_role("row").filter(has=self._page.get_by_text(conn_id, exact=True))


class OraclePage:
    """The page "Oracle Analytics", in the frame that Airflow gives it."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url

    def open(self) -> None:
        """Go there as a person does: by the menu."""
        self._page.goto(self._url)
        self._page.get_by_role("button", name="Browse").click()
        self._page.get_by_role("menuitem", name="Oracle Analytics").click()
        expect(self.frame.get_by_role("heading", name="Oracle Analytics", exact=True)).to_be_visible()

    @property
    def frame(self) -> FrameLocator:
        """What is inside of the frame."""
        return self._page.frame_locator('iframe[title="Oracle Analytics"]')

    def card(self, conn_id: str) -> Locator:
        """One Connection."""
        return self.frame.locator(f'article[data-connection="{conn_id}"]')

    def theme(self, name: str) -> None:
        """Choose between light and dark, as Airflow's own menu does."""
        self._page.evaluate("name => document.documentElement.className = name", name)
        expect(self.frame.locator("html")).to_have_attribute("data-theme", name)

    def tab_to(self, what: Locator) -> None:
        """Press Tab until something of the page has the focus."""
        for _ in range(200):
            self._page.keyboard.press("Tab")
            if what.evaluate("one => one === document.activeElement && document.hasFocus()"):
                return
        raise AssertionError(f"Tab does not lead to {what}")

    def violations(self) -> list[str]:
        """What axe finds wrong with what is in the frame now, in both themes."""
        (frame,) = (frame for frame in self._page.frames if frame.parent_frame)
        frame.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text())
        found = []
        for theme in ("dark", "light"):
            self.theme(theme)
            for one in frame.evaluate("axe.run()")["violations"]:
                found += [f"{theme}: {one['id']}: {node['failureSummary']} {node['html']}" for node in one["nodes"]]
        return found

    def border_contrasts(self) -> list[float]:
        """How far the borders of all that has one stand out from the ground: ratios as WCAG defines them."""
        found: list[float] = self.frame.locator("body").evaluate(CONTRASTS)
        return found

    def press(self, conn_id: str, button: str) -> None:
        """Press a button of a Connection."""
        self.card(conn_id).get_by_role("button", name=button).click()


def approve(page: Page, code: str, user: str, password: str) -> None:
    """Decide about a sign-in on the identity domain's page."""
    page.get_by_label("Code shown on your device").fill(code)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The request was approved")).to_be_visible()
