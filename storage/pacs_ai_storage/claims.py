"""Which study is read next: one that is stable, or one whose reader went away."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, exists, or_, select

from .records import StudyState
from .rows import AnyRow
from .schema import studies

MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Which studies may be claimed, by whom, and for how long."""

    owner: str
    stable_after: timedelta
    lease: timedelta
    # While instances come in faster than this, a stable study waits, but not longer than `patience`.
    receiving_pause: timedelta = timedelta(0)
    patience: timedelta = timedelta(0)


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
        or_(~is_receiving, studies.c.touched_at <= stable_since - terms.patience),
    )
    is_abandoned = and_(studies.c.state == StudyState.PROCESSING, studies.c.lease_until < now)
    statement = select(studies).where(or_(is_stable, is_abandoned)).order_by(studies.c.touched_at).limit(1)
    return connection.execute(statement.with_for_update(skip_locked=True)).one_or_none()
