"""What pages and API have at hand: ledger, outbox, instances, the network's card and the clock."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from pacs_ai_storage import audit
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.records import AuditEvent, Delivery, StudyRecord
from pacs_ai_storage.views import StudyFilter, StudyView, list_deliveries, list_studies, show_study, unread_studies

from pacs_ai.asking import Answer, answer, note_use, put
from pacs_ai.inference.card import ModelCard
from pacs_ai.lines.studies import waiting_study
from pacs_ai.naming import one_study
from pacs_ai.questions import Question
from pacs_ai.requeueing import requeue
from pacs_ai.worklist import PriorityPolicy, WorklistEntry, order

_OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What people do at a desk; everything that is changed has `operator` as its actor in the audit log."""

    database: Database
    store: InstanceStore
    data: Path
    card: ModelCard
    policy: PriorityPolicy
    notes_use: bool
    now: Callable[[], datetime]
    is_closing: Callable[[], bool]
    outbox: Outbox = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outbox", Outbox(self.database))
        object.__setattr__(self, "ledger", Ledger(self.database, actor=_OPERATOR))

    def worklist(self) -> list[WorklistEntry]:
        """The reading order at this moment."""
        with self.database.read() as connection:
            waiting = [waiting_study(study) for study in unread_studies(connection)]
        return order(waiting, self.policy, self.now())

    def study(self, name: str) -> StudyView:
        """Everything known of the study that is meant; raises NotFound."""
        study = one_study(self.database, name)
        with self.database.read() as connection:
            view = show_study(connection, study)
        assert view is not None
        return view

    def trail(self, study_instance_uid: str) -> list[AuditEvent]:
        """Every event of a study, oldest first."""
        with self.database.read() as connection:
            return audit.trail(connection, study_instance_uid)

    def mark_read(self, name: str) -> None:
        """Somebody has read the study; raises NotFound."""
        self.ledger.mark_read(one_study(self.database, name), self.now())

    def requeue(self, name: str, *, force: bool) -> None:
        """The study is read again; raises NotFound, or NotInThatState where it cannot be."""
        requeue(self.ledger, one_study(self.database, name), self.now(), force=force)

    def ask(self, given: audit.AuditFilter, named: str | None) -> tuple[Question, Answer]:
        """The question as it was understood, and its answer; raises WrongUsage."""
        asked = put(self.database, given, given.limit, named)
        found = answer(self.database, asked, self.now())
        if self.notes_use:
            note_use(self.database, self.now())
        return asked, found

    def events_after(self, number: int, limit: int) -> list[AuditEvent]:
        """The next events of the log after that number, in the order of the chain."""
        with self.database.read() as connection:
            return audit.following(connection, number, limit)

    def newest_event(self) -> int:
        """The number of the newest event; 0 in an empty log."""
        with self.database.read() as connection:
            return audit.newest(connection)

    def deliveries(self, choice: Choice, *, state: str | None, limit: int, skip: int) -> list[Delivery]:
        """The newest that match, newest first, after so many."""
        with self.database.read() as connection:
            return list_deliveries(connection, **asdict(choice), state=state, limit=limit, skip=skip)[::-1]

    def studies(self, wanted: StudyFilter, *, limit: int, skip: int) -> list[StudyRecord]:
        """The newest that match, newest first, after so many."""
        with self.database.read() as connection:
            return list_studies(connection, wanted, limit=limit, skip=skip)[::-1]

    def retry(self, choice: Choice) -> int:
        """What was given up, or waits, is due now; returns how many deliveries."""
        return self.outbox.retry(choice, self.now(), actor=_OPERATOR)

    def cancel(self, choice: Choice) -> int:
        """What was not accepted is never sent; returns how many deliveries."""
        return self.outbox.cancel(choice, self.now(), actor=_OPERATOR)
