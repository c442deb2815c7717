"""Whoever changes deliveries of a study locks the study first: nobody waits for somebody who waits for him."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.delivery_rows import change_delivery, lock_study
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.records import DeliveryState, StudyState
from pacs_ai_storage.schema import instances
from sqlalchemy import text, update

from .studies import STABLE, STUDY, arrived, bring_to, seen
from .waiting import wait_until

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def is_one_waiting(database: Database) -> bool:
    with database.read() as connection:
        return connection.execute(text(_WAITING)).scalar_one() == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_is_cancelled_while_a_node_accepts_of_the_same_study_waits_for_it(database: Database) -> None:
    bring_to(StudyState.READY, database)
    outbox = Outbox(database)
    accepted, _ = outbox.due("pacs", STABLE)

    with ThreadPoolExecutor(1) as pool:
        with database.change() as connection:
            lock_study(connection, STUDY)
            cancelling = pool.submit(outbox.cancel, Choice(node="pacs"), STABLE, actor="operator")
            wait_until(lambda: is_one_waiting(database))
            change_delivery(connection, accepted, DeliveryState.PENDING, state=DeliveryState.ACCEPTED)
        cancelled = cancelling.result()

    view = seen(database)
    assert (cancelled, view.study.state) == (1, StudyState.DELIVERED)
    assert {item.state for item in view.deliveries} == {DeliveryState.ACCEPTED, DeliveryState.CANCELLED}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_comes_again_while_it_expires_is_kept_when_both_are_over(database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    with ThreadPoolExecutor(1) as pool:
        with database.change() as connection:
            lock_study(connection, STUDY)
            arriving = pool.submit(Ledger(database).record, arrived(at=STABLE))
            wait_until(lambda: is_one_waiting(database))
            connection.execute(update(instances).values(gone_at=STABLE))
        arriving.result()

    assert seen(database).instances[0].gone_at is None
