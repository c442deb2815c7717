"""Whoever waits for the thread of an association is not kept waiting by another thread."""

from threading import Thread
from time import monotonic

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO

from pacs_ai.dimse.requestor import Requestor, as_requestor


def _in_another_thread(association: Association, *, value: bool) -> None:
    thread = Thread(target=setattr, args=(association, "_is_paused", value))
    thread.start()
    thread.join()


@pytest.fixture
def association() -> Requestor:
    made = Association(AE(), "requestor")
    as_requestor(made)
    assert isinstance(made, Requestor)
    return made


def test_what_another_thread_has_served_does_not_take_back_the_pause(association: Requestor) -> None:
    association._is_paused = True

    _in_another_thread(association, value=False)

    assert association._is_paused


def test_a_pause_may_be_said_by_any_thread(association: Requestor) -> None:
    assert not association._is_paused

    _in_another_thread(association, value=True)  # as `kill` does

    assert association._is_paused


def test_its_own_thread_says_that_it_is_at_work(association: Requestor) -> None:
    association._is_paused = True
    association.run = lambda: setattr(association, "_is_paused", False)
    Thread.start(association)
    association.join()

    assert not association._is_paused


def test_who_asks_after_the_connection_has_ended_waits_for_no_answer(association: Requestor) -> None:
    association.ae.dimse_timeout = 30
    association.dimse.msg_queue.put((None, None))  # as the state machine does

    by_its_own_thread = association.dimse.get_msg(block=False)
    begun = monotonic()
    answer = association.dimse.get_msg(block=True)

    assert (by_its_own_thread, answer) == ((None, None), (None, None))
    assert monotonic() - begun < 25


def test_its_own_thread_does_not_wait_with_a_request_for_who_releases_it_and_waits_for_that_thread(
    association: Requestor,
) -> None:
    request = C_ECHO()
    request.MessageID, request.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    association.run = lambda: association._serve_request(request, 1)

    with association._answering:
        association._is_releasing = True
        Thread.start(association)
        association.join(60)
        has_ended = not association.is_alive()

    assert has_ended
