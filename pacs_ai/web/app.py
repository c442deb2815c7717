"""The addresses: /healthz, /readyz and /metrics."""

import hmac
from collections.abc import Callable
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .health import Health
from .metrics import Measures

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
Endpoint = Callable[[Request], Response]


def build_app(health: Health, measures: Measures, *, token: str = "") -> Starlette:
    """With a token everything but /healthz asks for it (RFC 6750)."""

    # Plain functions: Starlette runs them in threads, so that a ledger that is slow holds up its own request alone.
    def healthz(_request: Request) -> Response:
        has_failed = health.has_failed()
        return JSONResponse({"status": "failed" if has_failed else "ok"}, 503 if has_failed else 200)

    def readyz(_request: Request) -> Response:
        reasons = [asdict(reason) for reason in health.reasons()]
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return JSONResponse(body, 503 if reasons else 200)

    def metrics(_request: Request) -> Response:
        return Response(measures.text(), media_type=_TEXT)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", _with_token(readyz, token)),
            Route("/metrics", _with_token(metrics, token)),
        ]
    )


def _with_token(endpoint: Endpoint, token: str) -> Endpoint:
    if not token:
        return endpoint

    def guarded(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        return endpoint(request)

    return guarded
