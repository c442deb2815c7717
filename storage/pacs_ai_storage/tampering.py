"""Whether the audit log is as it was written: the first event that is not, by number."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, String, select, type_coerce

from .chain import START, Link, event_sha256, moment
from .schema import audit_anchors, audit_events, audit_head
from .signing import Purpose, SignedLink

_AT_ONCE = 5000
# `prune` leaves an anchor for each ten thousand events: it comes to its end before this.
_MOST_STARTS = 1000


class ManyEnds(Exception):
    """The log was changed by hand: which of its ends is the last event cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """The first event that is not as it was written, and what is wrong with it."""

    sequence: int
    what: str

    def __str__(self) -> str:
        return f"event {self.sequence} {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The events that are as they were written follow on `start` and end with `last`; `defect` is what comes next."""

    start: Link
    last: Link
    defect: Defect | None

    @property
    def events(self) -> int:
        """How many are as they were written."""
        return self.last.sequence - self.start.sequence


def current_head(connection: Connection) -> Link:
    """The last event, as the database says; raises ManyEnds where it names more than one."""
    ends = connection.execute(select(audit_head)).all()
    if len(ends) > 1:
        message = f"the database names {len(ends)} ends of the audit log (audit_head); run `pacs-ai audit verify`"
        raise ManyEnds(message)
    return _link(ends[0]) if ends else START


def anchors(connection: Connection) -> list[SignedLink]:
    """Where events were removed from the old end, oldest first."""
    rows = connection.execute(select(audit_anchors).order_by(audit_anchors.c.sequence))
    return [
        SignedLink(
            purpose=Purpose.ANCHOR,
            sequence=row.sequence,
            sha256=row.sha256,
            at=moment(row.at),
            public_key=row.public_key,
            signature=row.signature,
        )
        for row in rows
    ]


def verify(connection: Connection, public_key: str | None, heads: Sequence[SignedLink] = ()) -> Verdict:
    """Every event from the newest anchor on is held against its hash, its place, the head of the database and `heads`.

    Anchors and heads count only when `public_key` has signed them. Events appended meanwhile are seen or not, and those
    pruned meanwhile are no defect.
    """
    signed = anchors(connection)
    for _ in range(_MOST_STARTS):
        verdict = _verify_after(connection, signed, public_key, heads)
        # Anchors and pages are read one after the other, so that no writer waits: what seems gone may be pruned since.
        found, signed = signed, anchors(connection) if verdict.defect else signed
        if _newest(signed).sequence <= _newest(found).sequence:
            break
    return verdict


def _newest(signed: Sequence[SignedLink]) -> Link:
    return _link(signed[-1]) if signed else START


def _verify_after(
    connection: Connection, signed: Sequence[SignedLink], public_key: str | None, heads: Sequence[SignedLink]
) -> Verdict:
    start = _newest(signed)
    before_start = min(heads, key=lambda head: head.sequence, default=None)
    if before_start is not None and before_start.sequence < start.sequence:
        what = f"was pruned, and {_name(before_start)} names it: give heads from event {start.sequence} on alone"
        return Verdict(start=start, last=start, defect=Defect(sequence=before_start.sequence, what=what))
    for item in (*signed, *heads):
        if public_key is None or not item.is_signed_by(public_key):
            what = f"is named by {_name(item)}, which the key of this log has not signed"
            return Verdict(start=start, last=start, defect=Defect(sequence=item.sequence, what=what))
    return _walk(connection, start, heads)


def _walk(connection: Connection, start: Link, heads: Sequence[SignedLink]) -> Verdict:
    before, last = None, start
    defect = _named_otherwise(start, heads)
    for event in _events(connection) if defect is None else ():
        defect = _defect(event, before, last, start)
        if defect:
            break
        before, last = last, Link(sequence=event["id"], sha256=event["sha256"])
        defect = _named_otherwise(last, heads)
        if defect:
            break
    return Verdict(start=start, last=last, defect=defect or _wrong_end(connection, last, heads))


def _defect(event: Mapping[str, Any], before: Link | None, last: Link, start: Link) -> Defect | None:
    due = last.sequence + 1
    if event["id"] > due:
        return Defect(sequence=due, what="is missing")
    if event["id"] < due:
        return Defect(sequence=event["id"], what="was inserted")
    follows = bool(event["previous_sha256"] == last.sha256)
    if event_sha256(event) == event["sha256"]:
        return None if follows else _broken_link(last, start)
    if before is not None and _was_pushed_on(event, before, last):
        return Defect(sequence=last.sequence, what="was inserted")
    return Defect(sequence=due, what="was changed" if follows else "was changed, or is not in its place")


def _broken_link(last: Link, start: Link) -> Defect:
    due = last.sequence + 1
    if last == start:
        return Defect(sequence=due, what=f"does not follow on event {start.sequence}: its hash there is another")
    return Defect(sequence=last.sequence, what=f"was changed: event {due} carries another hash of it")


def _was_pushed_on(event: Mapping[str, Any], before: Link, last: Link) -> bool:
    """Whether the event is the one that stood a place earlier, before another was put in."""
    is_its_own = event_sha256({**event, "id": last.sequence}) == event["sha256"] != last.sha256
    return is_its_own and bool(event["previous_sha256"] == before.sha256)


def _named_otherwise(last: Link, heads: Sequence[SignedLink]) -> Defect | None:
    for head in heads:
        if head.sequence == last.sequence and head.sha256 != last.sha256:
            what = f"is not the event that {_name(head)} names: this or an earlier one was written anew"
            return Defect(sequence=last.sequence, what=what)
    return None


def _wrong_end(connection: Connection, last: Link, heads: Sequence[SignedLink]) -> Defect | None:
    longest = max(heads, key=lambda head: head.sequence, default=None)
    if longest is not None and longest.sequence > last.sequence:
        return Defect(sequence=last.sequence + 1, what=f"is missing: {_name(longest)} names event {longest.sequence}")
    ends = connection.execute(select(audit_head)).all()
    if len(ends) > 1:
        return Defect(sequence=last.sequence, what=f"is not the only end: the database names {len(ends)} (audit_head)")
    end = _link(ends[0]) if ends else START
    if end.sequence > last.sequence:
        # Between the last page and this look at the head, events may have been appended.
        newer = select(audit_events.c.id).where(audit_events.c.id > last.sequence).limit(1)
        is_growing = connection.execute(newer).first() is not None
        return None if is_growing else Defect(sequence=last.sequence + 1, what="is missing")
    if end.sequence < last.sequence:
        return Defect(sequence=end.sequence + 1, what="was inserted: the database knows of no such event")
    if end.sha256 != last.sha256:
        return Defect(sequence=last.sequence, what="is not the last event that the database has written")
    return None


def _events(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every row as it lies in the database, by number; a column that is not of its type is no fault here."""
    is_sqlite = connection.dialect.name == "sqlite"
    columns = [type_coerce(item, String).label(item.name) if is_sqlite else item for item in audit_events.columns]
    number = audit_events.c.id
    statement = select(*columns).order_by(number).limit(_AT_ONCE)
    with _any_text(connection):
        page = connection.execute(statement).mappings().all()
        while page:
            yield from (_as_hashed(row) for row in page)
            page = connection.execute(statement.where(number > page[-1]["id"])).mappings().all()


def _as_hashed(row: Mapping[Any, Any]) -> dict[str, Any]:
    event = dict(row)
    if isinstance(event["at"], datetime):
        event["at"] = moment(event["at"])
    return event


@contextmanager
def _any_text(connection: Connection) -> Iterator[None]:
    # SQLite takes bytes that are no UTF-8 as text; they are a change to be named, not an error.
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    strict = driver.text_factory
    driver.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        yield
    finally:
        driver.text_factory = strict


def _name(item: SignedLink) -> str:
    kind = "the head" if item.purpose == Purpose.HEAD else "the anchor"
    return f"{kind} of {item.at[:19]} UTC"


def _link(row: Any) -> Link:  # noqa: ANN401 - a row or what is signed
    return Link(sequence=row.sequence, sha256=row.sha256)
