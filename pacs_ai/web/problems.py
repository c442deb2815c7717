"""What went wrong, as problem details (RFC 9457); what was looked for in the audit log is not repeated."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pacs_ai_storage.database import LedgerUnavailable
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pacs_ai.errors import NotFound, NotInThatState, WrongUsage

from .html import Html

_WHOLE_BODY = "body (JSON, with Content-Type: application/json)"


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of this status, with its reason phrase as title."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def tell_problems(app: FastAPI, show: Html) -> None:
    """The errors that are foreseen are answered as problems, and as a page where a browser asked for one."""

    def told(request: Request, error: Exception) -> Response:
        status, detail = _said(error)
        if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return problem(status, detail, headers=getattr(error, "headers", None))
        return show("problem", status=status, title=HTTPStatus(status).phrase, detail=detail)

    for foreseen in (NotFound, WrongUsage, LedgerUnavailable, HTTPException, RequestValidationError):
        app.exception_handler(foreseen)(told)


def _said(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        said = (f"{'.'.join(map(str, item['loc'][1:])) or _WHOLE_BODY}: {item['msg']}" for item in error.errors())
        return 422, "; ".join(said)
    statuses = {NotFound: 404, NotInThatState: 409, WrongUsage: 400, LedgerUnavailable: 503}
    return statuses[type(error)], str(error)
