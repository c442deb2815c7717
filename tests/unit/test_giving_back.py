"""An answer that the association's own thread takes too early is not lost, whoever has begun the association."""

import socket
from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from pacs_ai.dimse.admission import Admission, Guest
from pacs_ai.dimse.requestor import as_requestor
from pacs_ai.dimse.server import as_acceptor


@pytest.fixture(params=["requestor", "acceptor"])
def association(request: pytest.FixtureRequest) -> Iterator[Association]:
    made = Association(AE(), request.param)
    with socket.socket() as connection:
        if request.param == "requestor":
            as_requestor(made)
        else:
            admission = Admission(addresses=(), most=1, most_per_peer=1, quiet_seconds=1)
            as_acceptor(made, admission, Guest(address="127.0.0.1", connection=connection))
        yield made


def test_an_answer_that_its_own_thread_has_taken_is_given_back_to_whoever_waits(association: Association) -> None:
    answers = [_answer(number) for number in (1, 2)]
    association._reactor_checkpoint.clear()  # as whoever asks does first
    for answer in answers:
        association.dimse.msg_queue.put((1, answer))

    context, taken = association.dimse.get_msg(block=False)
    association._serve_request(taken, context)

    assert [association.dimse.get_msg(block=True)[1] for _ in answers] == answers


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(association: Association) -> None:
    association._serve_request(_answer(1), 1)

    assert association.dimse.msg_queue.empty()


def _answer(number: int) -> C_STORE:
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = number
    answer.Status = 0x0000
    return answer
