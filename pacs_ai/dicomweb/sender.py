"""Store Instances as user agent: kept files go out as they lie on disk, and each gets its own outcome (PS3.18 10.5)."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from time import monotonic

from pydicom.dataset import Dataset

from pacs_ai.answers import (
    SOP_CLASS_NOT_SUPPORTED,
    TRANSFER_SYNTAX_NOT_SUPPORTED,
    HttpAnswer,
    answer_to,
    http_answer_to,
)
from pacs_ai.errors import LONGEST_REST, LimitExceeded, NotDicom, PeerUnreachable
from pacs_ai.header import PARSE_ERRORS, text
from pacs_ai.imaging.film import read_header
from pacs_ai.nodes import WebNode
from pacs_ai.parcels import Answer, Form, Parcel, SendOutcome, Wanted

from .client import AnswerLost, Connection, Reply, WebLimits, connected
from .multipart import Body, Part
from .search import is_known, refusal_of
from .statements import Statements, read_statements

_MOST_INSTANCES = 64
_ANY_SIZE = 1 << 40
_UNSUPPORTED_MEDIA_TYPE = 415
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_ASKS_FOR_ANOTHER_FORM = {SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED}


class _Rest:
    """Until when a node has asked to be left alone; over all of its associations, whoever was told so."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0

    def ask_for(self, rest: timedelta | None) -> None:
        """Nothing is sent for so long."""
        if rest is not None:
            self._until = self._clock() + rest.total_seconds()

    @property
    def left(self) -> timedelta:
        """None is longer than a node can ask for, wherever the clock goes."""
        return timedelta(seconds=max(0.0, min(self._until - self._clock(), LONGEST_REST.total_seconds())))


class WebSender:
    """Our side as user agent; `clock` counts seconds."""

    def __init__(self, limits: WebLimits | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits or WebLimits()
        self._rest = _Rest(clock)

    def send(self, node: WebNode, parcels: Sequence[Parcel]) -> Iterator[SendOutcome]:
        """One outcome for each parcel, in their order, as each request is answered.

        Raises PeerUnreachable when the node takes nothing for the moment, PeerRefused when it never will.
        """
        with connected(node, self._limits) as connection:
            storing = _Storing(node=node, connection=connection, rest=self._rest)
            for batch in _batches(parcels, node.max_request_mb << 20):
                yield from storing.store(batch)


def _batches(parcels: Sequence[Parcel], most_bytes: int) -> Iterator[list[Parcel]]:
    """Parcels of one study that follow each other, as many as fit into a request; a larger one goes alone."""
    batch: list[Parcel] = []
    total = 0
    for parcel in parcels:
        size = _size_of(parcel.path)
        is_other = bool(batch) and batch[0].study_instance_uid != parcel.study_instance_uid
        if batch and (is_other or total + size > most_bytes or len(batch) == _MOST_INSTANCES):
            yield batch
            batch, total = [], 0
        batch.append(parcel)
        total += size
    if batch:
        yield batch


def _size_of(path: Path) -> int:
    """Zero where the disk does not say it: whoever opens the file tells what is wrong with it."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A parcel in the form in which it goes out; None is the file itself."""

    parcel: Parcel
    form: Form | None

    @property
    def said(self) -> Parcel | Form:
        return self.form or self.parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What came of an attempt; `reason` is the Failure Reason, `is_named` whether the node spoke of this instance."""

    answer: Answer
    detail: str
    reason: int | None = None
    is_named: bool = True


@dataclass(slots=True, kw_only=True)
class _Storing:
    """Requests to one node; SOP classes and transfer syntaxes that it has refused are not sent again meanwhile."""

    node: WebNode
    connection: Connection
    rest: _Rest
    refused: set[tuple[str, str]] = field(default_factory=set)
    is_silent: bool = False

    def store(self, parcels: Sequence[Parcel]) -> Iterator[SendOutcome]:
        """One outcome for each parcel: sent together, and alone where the request told nothing of it."""
        attempts = [_Attempt(parcel=parcel, form=self._first_form(parcel)) for parcel in parcels]
        together = [attempt for attempt in attempts if attempt.form is None]
        verdicts = dict(zip(map(id, together), self._post(together), strict=True))
        for attempt in attempts:
            yield self._settle(attempt, verdicts.get(id(attempt)), of=len(together))

    def _settle(self, attempt: _Attempt, verdict: _Verdict | None, *, of: int) -> SendOutcome:
        if verdict is None or (not verdict.is_named and of > 1):
            verdict = self._post_alone(attempt)
        while verdict.reason in _ASKS_FOR_ANOTHER_FORM:
            self._refuse(attempt, verdict.reason)
            below = self._form_below(attempt)
            if below is None:
                break
            attempt = _Attempt(parcel=attempt.parcel, form=below)
            verdict = self._post_alone(attempt)
        form = attempt.form
        detail = " ".join(filter(None, (verdict.detail, form.name if form else "")))
        return SendOutcome(parcel=attempt.parcel, answer=verdict.answer, detail=detail, form=form)

    def _first_form(self, parcel: Parcel) -> Form | None:
        """The file, or the best form that was not refused; the file too where all were, for the node to say so."""
        if not self._is_refused(parcel):
            return None
        return next((form for form in parcel.fallbacks if not self._is_refused(form)), None)

    def _form_below(self, attempt: _Attempt) -> Form | None:
        fallbacks = attempt.parcel.fallbacks
        start = 0 if attempt.form is None else fallbacks.index(attempt.form) + 1
        return next((form for form in fallbacks[start:] if not self._is_refused(form)), None)

    def _is_refused(self, form: Parcel | Form) -> bool:
        pairs = {(form.sop_class_uid, form.transfer_syntax_uid), (form.sop_class_uid, "")}
        return not pairs.isdisjoint(self.refused)

    def _refuse(self, attempt: _Attempt, reason: int | None) -> None:
        syntax = "" if reason == SOP_CLASS_NOT_SUPPORTED else attempt.said.transfer_syntax_uid
        self.refused.add((attempt.said.sop_class_uid, syntax))

    def _post_alone(self, attempt: _Attempt) -> _Verdict:
        """The verdict of a request of its own; a node that goes away meanwhile does not take back what it has said."""
        try:
            return self._post([attempt])[0]
        except PeerUnreachable as error:
            return _Verdict(answer=Answer.TRANSIENT, detail=str(error))

    def _post(self, attempts: Sequence[_Attempt]) -> list[_Verdict]:
        """One verdict for each, from one request."""
        if not attempts:
            return []
        if left := self.rest.left:
            message = f"{self.node.address} has asked to be left alone"
            raise PeerUnreachable(message, retry_after=left)
        if self.is_silent:  # a time limit is not waited for once more for each study
            return [_not_sent("the node did not answer the request before")] * len(attempts)
        try:
            reply = self._request(attempts)
        except AnswerLost as lost:
            self.is_silent = lost.is_silence
            return [_Verdict(answer=Answer.TRANSIENT, detail=str(lost), is_named=lost.is_silence)] * len(attempts)
        except _NotReadable as error:
            return [_not_sent(str(error))] * len(attempts)
        return self._read(attempts, reply)

    def _request(self, attempts: Sequence[_Attempt]) -> Reply:
        with ExitStack() as files:
            body = Body(parts=[_open(attempt, files) for attempt in attempts], boundary=uuid.uuid4().hex)
            try:
                return self.connection.post("/studies", body, length=body.length, content_type=body.content_type)
            except OSError as error:
                raise _NotReadable(type(error).__name__) from error

    def _read(self, attempts: Sequence[_Attempt], reply: Reply) -> list[_Verdict]:
        if http_answer_to(reply.status) in (HttpAnswer.NODE_AWAY, HttpAnswer.NODE_REFUSES):
            refusal = refusal_of(self.node, reply, "STOW-RS")
            self.rest.ask_for(refusal.retry_after)
            raise refusal
        said = read_statements(reply.body)
        return [self._unless_there(attempt, reply, _verdict(attempt, reply, said)) for attempt in attempts]

    def _unless_there(self, attempt: _Attempt, reply: Reply, verdict: _Verdict) -> _Verdict:
        """An instance that was not stored because it is there already is accepted, whatever the node calls that."""
        is_open = verdict.answer is not Answer.ACCEPTED and verdict.reason not in _ASKS_FOR_ANOTHER_FORM
        if is_open and http_answer_to(reply.status) is HttpAnswer.EACH_INSTANCE and self._is_there(attempt):
            return _Verdict(answer=Answer.ACCEPTED, detail=f"{verdict.detail}; found by QIDO-RS")
        return verdict

    def _is_there(self, attempt: _Attempt) -> bool:
        """Whether the node finds the instance; False also where it takes no queries."""
        try:
            header = read_header(attempt.parcel.path, max_bytes=_ANY_SIZE)
            wanted = Wanted(
                study_instance_uid=text(header, "StudyInstanceUID"),
                series_instance_uid=text(header, "SeriesInstanceUID"),
                sop_instance_uid=attempt.said.sop_instance_uid,
            )
            return is_known(self.connection, self.node, wanted)
        except (NotDicom, LimitExceeded, OSError, PeerUnreachable):
            return False


def _verdict(attempt: _Attempt, reply: Reply, said: Statements) -> _Verdict:
    instance = attempt.said.sop_instance_uid
    if instance in said.stored:
        return _Verdict(answer=Answer.ACCEPTED, detail=str(reply.status))
    if instance in said.failed:
        reason = said.failed[instance]
        return _Verdict(answer=answer_to(reason), detail=f"{reply.status} 0x{reason:04X}", reason=reason)
    about = http_answer_to(reply.status)
    if about is HttpAnswer.EACH_INSTANCE:
        # A page that asks for a password is answered with 200 too: only what a node says it has, it has.
        detail = f"{reply.status}, and nothing said of the instance"
        return _Verdict(answer=Answer.TRANSIENT, detail=detail)
    return _Verdict(
        answer=Answer.PERMANENT if about is HttpAnswer.REQUEST_REFUSED else Answer.TRANSIENT,
        detail=f"{reply.status} {_PHRASES.get(reply.status, '')}".rstrip(),
        reason=TRANSFER_SYNTAX_NOT_SUPPORTED if reply.status == _UNSUPPORTED_MEDIA_TYPE else None,
        is_named=False,
    )


def _not_sent(why: str) -> _Verdict:
    return _Verdict(answer=Answer.TRANSIENT, detail=f"not sent: {why}", is_named=False)


class _NotReadable(Exception):
    """A file that cannot be read, or not be said in another form; its disk may be back later."""


def _open(attempt: _Attempt, files: ExitStack) -> Part:
    try:
        if attempt.form is None:
            path = attempt.parcel.path
            return Part(content=files.enter_context(path.open("rb")), size=path.stat().st_size)
        content = _encoded(attempt.form.build())
    except (*PARSE_ERRORS, OSError, RuntimeError) as error:
        raise _NotReadable(type(error).__name__) from error
    return Part(content=BytesIO(content), size=len(content))


def _encoded(dataset: Dataset) -> bytes:
    """The data set as a Part 10 file (PS3.10 7)."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
