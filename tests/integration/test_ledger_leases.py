"""A study is leased to one worker at a time, and what one worker began another can end."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from pacs_ai_storage.claims import MAX_ATTEMPTS, MAX_RESTARTS
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import LeaseLost, Ledger
from pacs_ai_storage.records import ClaimedStudy, StudyState

from .studies import STABLE, STUDY, TERMS, actions, arrived, claim, read_as_positive, report, seen

THREADS = 8
OVER = TERMS.lease + timedelta(seconds=1)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


def test_of_many_workers_each_study_goes_to_one(database: Database) -> None:
    studies = {f"{STUDY}.{number}" for number in range(20)}
    for study in studies:
        Ledger(database).record(arrived(study=study))
    together = Barrier(THREADS)

    def claim_all() -> list[ClaimedStudy]:
        together.wait()
        return list(iter(lambda: Ledger(database).claim_stable(STABLE, TERMS), None))

    with ThreadPoolExecutor(THREADS) as pool:
        claimed = [found for work in [pool.submit(claim_all) for _ in range(THREADS)] for found in work.result()]

    assert len({found.lease for found in claimed}) == len(claimed) == len(studies)
    assert {found.study_instance_uid for found in claimed} == studies


def test_of_many_associations_with_one_instance_one_is_new(database: Database) -> None:
    together = Barrier(THREADS)

    def record() -> str:
        together.wait()
        return Ledger(database).record(arrived())

    with ThreadPoolExecutor(THREADS) as pool:
        receipts = sorted(work.result() for work in [pool.submit(record) for _ in range(THREADS)])

    assert receipts == ["new", *["resent"] * (THREADS - 1)]
    assert len(seen(database).instances) == 1


def test_instances_of_one_study_that_come_at_once_are_all_in_it(database: Database) -> None:
    together = Barrier(THREADS)

    def record(number: int) -> str:
        together.wait()
        return Ledger(database).record(arrived(number))

    with ThreadPoolExecutor(THREADS) as pool:
        receipts = list(pool.map(record, range(THREADS)))

    assert receipts == ["new"] * THREADS
    view = seen(database)
    assert (len(view.instances), view.study.revision) == (THREADS, 1)


def test_a_study_under_lease_is_not_claimed(ledger: Ledger) -> None:
    ledger.record(arrived())
    claim(ledger)

    assert ledger.claim_stable(STABLE + TERMS.lease, TERMS) is None


def test_a_lease_that_runs_out_is_claimed_again_and_the_first_holder_has_lost_it(
    ledger: Ledger, database: Database
) -> None:
    ledger.record(arrived())
    first = claim(ledger)

    second = claim(ledger, STABLE + OVER)

    assert (first.attempts, second.attempts, second.revision) == (1, 2, 1)
    with pytest.raises(LeaseLost):
        ledger.keep_results(first, read_as_positive(first, report()), [], STABLE + OVER)
    ledger.keep_results(second, read_as_positive(second, report()), [], STABLE + OVER)
    assert seen(database).study.state is StudyState.READY


def test_a_study_that_never_ends_is_failed_after_its_attempts(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    for attempt in range(MAX_ATTEMPTS):
        claim(ledger, STABLE + attempt * OVER)

    assert ledger.claim_stable(STABLE + MAX_ATTEMPTS * OVER, TERMS) is None

    study = seen(database).study
    assert (study.state, study.reason) == (StudyState.FAILED, f"did not end in {MAX_ATTEMPTS} attempts")
    assert actions(database)[-1] == ("finish", "FAILED")


def test_a_study_past_its_attempts_does_not_hold_up_the_next(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    for attempt in range(MAX_ATTEMPTS):
        claim(ledger, STABLE + attempt * OVER)
    ledger.record(arrived(study=f"{STUDY}.9", at=STABLE))

    assert claim(ledger, STABLE + MAX_ATTEMPTS * OVER).study_instance_uid == f"{STUDY}.9"


def test_an_owner_that_starts_again_releases_its_own_leases_only(ledger: Ledger, database: Database) -> None:
    owners = {f"{STUDY}.1": "here", f"{STUDY}.2": "here_", f"{STUDY}.3": "h%", f"{STUDY}.4": "elsewhere"}
    for study, owner in owners.items():
        ledger.record(arrived(study=study))
        claim(ledger, terms=replace(TERMS, owner=owner))

    assert ledger.release_leases("here", STABLE) == 1

    states = {study: seen(database, study).study.state for study in owners}
    assert states == {study: "RECEIVING" if owner == "here" else "PROCESSING" for study, owner in owners.items()}
    assert actions(database, f"{STUDY}.1")[-1] == ("release", "the service was restarted")
    assert ledger.release_leases("h%", STABLE) == 1


def test_an_owner_with_a_long_name_claims_and_releases_its_own_leases_only(ledger: Ledger, database: Database) -> None:
    owners = [f"{'radiology-ai-' * 4}{node:08}:PACS_AI:11112" for node in (1, 2)]  # hosts of 60 characters
    for number, owner in enumerate(owners):
        ledger.record(arrived(study=f"{STUDY}.{number}"))
        assert len(claim(ledger, terms=replace(TERMS, owner=owner)).lease) <= 64

    assert ledger.release_leases(owners[0], STABLE) == 1

    states = [seen(database, f"{STUDY}.{number}").study.state for number in range(2)]
    assert states == [StudyState.RECEIVING, StudyState.PROCESSING]


def test_a_released_study_is_claimed_at_once_as_the_same_revision(ledger: Ledger) -> None:
    ledger.record(arrived())
    claim(ledger)
    ledger.release_leases("here", STABLE)

    again = claim(ledger)

    assert (again.study_instance_uid, again.revision) == (STUDY, 1)


def test_a_postponed_study_is_claimed_again_from_its_time_on(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    until = STABLE + timedelta(minutes=1)

    ledger.postpone(claim(ledger), until, "OutOfSpace", STABLE)

    assert ledger.claim_stable(until, TERMS) is None
    again = claim(ledger, until + TERMS.stable_after)
    assert (again.revision, again.attempts) == (1, 1)
    assert actions(database)[-2] == ("postpone", None)


def test_an_attempt_that_met_a_disk_that_is_away_may_count(ledger: Ledger) -> None:
    ledger.record(arrived())
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claimed = claim(ledger)
        assert claimed.attempts == attempt
        ledger.postpone(claimed, STABLE - TERMS.stable_after, "OSError", STABLE, counts=True)


def test_only_the_holder_of_the_lease_can_postpone(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    first = claim(ledger)
    claim(ledger, STABLE + OVER)
    before = seen(database)

    with pytest.raises(LeaseLost):
        ledger.postpone(first, STABLE + OVER, "OutOfSpace", STABLE + OVER)

    assert seen(database) == before


def test_twenty_restarts_cost_no_study_and_fifty_while_one_is_read_end_it(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    for _ in range(MAX_RESTARTS):
        claim(ledger)
        ledger.release_leases("here", STABLE)

    assert ledger.claim_stable(STABLE, TERMS) is None

    assert MAX_RESTARTS > 20
    study = seen(database).study
    assert (study.state, study.reason) == (StudyState.FAILED, f"did not end in {MAX_RESTARTS} attempts")


def test_while_instances_come_in_a_stable_study_waits(ledger: Ledger) -> None:
    terms = replace(TERMS, receiving_pause=timedelta(seconds=1), patience=timedelta(seconds=10))
    ledger.record(arrived())
    ledger.record(arrived(study=f"{STUDY}.7", at=STABLE))

    while_receiving = ledger.claim_stable(STABLE, terms)
    after_a_pause = ledger.claim_stable(STABLE + timedelta(seconds=1), terms)

    assert while_receiving is None
    assert after_a_pause is not None
    assert after_a_pause.study_instance_uid == STUDY


def test_a_stable_study_does_not_wait_beyond_patience_for_a_pause(ledger: Ledger) -> None:
    terms = replace(TERMS, receiving_pause=timedelta(seconds=1), patience=timedelta(seconds=10))
    later = STABLE + timedelta(seconds=10)
    ledger.record(arrived())
    ledger.record(arrived(study=f"{STUDY}.7", at=later))

    claimed = ledger.claim_stable(later, terms)

    assert claimed is not None
    assert claimed.study_instance_uid == STUDY


def test_a_reader_that_lives_keeps_its_study_past_the_first_lease(ledger: Ledger) -> None:
    ledger.record(arrived())
    claimed = claim(ledger)

    ledger.renew([claimed], STABLE + 3 * TERMS.lease)

    assert ledger.claim_stable(STABLE + 2 * TERMS.lease, TERMS) is None
    assert ledger.claim_stable(STABLE + 4 * TERMS.lease, TERMS) is not None


def test_a_study_that_another_took_over_is_not_renewed(ledger: Ledger) -> None:
    ledger.record(arrived())
    claimed = claim(ledger)
    second = ledger.claim_stable(STABLE + OVER, TERMS)
    assert second is not None

    ledger.renew([claimed], STABLE + 10 * TERMS.lease)

    assert ledger.claim_stable(STABLE + 2 * OVER, TERMS) is not None
