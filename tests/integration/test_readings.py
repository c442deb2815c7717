"""Every reading is kept with its setup and its evidence, in both databases."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from alembic import command
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import alembic_configuration, migrate
from pacs_ai_storage.readings import setup_changes, studies_read_since
from pacs_ai_storage.records import ClaimedStudy, Setup, StudyResult, StudyState
from pacs_ai_storage.schema import NEWEST_REVISION
from pydicom import dcmread

from pacs_ai.inference.card import read_card
from pacs_ai.provenance import setup_of
from pacs_ai.settings import Settings

from .peers import Archive, push
from .services import radiograph, running
from .studies import STABLE, STUDY, arrived, bring_to, capture, claim, read_as_positive, report, seen

FIRST, SECOND = Setup(sha256="1" * 64, document='{"model":1}'), Setup(sha256="2" * 64, document='{"model":2}')
LATER = STABLE + timedelta(days=1)


def _read(claimed: ClaimedStudy, setup: Setup, revision: int) -> StudyResult:
    result = read_as_positive(claimed, capture(1), report(revision))
    outcomes = (replace(said, setup_sha256=setup.sha256, evidence=f'{{"n":{revision}}}') for said in result.outcomes)
    return replace(result, outcomes=tuple(outcomes))


def test_a_reading_stays_with_its_setup_when_the_study_is_read_again_with_another(database: Database) -> None:
    ledger = Ledger(database)
    ledger.record(arrived(1))
    for number, (setup, at) in enumerate(((FIRST, STABLE), (SECOND, LATER)), start=1):
        ledger.read_with(setup, at)
        claimed = claim(ledger, at)
        ledger.keep_results(claimed, _read(claimed, setup, number), (), at)
        assert ledger.read_again(STUDY, at)

    view = seen(database)

    found = [(item.revision, item.read_at, item.setup, item.said.evidence) for item in view.readings]
    assert found == [(1, STABLE, FIRST, '{"n":1}'), (2, LATER, SECOND, '{"n":2}')]
    assert {item.study_instance_uid for item in view.readings} == {STUDY}
    assert len(view.outcomes) == 1


def test_a_setup_is_in_the_log_when_it_is_another_than_the_one_before(database: Database) -> None:
    ledger = Ledger(database)
    for minutes, setup in enumerate((FIRST, FIRST, SECOND, FIRST, FIRST)):
        ledger.read_with(setup, STABLE + timedelta(minutes=minutes), detail="model=tiny")

    with database.read() as connection:
        changes = setup_changes(connection)
        events = query(connection, AuditFilter(action="setup"))

    assert [(change.at - STABLE, change.setup) for change in changes] == [
        (timedelta(minutes=0), FIRST),
        (timedelta(minutes=2), SECOND),
        (timedelta(minutes=3), FIRST),
    ]
    assert [(event.outcome, event.detail) for event in events] == [
        (setup.sha256, "model=tiny") for setup in (FIRST, SECOND, FIRST)
    ]


def test_studies_are_found_by_when_they_were_read(database: Database) -> None:
    bring_to(StudyState.READY, database)

    with database.read() as connection:
        found = [studies_read_since(connection, since) for since in (STABLE, STABLE + timedelta(seconds=1))]

    assert found == [[STUDY], []]


def test_what_was_said_before_readings_were_kept_is_a_reading_dated_by_its_event(database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    bring_to(StudyState.DELIVERED, database)
    configuration = alembic_configuration()
    with database.change() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0003")

    assert migrate(database) == ("0003", NEWEST_REVISION)

    (kept,) = seen(database).readings
    assert (kept.read_at, kept.revision, kept.setup) == (STABLE, 1, None)
    assert kept.said == seen(database).outcomes[0]
    database.close()


def test_a_study_that_a_service_read_says_with_what_by_what_from_whom_and_where_it_went(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    settings = settings_with(archive.node)
    study, path = radiograph(tmp_path)

    with running(settings) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.DELIVERED)
        with started.service.stores.database.read() as connection:
            (began,) = query(connection, AuditFilter(action="setup"))
            (received,) = query(connection, AuditFilter(action="receive"))

    (kept,) = view.readings
    evidence = json.loads(kept.said.evidence or "")
    assert kept.setup is not None
    assert began.outcome == kept.setup.sha256 == setup_of(settings, read_card("")).sha256
    assert began.at <= kept.read_at
    assert evidence["pixel_data_sha256"] == hashlib.sha256(dcmread(path).PixelData).hexdigest()
    assert set(evidence["seconds"]) == {"opening", "network", "results"}
    assert [item.calling_ae_title for item in view.instances] == [received.actor]
    assert {item.node for item in view.deliveries} == {archive.node.name}
