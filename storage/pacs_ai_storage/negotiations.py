"""What each node takes, as the last deliveries have shown: remembered, and told in the audit log when it changes."""

from datetime import datetime

from sqlalchemy import Connection, and_, or_, select, update

from . import audit
from .records import AuditEvent, DeliveredForm, NegotiatedForm
from .rows import insert_new, negotiated_form
from .schema import negotiated_forms


def remember(connection: Connection, node: str, kind: str, form: DeliveredForm, now: datetime) -> None:
    """The form stands for the node and this kind of object; an event is in the log when it did not stand before."""
    decided = {
        "name": form.name,
        "sop_class_uid": form.sop_class_uid,
        "transfer_syntax_uid": form.transfer_syntax_uid,
        "decided_at": now,
    }
    if insert_new(connection, negotiated_forms, {"node": node, "kind": kind, **decided}):
        _append(connection, node, "decided", f"{kind}: {form.name}", now)
        return
    column = negotiated_forms.c
    this = and_(column.node == node, column.kind == kind)
    before = connection.execute(select(column.name).where(this)).scalar_one()
    # Deliveries to a node run at the same time: the row itself says which of them saw the change first.
    differs = or_(column.sop_class_uid != form.sop_class_uid, column.transfer_syntax_uid != form.transfer_syntax_uid)
    if connection.execute(update(negotiated_forms).where(this, differs).values(**decided)).rowcount:
        _append(connection, node, "changed", f"{kind}: {form.name}; before: {before}", now)


def negotiated(connection: Connection, node: str) -> list[NegotiatedForm]:
    """What is remembered of a node, by kind of object."""
    statement = select(negotiated_forms).where(negotiated_forms.c.node == node).order_by(negotiated_forms.c.kind)
    return [negotiated_form(row) for row in connection.execute(statement)]


def _append(connection: Connection, node: str, outcome: str, detail: str, now: datetime) -> None:
    audit.append(connection, AuditEvent(at=now, actor=node, action="negotiate", outcome=outcome, detail=detail))
