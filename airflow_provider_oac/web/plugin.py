"""The plugin that puts the page "Oracle Analytics" into Airflow's web interface.

Airflow loads the plugins in every process, tasks among them: this module must stay as light as it is. What the page
needs is imported at its first request. Airflow 2.11 does not know these two attributes, and shows nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LazyApp:
    """An ASGI application that is imported when somebody first asks for it."""

    def __init__(self) -> None:
        self._app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._app is None:
            try:
                # Not on the event loop of the API server, which has others to serve.
                self._app = await asyncio.to_thread(_page)
            except Exception:
                # An Airflow that it does not know. It is not tried again: what is missing stays so.
                log.exception("The page Oracle Analytics does not work on this version of Airflow.")
                self._app = _unknown_airflow
        await self._app(scope, receive, send)


def _page() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    # Every process of Airflow loads the plugin; only the API server needs the page.
    from airflow_provider_oac.web.app import create_app

    return create_app()


async def _unknown_airflow(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands in the place of the page where it cannot be made."""
    text = (
        "This version of airflow-provider-oac does not support the page Oracle Analytics on this version of Airflow; "
        "see the API server's log. Operators, sensors and commands are not affected. Upgrade the provider, or use "
        "`python -m airflow_provider_oac`.\n"
    )
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 501, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


class OACPlugin(AirflowPlugin):
    """What the entry point ``airflow.plugins`` names."""

    name = "oracle_analytics"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": "/oac", "name": "Oracle Analytics"}]  # noqa: RUF012
    # The address is relative: Airflow's page has a base, which is right below any [api] base_url.
    external_views = [  # noqa: RUF012
        {"name": "Oracle Analytics", "href": "oac/", "destination": "nav", "category": "admin", "url_route": "oac"}
    ]
