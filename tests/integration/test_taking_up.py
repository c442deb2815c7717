"""A service that starts with other settings than the one before: what that left comes to its end."""

from collections.abc import Callable, Iterator

import pytest
from pacs_ai_storage.records import StudyState

from pacs_ai.settings import Node, Settings
from pacs_ai.stores import Stores, open_stores
from pacs_ai.taking_up import take_up
from tests.fakes import Clock

from .peers import HOST
from .studies import read_study, seen

ARCHIVE = Node(name="archive", ae_title="ARCHIVE", host=HOST, port=104)


@pytest.fixture
def sent(settings_with: Callable[..., Settings], clock: Clock) -> Iterator[Stores]:
    """A study of which everything was sent to the archive, which was to prove it."""
    stores = open_stores(settings_with(ARCHIVE))
    read_study(stores.instances, stores.ledger, clock)
    for item in stores.outbox.due("archive", clock()):
        stores.outbox.accept_unproved(item, clock(), "0x0000", prove_at=clock())
    yield stores
    stores.database.close()


def test_a_node_of_which_no_proof_is_asked_any_more_has_what_it_was_sent(
    sent: Stores, settings_with: Callable[..., Settings], clock: Clock
) -> None:
    asked = ARCHIVE.model_copy(update={"proof": "c-find"})

    take_up(settings_with(asked), sent, "here", clock())
    before = seen(sent.database).study.state
    take_up(settings_with(ARCHIVE), sent, "here", clock())

    assert (before, seen(sent.database).study.state) == (StudyState.READY, StudyState.DELIVERED)


def test_a_node_that_the_settings_name_no_more_is_told_of_while_deliveries_wait_for_it(
    sent: Stores, settings_with: Callable[..., Settings], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    take_up(settings_with(ARCHIVE.model_copy(update={"name": "another"})), sent, "here", clock())

    assert "deliveries wait for archive, which no [[nodes]] names" in caplog.text
    assert "pacs-ai deliveries cancel --node archive" in caplog.text
