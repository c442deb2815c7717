"""Which study is read next: one that is stable, or one whose reader went away."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, exists, literal, or_, select, update

from .records import StudyState
from .rows import AnyRow
from .schema import UtcDateTime, studies

MAX_ATTEMPTS = 3
# A restart may be anybody's doing; so many in a row while the same study is read are that study's.
MAX_RESTARTS = 50
# From the fourth on each revision waits twice as long to be quiet as the one before: a study whose images come one by
# one is not read once for each of them. It is two minutes at most, or as long as the first where that is longer.
_NOT_DOUBLED, _MOST_DOUBLED = 3, 7
_MOST_QUIET = timedelta(minutes=2)
# `studies.lease` has room for 64 characters, 13 of which tell the leases of an owner apart.
_LONGEST_OWNER = 51


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Which studies may be claimed, by whom, and for how long."""

    owner: str
    stable_after: timedelta
    lease: timedelta
    # While instances come in faster than this, a stable study waits, but not longer than `patience`.
    receiving_pause: timedelta = timedelta(0)
    patience: timedelta = timedelta(0)


def most_attempts(study: AnyRow) -> int:
    """How often the study may have been begun: one whose reader is gone, or one that waits since a restart."""
    return MAX_ATTEMPTS if study.state == StudyState.PROCESSING else MAX_RESTARTS


def new_lease(owner: str) -> str:
    """A lease that no other has, of at most 64 characters."""
    return f"{leases_of(owner)}{uuid.uuid4().hex[:12]}"


def leases_of(owner: str) -> str:
    """What all leases of this owner begin with, and those of no other."""
    if len(owner) > _LONGEST_OWNER:  # the name of a host alone may have 64 characters
        digest = hashlib.sha256(owner.encode()).hexdigest()[:32]
        owner = f"{owner[: _LONGEST_OWNER - len(digest) - 1]}~{digest}"
    return f"{owner}#"


def set_back(connection: Connection, now: datetime, terms: ClaimTerms) -> Sequence[AnyRow]:
    """Studies of a time that is yet to come are of now; returns them as they were.

    After the clock was set back they would wait until it has caught up. A lease ends as if it was given now, so that
    a reader that lives renews it in time.
    """
    farthest = now + 2 * terms.lease
    is_ahead = or_(
        and_(studies.c.state == StudyState.RECEIVING, studies.c.touched_at > farthest),
        and_(studies.c.state == StudyState.PROCESSING, studies.c.lease_until > farthest),
    )
    found = connection.execute(select(studies).where(is_ahead).with_for_update(skip_locked=True)).all()
    for study in found:
        is_leased = study.state == StudyState.PROCESSING
        values = {"lease_until": now + terms.lease} if is_leased else {"touched_at": now}
        this = studies.c.study_instance_uid == study.study_instance_uid
        connection.execute(update(studies).where(this).values(**values))
    return found


def claimable(connection: Connection, now: datetime, terms: ClaimTerms) -> AnyRow | None:
    """The row, locked, of the study that has been quiet longest or whose lease ran out; None when there is none."""
    stable_since = now - terms.stable_after
    arriving = studies.alias("arriving")
    is_receiving = exists().where(
        arriving.c.state == StudyState.RECEIVING,
        arriving.c.touched_at > now - terms.receiving_pause,
        arriving.c.touched_at <= now,  # a postponed study lies ahead
    )
    is_stable = and_(
        studies.c.state == StudyState.RECEIVING,
        studies.c.touched_at <= stable_since,
        studies.c.touched_at <= _quiet_since(now, terms.stable_after),
        or_(~is_receiving, studies.c.touched_at <= stable_since - terms.patience),
    )
    is_abandoned = and_(studies.c.state == StudyState.PROCESSING, studies.c.lease_until < now)
    statement = select(studies).where(or_(is_stable, is_abandoned)).order_by(studies.c.touched_at).limit(1)
    return connection.execute(statement.with_for_update(skip_locked=True)).one_or_none()


def _quiet_since(now: datetime, stable_after: timedelta) -> ColumnElement[datetime]:
    """Since when a study of that revision has to be quiet."""
    longest = max(stable_after, _MOST_QUIET)
    waits = [min(stable_after * 2**doubled, longest) for doubled in range(_MOST_DOUBLED + 1)]
    since = [literal(now - wait, UtcDateTime) for wait in waits]
    whens = [(studies.c.revision <= _NOT_DOUBLED + doubled, moment) for doubled, moment in enumerate(since)]
    return case(*whens, else_=since[-1])


def reopen(connection: Connection, study: AnyRow, *, touched_at: datetime, revision: int, attempts: int = 0) -> None:
    """The study waits to be read, as this revision, once it has been quiet since that time."""
    connection.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study.study_instance_uid)
        .values(
            state=StudyState.RECEIVING,
            revision=revision,
            touched_at=touched_at,
            lease=None,
            lease_until=None,
            attempts=attempts,
            reason=None,
            settled_at=None,
            # A revision is news to whoever read the one before; a restart is not.
            read_at=study.read_at if revision == study.revision else None,
        )
    )
