"""The plugin that adds the page "Oracle Analytics" to Airflow's web interface.

Airflow loads plugins in every process, including tasks, so this module must stay light. The page's imports happen at
its first request. Airflow 2.11 ignores the plugin's attributes and shows nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class LazyApp:
    """An ASGI application that is imported at its first request."""

    def __init__(self) -> None:
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            try:
                # In a thread: the API server's event loop also serves other requests.
                module = await asyncio.to_thread(import_module, f"{__package__}.app")
                self._app = module.create_app()
            except Exception:
                # The page does not support this version of Airflow. A later attempt would fail too.
                log.exception("The page Oracle Analytics does not work on this version of Airflow.")
                self._app = _unknown_airflow
        await self._app(scope, receive, send)


async def _unknown_airflow(scope: Scope, receive: Receive, send: Send) -> None:
    """The page on a version of Airflow that it does not support."""
    text = (
        "This version of airflow-provider-oac does not support the page Oracle Analytics on this version of Airflow; "
        "see the API server's log. Operators, sensors and commands are not affected. Upgrade the provider, or use "
        "`python -m airflow_provider_oac`.\n"
    )
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 501, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


# Whether the menu shows the entry to the user of a request.
_shown: ContextVar[bool] = ContextVar("oac_menu_entry", default=True)


class MenuEntries(list[dict[str, str]]):
    """The entries in Airflow's menu; none for some users, because Airflow has no permissions for plugins' entries."""

    def __iter__(self) -> Iterator[dict[str, str]]:
        return super().__iter__() if _shown.get() else iter(())


class MenuRights:
    """When Airflow's interface requests the plugins, asks the page whether it has something for the user.

    :param app: Airflow's API server.
    :param page: the page.
    """

    def __init__(self, app: App, page: App) -> None:
        self._app = app
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        base, plugins, _ = scope.get("path", "").partition("/api/v2/plugins")
        if scope["type"] == "http" and plugins:
            _shown.set(await self._has_something(scope, base))
        await self._app(scope, receive, send)

    async def _has_something(self, scope: Scope, base: str) -> bool:
        status = 0

        async def keep(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        async def no_body() -> MutableMapping[str, Any]:
            return {"type": "http.request"}

        at = {"method": "GET", "root_path": f"{base}/oac", "path": f"{base}/oac/menu", "query_string": b""}
        try:
            await self._page({**scope, **at}, no_body, keep)
        except Exception:
            log.exception("The page Oracle Analytics failed; Airflow's menu shows its entry.")
        return status != 404


_page_app = LazyApp()


class OACPlugin(AirflowPlugin):
    """The plugin that the entry point ``airflow.plugins`` names."""

    name = "oracle_analytics"
    fastapi_apps = [{"app": _page_app, "url_prefix": "/oac", "name": "Oracle Analytics"}]  # noqa: RUF012
    fastapi_root_middlewares = [  # noqa: RUF012
        {"middleware": MenuRights, "kwargs": {"page": _page_app}, "name": "Oracle Analytics"}
    ]
    # The address is relative to the <base> of Airflow's page, which is correct for any [api] base_url.
    external_views = MenuEntries(
        [{"name": "Oracle Analytics", "href": "oac/", "destination": "nav", "category": "browse", "url_route": "oac"}]
    )
