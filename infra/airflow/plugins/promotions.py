"""The page *Promotions* in Airflow's UI.

Every Airflow process loads this file, so what is heavy (`promotions_app`) is imported by the API server's first request alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/promotions"
BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
"""What a proxy puts before every path."""
PAGE = f"{BASE}{PREFIX}/reports/promotions.html"

Scope = MutableMapping[str, Any]


async def app(scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Awaitable[None]]) -> None:
    """ASGI; the application is built at the first request."""
    from promotions_app import application

    await application(PAGE)(scope, receive, send)


class Promotions(AirflowPlugin):
    """What Airflow reads."""

    name = "promotions"
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": "Promotions"}]  # noqa: RUF012 - Airflow's own form
    external_views = [{"name": "Promotions", "href": PAGE, "destination": "nav", "url_route": "promotions", "nav_top_level": True}]  # noqa: RUF012 - same
