"""The routes below /promotions: the page, the reports and Data Docs that it links to, and the roll-back, guarded by Airflow's own permissions.

Whoever may read the DAG `guard` sees the page; whoever may start its runs may roll back (under the simple auth manager: user, op and admin).
"""

from __future__ import annotations

import logging
import secrets
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as AnyHttpError

from training.adapters.ports import Platform
from training.adapters.promotions_page import Live, page, write_promotions
from training.bootstrap import platform
from training.config.settings import Settings, load_settings
from training.domain.errors import ConfigError, ConflictError, DataError, LogError, NotReadyError, RightmatchError, StepError
from training.steps.by_hand import planned, roll_back
from training.steps.in_charge import moment

DAG = "guard"
LOCKED = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self'"
)
UNAUTHENTICATED, FORBIDDEN, MISSING = 401, 403, 404
CODES: dict[type[RightmatchError], int] = {ConflictError: 409, NotReadyError: 409, DataError: 422, ConfigError: 500, LogError: 503, StepError: 500}
SAID = {FORBIDDEN: f"You may not read the DAG {DAG}, and so not this page. Ask for that permission in Airflow.", MISSING: "There is no such page."}

log = logging.getLogger(__name__)
router = APIRouter()
reader = Depends(requires_access_dag("GET", param_dag_id=DAG))


class Asked(BaseModel):
    """What the person saw, and why they act."""

    before: str = Field(max_length=128)
    after: str = Field(max_length=128)
    why: str = Field(max_length=1000)


@cache
def home() -> tuple[Settings, Platform]:
    """The settings of this process and what they wire."""
    settings = load_settings()
    return settings, platform(settings)


HomeDep = Annotated[tuple[Settings, Platform], Depends(home)]


@cache
def application(at: str) -> FastAPI:
    """The application whose page is at the path `at`."""
    made = FastAPI(title="Promotions", docs_url=None, redoc_url=None, openapi_url=None)
    made.include_router(router)
    made.add_api_route("/", lambda: RedirectResponse(at), dependencies=[reader])

    @made.exception_handler(RightmatchError)
    def ours(_: Request, error: RightmatchError) -> JSONResponse:
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), 500)
        return JSONResponse({"detail": str(error)}, code)

    @made.exception_handler(AnyHttpError)
    def refused(request: Request, error: AnyHttpError) -> Response:
        if request.method != "GET":
            return JSONResponse({"detail": error.detail}, error.status_code)
        if error.status_code == UNAUTHENTICATED:
            return RedirectResponse(get_auth_manager().get_url_login(next_url=at), 303)
        text = f"<h1>{error.status_code}</h1><p>{SAID.get(error.status_code, 'Airflow could not answer.')}</p>"
        return HTMLResponse(f'<!doctype html><html lang="en"><title>Promotions</title>{text}</html>', error.status_code, headers=headers(LOCKED))

    return made


@router.get("/reports/promotions.html", dependencies=[reader])
def show(user: GetUserDep, found: HomeDep) -> HTMLResponse:
    """The page as it is now."""
    settings, wired = found
    nonce = secrets.token_urlsafe(16)
    live = Live(user.get_name(), may_roll_back(user), DAG, nonce)
    return HTMLResponse(page(settings, wired, moment(settings), live), headers=headers(f"{LOCKED}; script-src 'nonce-{nonce}'; connect-src 'self'"))


@router.get("/reports/{name}", dependencies=[reader])
def report(name: str, found: HomeDep) -> FileResponse:
    """A verdict."""
    return FileResponse(inside(found[0].reports, name), headers=headers(LOCKED))


@router.get("/data_docs/{name:path}", dependencies=[reader])
def data_docs(name: str, found: HomeDep) -> FileResponse:
    """What Great Expectations found."""
    return FileResponse(inside(found[0].data_docs, name), headers=headers(LOCKED))


@router.post("/roll-back")
def act(asked: Asked, request: Request, user: GetUserDep, found: HomeDep) -> dict[str, str | None]:
    """Put the version before in charge again, if what the person saw is still so."""
    refuse_strangers(request)
    if not may_roll_back(user):
        raise HTTPException(FORBIDDEN, f"{user.get_name()} may look but not change: a roll-back needs the permission to start runs of the DAG {DAG}.")
    settings, wired = found
    if (asked.before, asked.after) != planned(wired, None):
        raise ConflictError("Another version is in charge by now than on the page that you saw: somebody was faster. Nothing was changed; load it again.")
    change = roll_back(settings, wired, f"{user.get_name()} in Airflow", asked.why, asked.before, asked.after)
    try:
        write_promotions(settings, wired, moment(settings))
    except Exception:
        log.exception("The page of promotions was not written and shows what was before. The roll-back itself is done.")
    return {"before": change.before, "after": change.after, "by": change.by}


def may_roll_back(user: BaseUser) -> bool:
    """Whether Airflow lets `user` start runs of the DAG."""
    details = DagDetails(id=DAG, team_name=DagModel.get_team_name(DAG))
    return bool(get_auth_manager().is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, details=details, user=user))


def refuse_strangers(request: Request) -> None:
    """A page of another site must not act with this browser's session: the browser has to say that the page is Airflow's own.

    The body is JSON, which other sites may not send either. A caller without a cookie, who shows a token of its own, needs no such proof.
    """
    if "authorization" in request.headers and not request.cookies:
        return
    own = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="") or "").netloc} - {None, ""}  # a sandboxed frame's origin has none
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site not in {None, "same-origin"} or origin is None or urlsplit(origin).netloc not in own:
        raise HTTPException(FORBIDDEN, "The request did not come from Airflow's own page, so nothing was changed. Open Promotions in Airflow and try there.")


def inside(folder: Path, name: str) -> Path:
    """The file `name` of `folder`. Raises 404 where it is none, or lies elsewhere."""
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise HTTPException(MISSING)
    return found


def headers(policy: str) -> dict[str, str]:
    """Nothing is fetched from elsewhere, nothing is kept by the browser."""
    return {"Content-Security-Policy": policy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
