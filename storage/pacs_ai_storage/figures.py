"""Counts and ages over the whole ledger, for whoever watches over it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from .records import DeliveryState, StudyState
from .schema import deliveries, studies


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Ages are seconds; `delivery_age` is of the oldest delivery of each node that is not accepted or given up."""

    studies: Mapping[str, int]
    deliveries: Mapping[tuple[str, str], int]
    reading_age: float
    delivery_age: Mapping[str, float]


def figures(connection: Connection, now: datetime) -> Figures:
    """The figures at this moment."""
    number = func.count().label("number")
    by_state = select(studies.c.state, number).group_by(studies.c.state)
    by_node = select(deliveries.c.node, deliveries.c.state, number).group_by(deliveries.c.node, deliveries.c.state)
    unread = select(func.min(studies.c.touched_at)).where(
        studies.c.state.in_((StudyState.RECEIVING, StudyState.PROCESSING))
    )
    waiting = (
        select(deliveries.c.node, func.min(deliveries.c.queued_at).label("since"))
        .where(deliveries.c.state.in_((DeliveryState.PENDING, DeliveryState.SENT)))
        .group_by(deliveries.c.node)
    )
    return Figures(
        studies={row.state: row.number for row in connection.execute(by_state)},
        deliveries={(row.node, row.state): row.number for row in connection.execute(by_node)},
        reading_age=_age(connection.execute(unread).scalar(), now),
        delivery_age={row.node: _age(row.since, now) for row in connection.execute(waiting)},
    )


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
