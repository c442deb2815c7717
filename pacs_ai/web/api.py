"""What programs ask over HTTP: JSON under /api/v1, in the words of the command line."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Security
from fastapi.security import HTTPBearer
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.outbox import Choice
from pacs_ai_storage.records import AuditEvent, DeliveryState, StudyState
from pacs_ai_storage.views import StudyFilter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from pacs_ai.asking import parted
from pacs_ai.errors import NotFound, WrongUsage
from pacs_ai.lines.deliveries import delivery_line
from pacs_ai.lines.events import event_line
from pacs_ai.lines.studies import entry_line, record_line, study_line
from pacs_ai.naming import chosen_deliveries
from pacs_ai.questions import must_be_in_order

from .news import Broadcast, News
from .office import Office

PREFIX = "/api/v1"
_MOST = 1000
_PAST = "~"
_LARGEST = 2**63 - 1  # what a database takes for a number
# What a database can look for: U+0000 is in no text of PostgreSQL, and a pattern of SQLite has an end.
Words = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$")]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # which of them depends on the zone
        message = "out of every calendar"
        raise ValueError(message) from error


Moment = Annotated[datetime, AfterValidator(_in_utc)]


# What may come instead of an answer (RFC 9457); who asks is let in before the API is reached.
_PROBLEM = {"type": "object", "properties": {"title": {"type": "string"}, "detail": {"type": "string"}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {"application/problem+json": {"schema": _PROBLEM}}}
    for status, meaning in {
        400: "The question cannot be answered as it was put",
        401: "The token is missing or wrong",
        403: "Not from this page or under this name",
        404: "There is no such study or delivery",
        409: "The study is in no state for that",
        422: "A part of the request is not what it has to be",
        503: "The ledger does not answer, or too many listen",
    }.items()
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "One event after another", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


class Page(BaseModel):
    """Some items, and where the next page begins; null when this is the last."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class PagedQuestion(BaseModel):
    """Which page; a parameter that is none of these is a mistake, and no question for everything."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=_MOST, description="At most so many items")
    cursor: int = Field(0, ge=0, le=_LARGEST, description="`next_cursor` of the page before")

    def page(self, found: list[dict[str, Any]]) -> Page:
        """The page, where one item more was looked for."""
        more = str(self.cursor + self.limit) if len(found) > self.limit else None
        return Page(items=found[: self.limit], next_cursor=more)


class StudyQuestion(PagedQuestion):
    """Which studies; times are those of the first instance."""

    state: StudyState | None = None
    since: Moment | None = None
    until: Moment | None = None
    accession: Words | None = Field(None, description="Accession Number")

    def filter(self) -> StudyFilter:
        """The same for the ledger; raises WrongUsage where nothing can be meant."""
        must_be_in_order(self.since, self.until)
        return StudyFilter(state=self.state, since=self.since, until=self.until, accession_number=self.accession)


class DeliveryQuestion(PagedQuestion):
    """Which deliveries."""

    id: Words | None = Field(None, description="SOP or Study Instance UID, the end of one, or an accession number")
    node: Words | None = None
    state: DeliveryState | None = None


class AuditQuestion(BaseModel):
    """What to look for in the audit log; what is left out asks for anything. Times without a zone are local."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None
    until: Moment | None = None
    study: Words | None = Field(None, description="Study Instance UID, the end of it, or accession number")
    instance: Words | None = Field(None, description="SOP Instance UID")
    accession: Words | None = Field(None, description="Accession Number")
    action: Words | None = Field(None, description="receive, claim, read, refuse, repair, build, deliver, …")
    outcome: Words | None = Field(None, description="positive, negative, NOT_CHEST, accepted, READY, …")
    min_probability: float | None = Field(None, ge=0, le=1)
    max_probability: float | None = Field(None, ge=0, le=1)
    model: Words | None = Field(None, description="Name and version of the network")
    calling_ae: Words | None = Field(None, description="Of studies that this AE title has sent")
    node: Words | None = None
    actor: Words | None = None
    text: Words | None = Field(None, description="Any part of actor or detail")
    named: Words | None = Field(None, description="A question that has a name; the rest narrows it")
    limit: int = Field(100, ge=1, le=_MOST)
    cursor: Words | None = Field(None, description="`next_cursor` of the page before")

    def filter(self, patient: str | None = None) -> AuditFilter:
        """The same for the ledger; raises WrongUsage for a cursor that is none."""
        return AuditFilter(
            since=self.since,
            until=self.until,
            study_instance_uid=self.study,
            sop_instance_uid=self.instance,
            accession_number=self.accession,
            patient_id=patient,
            action=self.action,
            outcome=self.outcome,
            least_probability=self.min_probability,
            greatest_probability=self.max_probability,
            model=self.model,
            calling_ae_title=self.calling_ae,
            node=self.node,
            actor=self.actor,
            text=self.text,
            before=_place(self.cursor) if self.cursor else None,
            limit=self.limit,
        )


class AuditQuestionOfPatient(AuditQuestion):
    """The same in the body of a request: an address, which proxies write down, never holds a patient's ID."""

    patient: Words | None = Field(None, description="Patient ID, exactly; never kept and never logged", repr=False)


class ChosenDeliveries(BaseModel):
    """Deliveries of an object or a study, to a node, or all of them."""

    model_config = ConfigDict(extra="forbid")

    id: Words | None = Field(None, description="SOP or Study Instance UID, the end of one, or an accession number")
    node: Words | None = None
    all: bool = False


class Changed(BaseModel):
    """How many deliveries were changed."""

    deliveries: int


class Requeue(BaseModel):
    """Whether a study that did not fail is read again too, as new objects."""

    model_config = ConfigDict(extra="forbid")

    force: bool = False


def build_api(office: Office) -> APIRouter:
    """The routes; an address that is not among them is answered with 404."""
    bearer = HTTPBearer(auto_error=False, description="The token of http.token_env, where one is set")
    api = APIRouter(prefix=PREFIX, responses=_PROBLEMS, dependencies=[Security(bearer)])
    _add_studies(api, office)
    _add_audit(api, office)
    _add_deliveries(api, office)

    @api.get("/model", summary="The card of the network")
    def model() -> dict[str, Any]:
        return office.card.document

    return api


def _add_studies(api: APIRouter, office: Office) -> None:
    @api.get("/worklist", summary="The reading order of the studies not yet read, with its reasons")
    def worklist(question: Annotated[PagedQuestion, Query()]) -> Page:
        entries = office.worklist()[question.cursor : question.cursor + question.limit + 1]
        return question.page([entry_line(entry) for entry in entries])

    @api.get("/studies", summary="The studies, read or not, the newest first")
    def studies(question: Annotated[StudyQuestion, Query()]) -> Page:
        found = office.studies(question.filter(), limit=question.limit + 1, skip=question.cursor)
        return question.page([record_line(study) for study in found])

    @api.get("/studies/{uid}", summary="Everything known of a study (UID, its end, or accession number)")
    def study(uid: str) -> dict[str, Any]:
        return study_line(office.study(uid), office.data)

    @api.post("/studies/{uid}/mark-read", status_code=204, summary="Somebody has read it: off the worklist")
    def mark_read(uid: str) -> None:
        office.mark_read(uid)

    @api.post("/studies/{uid}/requeue", status_code=204, summary="Read a study again")
    def requeue(uid: str, wanted: Requeue) -> None:
        office.requeue(uid, force=wanted.force)


def _add_audit(api: APIRouter, office: Office) -> None:
    def ask(question: AuditQuestion, patient: str | None = None) -> Page:
        one_more = replace(question.filter(patient), limit=question.limit + 1)
        events, counted = parted(office.ask(one_more, question.named)[1])
        page = events[: question.limit]
        more = _cursor(page[-1]) if len(events) > len(page) else None
        return Page(items=[*map(asdict, counted), *map(event_line, page)], next_cursor=more)

    @api.get("/audit", summary="Events of the audit log, the newest first")
    def audit(question: Annotated[AuditQuestion, Query()]) -> Page:
        return ask(question)

    @api.post("/audit/query", summary="The same, also by the ID of a patient")
    def audit_query(question: AuditQuestionOfPatient) -> Page:
        return ask(question, question.patient)

    news = News(after=office.events_after, is_over=office.is_closing)

    @api.get(
        "/events",
        summary="Events of the audit log as they are written (server-sent events)",
        response_class=StreamingResponse,
        responses=_STREAM,
    )
    async def events(request: Request, last: Annotated[int, Depends(_last_seen(office))]) -> StreamingResponse:
        return Broadcast(news, last, request.is_disconnected)


def _last_seen(office: Office) -> Callable[[str], int]:
    """The number after which events are told: that of Last-Event-ID (HTML 9.2), or else the newest."""

    def last_seen(said: Annotated[str, Header(alias="Last-Event-ID")] = "") -> int:
        newest = office.newest_event()
        is_number = said.isascii() and said.isdigit() and len(said) <= len(str(_LARGEST))
        return min(int(said), newest) if is_number else newest

    return last_seen


def _add_deliveries(api: APIRouter, office: Office) -> None:
    @api.get("/deliveries", summary="The outbox: what went where, what waits, and why; the newest first")
    def deliveries(question: Annotated[DeliveryQuestion, Query()]) -> Page:
        choice = chosen_deliveries(office.database, question.id, question.node)
        found = office.deliveries(choice, state=question.state, limit=question.limit + 1, skip=question.cursor)
        return question.page([delivery_line(item) for item in found])

    @api.post("/deliveries/retry", summary="What was given up, or waits, is sent at once")
    def retry(chosen: ChosenDeliveries) -> Changed:
        return _changed(office.retry(_choice(office, chosen)))

    @api.post("/deliveries/cancel", summary="What was not accepted is never sent")
    def cancel(chosen: ChosenDeliveries) -> Changed:
        return _changed(office.cancel(_choice(office, chosen)))


def _choice(office: Office, chosen: ChosenDeliveries) -> Choice:
    if chosen.all == bool(chosen.id or chosen.node):
        message = "name what is meant: id, node, or all alone"
        raise WrongUsage(message)
    return chosen_deliveries(office.database, chosen.id, chosen.node)


def _changed(number: int) -> Changed:
    if not number:
        message = "no delivery of those is open or was given up"
        raise NotFound(message)
    return Changed(deliveries=number)


def _cursor(event: AuditEvent) -> str:
    at = event.at.astimezone(UTC).replace(tzinfo=None)
    return f"{at.isoformat()}Z{_PAST}{event.identity}"  # no plus sign, which is a blank in an address


def _place(cursor: str) -> tuple[datetime, int]:
    at, _, said = cursor.partition(_PAST)
    message = "cursor: not the next_cursor of a page"
    try:
        place = _in_utc(datetime.fromisoformat(at)), int(said)
    except ValueError as error:
        raise WrongUsage(message) from error
    if not 0 <= place[1] <= _LARGEST:
        raise WrongUsage(message)
    return place
