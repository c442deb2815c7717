"""The ledger takes instances in: each once, each in its study, and a late one opens it anew."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.ledger import LeaseLost, Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import DeliveryState, Receipt, StudyState

from .studies import (
    AT,
    STABLE,
    STUDY,
    TERMS,
    actions,
    arrived,
    bring_to,
    capture,
    claim,
    declined,
    deliver_all,
    kept,
    read_as_positive,
    report,
    seen,
)

LATE = STABLE + timedelta(minutes=5)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def test_a_first_instance_opens_its_study(ledger: Ledger, database: Database) -> None:
    assert ledger.record(arrived()) is Receipt.NEW

    view = seen(database)
    assert view.instances == (arrived(),)
    assert (view.study.state, view.study.revision) == (StudyState.RECEIVING, 1)
    assert (view.study.received_at, view.study.touched_at) == (AT, AT)
    assert (view.study.accession_number, view.study.calling_ae_title) == ("ACC0001", "MODALITY")


def test_a_resent_instance_is_kept_once_and_counted_once(ledger: Ledger, database: Database) -> None:
    receipts = [ledger.record(arrived()), ledger.record(arrived(at=LATE))]

    assert receipts == [Receipt.NEW, Receipt.RESENT]
    assert seen(database).instances == (arrived(),)
    assert actions(database) == [("receive", "kept"), ("resend", "resent")]


def test_an_instance_that_is_known_in_another_study_belongs_to_none(ledger: Ledger, database: Database) -> None:
    stranger = replace(arrived(study=f"{STUDY}.7"), sop_instance_uid=arrived().sop_instance_uid)

    receipts = [ledger.record(arrived()), ledger.record(stranger)]

    assert receipts == [Receipt.NEW, Receipt.OF_ANOTHER_STUDY]
    assert seen(database).instances == (arrived(),)
    assert actions(database, f"{STUDY}.7") == []


def test_of_two_contents_with_one_uid_the_first_is_kept(ledger: Ledger, database: Database) -> None:
    first, second = arrived(content=b"first"), arrived(content=b"second")

    receipts = [ledger.record(first), ledger.record(second)]

    assert receipts == [Receipt.NEW, Receipt.RESENT_DIFFERENT]
    assert [instance.file for instance in seen(database).instances] == [kept(b"first")]
    assert actions(database) == [("receive", "kept"), ("resend", "resent with other content")]


def test_a_resent_instance_does_not_reopen_its_study(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    before = seen(database).study

    ledger.record(arrived(at=LATE))

    assert seen(database).study == before


def test_a_study_is_stable_when_nothing_new_has_come_for_long_enough(ledger: Ledger) -> None:
    ledger.record(arrived(1))
    ledger.record(arrived(2, at=AT + timedelta(seconds=1)))

    assert ledger.claim_stable(AT + timedelta(seconds=2.9), TERMS) is None
    claimed = ledger.claim_stable(AT + timedelta(seconds=3), TERMS)

    assert claimed is not None
    assert claimed.instances == (arrived(1), arrived(2, at=AT + timedelta(seconds=1)))
    assert (claimed.study_instance_uid, claimed.revision, claimed.attempts) == (STUDY, 1, 1)


def test_the_study_that_has_been_quiet_longest_is_claimed_first(ledger: Ledger) -> None:
    studies = [f"{STUDY}.{number}" for number in range(3)]
    for age, study in zip((1, 3, 2), studies, strict=True):
        ledger.record(arrived(study=study, at=AT - timedelta(minutes=age)))

    claimed = [claim(ledger).study_instance_uid for _ in studies]

    assert claimed == [studies[1], studies[2], studies[0]]


@pytest.mark.parametrize(
    "state",
    [StudyState.PROCESSING, StudyState.READY, StudyState.DELIVERED, StudyState.DECLINED, StudyState.FAILED],
)
def test_a_late_instance_reopens_the_study_as_the_next_revision(
    state: StudyState, ledger: Ledger, database: Database
) -> None:
    bring_to(state, database)

    assert ledger.record(arrived(2, at=LATE)) is Receipt.NEW

    study = seen(database).study
    assert (study.state, study.revision, study.attempts, study.reason) == (StudyState.RECEIVING, 2, 0, None)
    assert (study.received_at, study.touched_at) == (AT, LATE)
    assert actions(database)[-2:] == [("receive", "kept"), ("reopen", "revision 2")]
    again = claim(ledger, LATE + timedelta(seconds=2))
    assert (again.revision, len(again.instances)) == (2, 2)


def test_a_study_whose_instances_come_one_by_one_is_read_more_and_more_seldom(ledger: Ledger) -> None:
    bring_to(StudyState.READY, database=ledger._database)
    at, waits = LATE, []

    for number in range(2, 14):
        ledger.record(arrived(number, at=at))
        waits.append(next(wait for wait in (2, 4, 8, 16, 32, 64, 120) if _is_claimed(ledger, at, wait)))
        at += timedelta(hours=1)

    assert waits == [2, 2, 4, 8, 16, 32, 64, 120, 120, 120, 120, 120]


def _is_claimed(ledger: Ledger, since: datetime, seconds: int) -> bool:
    assert ledger.claim_stable(since + timedelta(seconds=seconds - 1), TERMS) is None
    claimed = ledger.claim_stable(since + timedelta(seconds=seconds), TERMS)
    if claimed is not None:
        ledger.keep_results(claimed, declined(claimed), ["pacs"], since)
    return claimed is not None


def test_an_instance_of_a_study_still_coming_in_does_not_count_as_late(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived(1))

    ledger.record(arrived(2, at=LATE))

    study = seen(database).study
    assert (study.state, study.revision, study.touched_at) == (StudyState.RECEIVING, 1, LATE)


def test_results_of_a_study_that_was_reopened_meanwhile_change_nothing(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived(1))
    claimed = claim(ledger)
    ledger.record(arrived(2, at=LATE))
    before = seen(database), actions(database)

    with pytest.raises(LeaseLost, match=STUDY):
        ledger.keep_results(claimed, read_as_positive(claimed, capture(), report()), ["pacs"], LATE)
    with pytest.raises(LeaseLost):
        ledger.fail(claimed, "ValueError", LATE)

    assert (seen(database), actions(database)) == before


def test_results_stand_with_outcomes_objects_deliveries_and_events(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived(1))
    claimed = claim(ledger)
    result = read_as_positive(claimed, capture(), report())

    ledger.keep_results(claimed, result, ["pacs", "archive"], STABLE)

    view = seen(database)
    assert (view.study.state, view.study.outcome, view.study.probability) == (StudyState.READY, "positive", 0.93)
    assert (view.study.priority, view.study.priority_reasons) == ("HIGH", result.priority_reasons)
    assert view.outcomes == result.outcomes
    assert set(view.objects) == set(result.objects)
    assert {(item.node, item.object.kind, item.state) for item in view.deliveries} == {
        (node, kind, DeliveryState.PENDING) for node in ("pacs", "archive") for kind in ("capture", "report")
    }
    assert actions(database) == [
        ("receive", "kept"),
        ("claim", "revision 1"),
        ("build", "capture"),
        ("build", "report"),
        ("read", "positive"),
        ("finish", "READY"),
    ]


def test_a_study_with_nothing_for_the_network_is_declined(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived(1))
    claimed = claim(ledger)

    ledger.keep_results(claimed, declined(claimed), ["pacs"], STABLE)

    view = seen(database)
    assert (view.study.state, view.objects, view.deliveries) == (StudyState.DECLINED, (), ())
    assert actions(database)[-2:] == [("refuse", "NOT_CHEST"), ("finish", "DECLINED")]


def test_an_unchanged_capture_of_the_next_revision_is_not_queued_again(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    ledger.record(arrived(2, at=LATE))
    again = claim(ledger, LATE + timedelta(seconds=2))

    ledger.keep_results(again, read_as_positive(again, capture(1), capture(2), report(2)), ["pacs"], LATE)

    due = Outbox(database).due("pacs", LATE)
    assert [item.object for item in due] == [capture(2), report(2)]
    assert len(seen(database).outcomes) == 2
    deliver_all(database, at=LATE)
    assert seen(database).study.state is StudyState.DELIVERED


def test_a_node_that_was_added_since_gets_the_unchanged_capture_too(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    Expiry(database).expire_results(LATE, LATE)
    ledger.record(arrived(2, at=LATE))
    again = claim(ledger, LATE + timedelta(seconds=2))

    result = read_as_positive(again, capture(1), capture(2), report(2))
    ledger.keep_results(again, result, ["pacs", "added"], LATE)

    outbox = Outbox(database)
    assert [item.object for item in outbox.due("pacs", LATE)] == [capture(2), report(2)]
    assert [item.object for item in outbox.due("added", LATE)] == [capture(1), capture(2), report(2)]
    assert Expiry(database).unknown([capture(1).file.path]) == set()
    with database.read() as connection:
        built = query(connection, AuditFilter(action="build", sop_instance_uid=capture(1).sop_instance_uid))
    assert {str(event.detail).partition(" ")[2] for event in built} == {"nodes=added", "nodes=pacs"}


def test_outcomes_of_the_next_revision_take_the_place_of_those_before(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.READY, database)
    ledger.record(arrived(2, at=LATE))
    again = claim(ledger, LATE + timedelta(seconds=2))

    ledger.keep_results(again, declined(again), ["pacs"], LATE)

    assert {item.reason for item in seen(database).outcomes} == {"NOT_CHEST"}


def test_a_failed_study_can_be_queued_again_and_no_other(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.FAILED, database)
    assert seen(database).study.reason == "ValueError"

    assert [ledger.requeue(study, LATE) for study in (STUDY, STUDY, "1.2.3")] == [True, False, False]

    study = seen(database).study
    assert (study.state, study.revision, study.reason) == (StudyState.RECEIVING, 1, None)
    assert actions(database)[-1] == ("requeue", None)
    assert claim(ledger, LATE).revision == 1


def test_a_read_study_is_marked_until_a_new_revision_comes(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    assert [ledger.mark_read(study, LATE) for study in (STUDY, "1.2.3")] == [True, False]
    assert seen(database).study.read_at == LATE
    ledger.record(arrived(2, at=LATE))

    assert seen(database).study.read_at is None
    assert ("mark-read", None) in actions(database)


def test_a_second_reading_of_the_same_revision_leaves_the_mark(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.FAILED, database)
    ledger.mark_read(STUDY, LATE)

    ledger.requeue(STUDY, LATE)

    assert seen(database).study.read_at == LATE


@pytest.mark.parametrize("state", [StudyState.READY, StudyState.DELIVERED, StudyState.DECLINED, StudyState.FAILED])
def test_any_study_that_came_to_an_end_can_be_read_again(state: StudyState, ledger: Ledger, database: Database) -> None:
    bring_to(state, database)

    assert ledger.read_again(STUDY, LATE)

    claimed = claim(ledger, LATE)
    assert (claimed.revision, claimed.rerun) == (2, 1)
    assert (claimed.previous_report is not None) == (state in {StudyState.READY, StudyState.DELIVERED})


def test_a_study_on_its_way_is_not_read_again(ledger: Ledger, database: Database) -> None:
    bring_to(StudyState.RECEIVING, database)

    assert not ledger.read_again(STUDY, LATE)
    claim(ledger)
    assert not ledger.read_again(STUDY, LATE)
    assert not ledger.read_again("1.2.3", LATE)
    assert seen(database).study.revision == 1


def test_what_was_repaired_is_in_the_log_with_the_results_and_the_latest_is_shown(
    ledger: Ledger, database: Database
) -> None:
    ledger.record(arrived(1))
    for at, repairs in ((STABLE, ("PatientSex emptied: not one of M, F, O",)), (LATE, ("StudyID added", "x left out"))):
        claimed = claim(ledger, at)
        result = read_as_positive(claimed, report(claimed.revision))
        first = replace(result.outcomes[0], repairs=repairs)
        ledger.keep_results(claimed, replace(result, outcomes=(first, *result.outcomes[1:])), (), at)
        ledger.record(arrived(2, at=at))

    with database.read() as connection:
        events = query(connection, AuditFilter(action="repair"))
    assert [(event.sop_instance_uid, event.outcome, event.at, event.detail) for event in events] == [
        (f"{STUDY}.1.1", "revision 1", STABLE, "PatientSex emptied: not one of M, F, O"),
        (f"{STUDY}.1.1", "revision 2", LATE, "StudyID added; x left out"),
    ]
    assert seen(database).repairs == (events[1],)
