"""A file goes once its work is done and its hours are over, and never before; what was said of it stays."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pacs_ai_storage.audit import KEPT_AGAIN, AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import Receipt, StudyState
from pacs_ai_storage.tampering import verify
from pydicom import dcmread

from pacs_ai.keeping import Keeping
from pacs_ai.results.verification import check_report
from pacs_ai.settings import Settings
from pacs_ai.stores import now as real_now
from tests.fakes import Clock

from .peers import Archive, push
from .services import radiograph, running
from .studies import (
    AT,
    STABLE,
    STUDY,
    actions,
    arrived,
    capture,
    claim,
    declined,
    deliver_all,
    read_as_positive,
    report,
    seen,
)

pytestmark = pytest.mark.timeout(180)
# What holds on both databases is shown by some; a database of PostgreSQL takes half a second to make.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MINUTE, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=48), timedelta(days=30)
LATER = STABLE + HOURS


class Kept:
    """One study of one instance, with files, up to a state."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.ledger, self.outbox = database, Ledger(database), Outbox(database)
        self.store, self.clock = InstanceStore(folder), Clock()
        self.keeping = Keeping(
            expiry=Expiry(database),
            store=self.store,
            instances=HOURS,
            results=DAYS,
            now=self.clock,
            sweep_every=MINUTE,
        )

    def arrive(self, number: int = 1, *, at: datetime = AT) -> Path:
        instance = arrived(number, at=at)
        file = self.store.keep([instance.sop_instance_uid.encode()])
        self.ledger.record(replace(instance, file=file))
        return self.age(self.store.locate(file))

    def age(self, path: Path) -> Path:
        os.utime(path, (STABLE.timestamp(), STABLE.timestamp()))
        return path

    def read(self, *, is_declined: bool = False) -> list[Path]:
        claimed = claim(self.ledger)
        items = [capture(1), report(1)]
        files = [self.store.keep([item.sop_instance_uid.encode()]) for item in items]
        result = read_as_positive(claimed, *(replace(item, file=file) for item, file in zip(items, files, strict=True)))
        self.ledger.keep_results(claimed, declined(claimed) if is_declined else result, ["pacs"], STABLE)
        return [self.age(self.store.locate(file)) for file in files]

    def deliver(self) -> None:
        deliver_all(self.database)

    def pass_to(self, at: object) -> None:
        self.clock.at = at  # type: ignore[assignment]
        while self.keeping.remove_some():
            pass


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> Kept:
    return Kept(database, tmp_path / "instances")


def test_an_instance_goes_when_its_hours_are_over_and_its_results_stay(kept: Kept) -> None:
    instance, results = kept.arrive(), kept.read()
    kept.deliver()

    kept.pass_to(LATER - timedelta(seconds=1))
    before = instance.is_file()
    kept.pass_to(LATER)

    view = seen(kept.database)
    assert (before, instance.is_file(), [path.is_file() for path in results]) == (True, False, [True, True])
    assert view.instances[0].gone_at == LATER
    assert actions(kept.database)[-1] == ("expire", "instance")
    assert (len(view.outcomes), len(view.readings), view.study.state) == (1, 1, StudyState.DELIVERED)


@on_sqlite
def test_results_go_by_their_own_hours_and_the_log_stays_whole(kept: Kept) -> None:
    kept.arrive()
    results = kept.read()
    kept.deliver()

    kept.pass_to(STABLE + DAYS)

    assert [path.is_file() for path in results] == [False, False]
    assert [event for event in actions(kept.database) if event[0] == "expire"] == [
        ("expire", "instance"),
        ("expire", "capture"),
        ("expire", "report"),
    ]
    with kept.database.read() as connection:
        assert verify(connection, None).defect is None


@on_sqlite
def test_an_instance_never_goes_before_its_results_are_delivered(kept: Kept) -> None:
    instance, results = kept.arrive(), kept.read()
    (first, second) = kept.outbox.due("pacs", STABLE)
    kept.outbox.accept(first, STABLE, "0x0000")
    kept.outbox.give_up([second], STABLE, "0xA900")

    kept.pass_to(STABLE + 10 * DAYS)

    assert all(path.is_file() for path in (instance, *results))


@on_sqlite
def test_what_was_not_read_yet_or_failed_is_kept(kept: Kept) -> None:
    instance = kept.arrive()
    kept.pass_to(LATER)
    kept.ledger.fail(claim(kept.ledger), "ValueError", STABLE)

    kept.pass_to(STABLE + 10 * DAYS)

    assert instance.is_file()


@on_sqlite
def test_the_hours_of_a_declined_study_begin_when_it_was_declined(kept: Kept) -> None:
    instance = kept.arrive()
    kept.read(is_declined=True)

    kept.pass_to(LATER)

    assert not instance.is_file()


@on_sqlite
def test_the_hours_of_a_study_of_which_everything_was_cancelled_begin_then(kept: Kept) -> None:
    instance = kept.arrive()
    kept.read()
    kept.outbox.cancel(Choice(), STABLE + HOURS, actor="operator")

    kept.pass_to(LATER)
    before = instance.is_file()
    kept.pass_to(LATER + HOURS)

    assert (before, instance.is_file()) == (True, False)


def test_what_was_cancelled_on_its_way_and_not_proved_yet_keeps_its_files_until_it_is(kept: Kept) -> None:
    kept.arrive()
    results = kept.read()
    due = kept.outbox.due("pacs", STABLE)
    kept.outbox.cancel(Choice(), STABLE, actor="operator")
    for item in due:
        kept.outbox.accept_unproved(item, STABLE, "0x0000", prove_at=STABLE)

    kept.pass_to(LATER + DAYS)
    before = [path.is_file() for path in results]
    for item in Proofs(kept.database).due("pacs", LATER + DAYS):
        Proofs(kept.database).prove([item], LATER + DAYS, "found")
    kept.pass_to(LATER + 2 * DAYS)

    assert before == [True, True]
    assert [path.is_file() for path in results] == [False, False]
    assert actions(kept.database).count(("finish", "DELIVERED")) == 1
    assert ("reopen", "READY") in actions(kept.database)


def test_what_is_read_again_and_not_analysed_any_more_keeps_its_files_while_a_report_of_it_waits(kept: Kept) -> None:
    instance = kept.arrive()
    results = kept.read()
    kept.ledger.read_again(STUDY, STABLE)
    claimed = claim(kept.ledger, STABLE)
    kept.ledger.keep_results(claimed, declined(claimed), ["pacs"], STABLE)

    kept.pass_to(LATER + DAYS)
    before = [path.is_file() for path in (instance, *results)]
    deliver_all(kept.database, at=LATER + DAYS)
    kept.pass_to(LATER + 3 * DAYS)

    assert before == [True] * 3
    assert [path.is_file() for path in (instance, *results)] == [False] * 3
    assert seen(kept.database).study.state is StudyState.DECLINED


def test_an_instance_that_had_gone_and_comes_in_other_bytes_is_kept_as_it_came(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)
    other = kept.store.keep([b"the same image in another transfer syntax"])
    again = replace(arrived(1, at=LATER), file=other, transfer_syntax_uid="1.2.840.10008.1.2.4.90")

    assert kept.ledger.record(again) is Receipt.RESENT_DIFFERENT

    (held,) = seen(kept.database).instances
    assert (held.gone_at, held.file, held.transfer_syntax_uid) == (None, other, again.transfer_syntax_uid)
    kept.pass_to(LATER + timedelta(hours=1))
    assert kept.store.locate(other).is_file()
    with kept.database.read() as connection:
        said = query(connection, AuditFilter(action="resend"))[-1].detail
    assert said is not None
    assert said.startswith(f"{KEPT_AGAIN} in other bytes, {other.sha256}")


@on_sqlite
def test_a_crash_between_ledger_and_disk_is_repaired(kept: Kept) -> None:
    instance = kept.arrive()
    kept.read()
    kept.deliver()
    kept.keeping.expiry.expire_instances(LATER - HOURS, LATER)  # and then the power went

    for number in range(3):
        kept.pass_to(LATER + number * MINUTE)

    assert not instance.is_file()
    assert [event for event in actions(kept.database) if event[0] == "expire"] == [("expire", "instance")]


@on_sqlite
def test_a_file_that_the_ledger_never_heard_of_goes_after_a_while_and_no_other(kept: Kept) -> None:
    instance = kept.arrive()
    stray = kept.age(kept.store.locate(kept.store.keep([b"kept, and the ledger was locked"])))

    kept.pass_to(LATER)
    after_one = stray.is_file()
    kept.pass_to(LATER + MINUTE)

    assert (after_one, stray.is_file(), instance.is_file()) == (True, False, True)


@on_sqlite
def test_a_file_that_was_kept_again_is_not_removed(kept: Kept) -> None:
    file = kept.store.keep([b"same"])

    assert not kept.store.remove(file.path, older_than=STABLE)
    assert kept.store.locate(file).read_bytes() == b"same"
    assert kept.store.remove(file.path, older_than=real_now() + HOURS)
    assert kept.store.remove(file.path, older_than=real_now() + HOURS)


@on_sqlite
def test_an_instance_that_comes_again_after_it_has_gone_is_kept_again(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    instance = kept.arrive()

    assert seen(kept.database).instances[0].gone_at is None
    assert instance.is_file()
    assert seen(kept.database).study.state is StudyState.DELIVERED


def test_an_instance_that_comes_again_after_it_has_gone_has_all_its_hours_again(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    instance = kept.arrive(at=LATER)
    kept.pass_to(LATER + HOURS - timedelta(seconds=1))
    before = (instance.is_file(), len(Proofs(kept.database).received([f"{STUDY}.1.1"])))
    kept.pass_to(LATER + HOURS)

    assert (before, instance.is_file()) == ((True, 1), False)


@on_sqlite
def test_an_instance_that_comes_again_while_it_is_kept_goes_at_its_hour(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()

    instance = kept.arrive(at=LATER - MINUTE)
    kept.pass_to(LATER)

    assert not instance.is_file()


@on_sqlite
def test_an_instance_that_comes_again_after_the_clock_went_back_goes_no_sooner(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    instance = kept.arrive(at=AT - DAYS)
    kept.pass_to(LATER - MINUTE)

    assert instance.is_file()


@on_sqlite
def test_nobody_is_promised_an_instance_that_has_gone(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    assert Proofs(kept.database).received([f"{STUDY}.1.1"]) == {}


@on_sqlite
def test_a_study_of_which_nothing_is_kept_cannot_be_read_again(kept: Kept) -> None:
    kept.arrive()
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    assert not kept.ledger.read_again(STUDY, LATER)


def test_a_late_instance_is_told_what_was_said_of_those_that_have_gone(kept: Kept) -> None:
    kept.arrive(1)
    kept.read()
    kept.deliver()
    kept.pass_to(LATER)

    kept.arrive(2)
    claimed = claim(kept.ledger)
    kept.ledger.keep_results(claimed, read_as_positive(claimed, report(2)), ["pacs"], LATER)

    assert [item.sop_instance_uid for item in claimed.instances] == [f"{STUDY}.1.2"]
    assert [(item.sop_instance_uid, item.probability) for item in claimed.read_before] == [(f"{STUDY}.1.1", 0.93)]
    assert {item.sop_instance_uid for item in seen(kept.database).outcomes} == {f"{STUDY}.1.1", f"{STUDY}.1.2"}


def test_the_report_on_a_late_instance_says_what_it_cannot_answer_for(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)
    sent = dcmread(path)
    _, late = radiograph(tmp_path, StudyInstanceUID=study, BodyPartExamined="HAND", AnatomicRegionSequence=None)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        first = started.wait_for(study, StudyState.DELIVERED)
        started.service.stores.expiry.expire_instances(real_now(), real_now())
        started.locate(first.instances[0].file).unlink()
        push(started.port, late)
        second = started.wait_for(study, StudyState.DELIVERED)
        newest = dcmread(started.locate(next(item for item in second.objects if item not in first.objects).file))

    assert check_report(newest) == []
    assert newest.CompletionFlag == "PARTIAL"
    assert newest.CompletionFlagDescription.startswith("1 image(s) read before, not kept any more: positive, ")
    assert len(newest.CompletionFlagDescription) <= 64
    named = newest.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID in {item.sop_instance_uid for item in first.objects}
    assert (second.study.outcome, second.study.probability) == (first.study.outcome, first.study.probability)
    assert {item.sop_instance_uid for item in second.outcomes} == {sent.SOPInstanceUID, dcmread(late).SOPInstanceUID}
