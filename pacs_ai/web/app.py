"""Every address: health and metrics, the pages, and the API with its description."""

from dataclasses import asdict

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from pacs_ai import __version__

from .access import HEALTH, Access, Sessions
from .api import build_api
from .bodies import Bounded
from .health import Health
from .html import Html
from .metrics import Measures
from .office import Office
from .pages import build_pages
from .problems import tell_problems

_LOOKED_AT = ["GET", "HEAD"]  # monitors ask either way
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def build_app(health: Health, measures: Measures, office: Office, *, token: str = "") -> FastAPI:
    """With a token everything but /healthz asks for it, as a bearer token (RFC 6750) or once in a browser."""
    sessions = Sessions(token=token)
    model = office.card.identity
    show = Html(model=f"{model.name} {model.version}", is_guarded=bool(token))
    app = FastAPI(
        title="pacs-ai",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would be put together by scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Bounded)
    app.add_middleware(Access, sessions=sessions)
    _add_state(app, health, measures)
    app.include_router(build_api(office))
    app.include_router(build_pages(office, show, sessions))
    tell_problems(app, show)

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> Response:
        return show("docs", document=app.openapi())

    return app


def _add_state(app: FastAPI, health: Health, measures: Measures) -> None:
    # Plain functions: they run in threads, so that a ledger that is slow holds up its own request alone.
    @app.api_route(HEALTH, methods=_LOOKED_AT, include_in_schema=False)
    def healthz() -> Response:
        has_failed = health.has_failed()
        return JSONResponse({"status": "failed" if has_failed else "ok"}, 503 if has_failed else 200)

    @app.api_route("/readyz", methods=_LOOKED_AT, include_in_schema=False)
    def readyz() -> Response:
        reasons = [asdict(reason) for reason in health.reasons()]
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return JSONResponse(body, 503 if reasons else 200)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(measures.text(), media_type=_TEXT)
