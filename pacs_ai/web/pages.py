"""What people see in a browser: worklist, study, outbox and audit log; plain HTML without scripts."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends
from pacs_ai_storage.outbox import Choice
from pacs_ai_storage.records import DeliveryState
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEGBaseline8Bit
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pacs_ai.asking import parted, reason_of_nothing
from pacs_ai.errors import NotFound, WrongUsage
from pacs_ai.naming import chosen_deliveries
from pacs_ai.questions import IN_WORDS

from .access import COOKIE, LOGIN, SESSION_SECONDS, Sessions
from .api import AuditQuestionOfPatient, Words
from .html import Html
from .office import Office

_MOST = 200
_MOST_FIELDS = 64
_PAUSE_AFTER_WRONG_TOKEN = 1.0
_STYLE = Path(__file__).parent / "templates" / "style.css"
Form = dict[str, str]


def build_pages(office: Office, show: Html, sessions: Sessions) -> APIRouter:
    """The routes of the pages; what a form changes is answered with the page to look at next."""
    pages = APIRouter(include_in_schema=False)
    _add_entrance(pages, show, sessions)
    _add_worklist(pages, show, office)
    _add_outbox(pages, show, office)
    _add_audit(pages, show, office)
    return pages


async def _form(request: Request) -> Form:
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        message = f"a form has at most {_MOST_FIELDS} fields"
        raise WrongUsage(message) from error
    if any("\0" in value for _, value in pairs):
        message = "a form has text without U+0000"
        raise WrongUsage(message)
    return {name: value for name, value in pairs if value}


FormFields = Annotated[Form, Depends(_form)]


def _add_entrance(pages: APIRouter, show: Html, sessions: Sessions) -> None:
    @pages.get("/style.css")
    def style() -> Response:
        return Response(_STYLE.read_bytes(), media_type="text/css")

    @pages.get(LOGIN)
    def login() -> Response:
        return show("login", wrong=False) if sessions.token else RedirectResponse("/", 303)

    @pages.post(LOGIN)
    async def log_in(request: Request, form: FormFields) -> Response:
        if not sessions.token or not sessions.is_token(form.get("token", "")):
            await asyncio.sleep(_PAUSE_AFTER_WRONG_TOKEN)
            return show("login", wrong=True, status=403)
        answer = RedirectResponse("/", 303)
        is_encrypted = request.url.scheme == "https"
        remember = partial(answer.set_cookie, COOKIE, max_age=SESSION_SECONDS, httponly=True, secure=is_encrypted)
        remember(sessions.begin(), samesite="strict")
        return answer

    @pages.post("/logout")
    def log_out() -> Response:
        answer = RedirectResponse(LOGIN, 303)
        answer.delete_cookie(COOKIE)
        return answer


def _add_worklist(pages: APIRouter, show: Html, office: Office) -> None:
    @pages.get("/")
    def worklist() -> Response:
        entries = office.worklist()
        return show("worklist", entries=entries[:_MOST], more=max(0, len(entries) - _MOST), now=office.now())

    @pages.get("/studies/{uid}")
    def study(uid: str) -> Response:
        view = office.study(uid)
        said = {item.sop_instance_uid: item for item in view.outcomes}
        trail = office.trail(view.study.study_instance_uid)
        return show("study", view=view, said=said, trail=trail)

    @pages.get("/studies/{uid}/captures/{capture}")
    def picture(uid: str, capture: str) -> Response:
        kept = [
            item for item in office.study(uid).objects if (item.kind, item.sop_instance_uid) == ("capture", capture)
        ]
        path = office.store.locate(kept[0].file) if kept else None
        if path is None or not path.is_file() or kept[0].transfer_syntax_uid != JPEGBaseline8Bit:
            message = "no picture of that capture is kept"
            raise NotFound(message)
        return Response(get_frame(dcmread(path).PixelData, 0, number_of_frames=1), media_type="image/jpeg")

    @pages.post("/studies/{uid}/mark-read")
    def mark_read(uid: str) -> Response:
        office.mark_read(uid)
        return RedirectResponse("/", 303)

    @pages.post("/studies/{uid}/requeue")
    def requeue(uid: str) -> Response:
        office.requeue(uid, force=True)
        return RedirectResponse(f"/studies/{office.study(uid).study.study_instance_uid}", 303)


def _add_outbox(pages: APIRouter, show: Html, office: Office) -> None:
    @pages.get("/deliveries")
    def outbox(state: DeliveryState | None = None, node: Words | None = None) -> Response:
        found = office.deliveries(Choice(node=node), state=state, limit=_MOST, skip=0)
        return show("deliveries", found=found, states=list(DeliveryState), state=state, node=node, most=_MOST)

    @pages.post("/deliveries/retry")
    def retry(form: FormFields) -> Response:
        office.retry(_choice(office, form))
        return RedirectResponse(_next(office, form), 303)

    @pages.post("/deliveries/cancel")
    def cancel(form: FormFields) -> Response:
        office.cancel(_choice(office, form))
        return RedirectResponse(_next(office, form), 303)


def _choice(office: Office, form: Form) -> Choice:
    chosen = form.get("id"), form.get("node")
    if not any(chosen):  # a form in another encoding, say: nobody means every delivery by that
        message = "name what is meant: id or node"
        raise WrongUsage(message)
    return chosen_deliveries(office.database, *chosen)


def _next(office: Office, form: Form) -> str:
    study = form.get("study")
    return f"/studies/{office.study(study).study.study_instance_uid}" if study else "/deliveries"


def _add_audit(pages: APIRouter, show: Html, office: Office) -> None:
    def answered(given: Form) -> Response:
        try:
            question = AuditQuestionOfPatient.model_validate(given)
            asked, found = office.ask(question.filter(question.patient), question.named)
        except ValidationError as error:
            said = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_input=False))
            return show("audit", given=given, named=IN_WORDS, events=[], counted=[], error=said, status=400)
        except (WrongUsage, NotFound) as error:
            return show("audit", given=given, named=IN_WORDS, events=[], counted=[], error=str(error), status=400)
        events, counted = parted(found)
        nothing = "" if found else reason_of_nothing(office.database, asked)
        return show("audit", given=given, named=IN_WORDS, events=events, counted=counted, error=nothing)

    @pages.get("/audit")
    def audit() -> Response:
        return answered({})

    # A question is a form that is posted: a patient's ID is in no address, and in no history of a browser.
    @pages.post("/audit")
    def ask(form: FormFields) -> Response:
        return answered(form)
