"""Each file goes out as it lies on disk, and each gets its own outcome."""

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.sender import Sender
from pacs_ai.errors import PeerRefused, PeerUnreachable
from pacs_ai.parcels import Answer, Form, Parcel
from pacs_ai.settings import Node
from tests.builders import make_instance, phantom

from .peers import (
    HOST,
    VERIFICATION,
    Archive,
    associated,
    connection_refused,
    data_set_of,
    falling_silent,
    file_of,
    listening,
    nobody,
)

SMALL = phantom(64, 48)


def parcel_of(instance: Dataset, folder: Path) -> Parcel:
    return Parcel(
        path=file_of(folder, instance),
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        transfer_syntax_uid=instance.file_meta.TransferSyntaxUID,
    )


def form_of(instance: Dataset, name: str) -> Form:
    return Form(
        name=name,
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        transfer_syntax_uid=instance.file_meta.TransferSyntaxUID,
        build=lambda: instance,
    )


@pytest.fixture
def parcels(tmp_path: Path) -> list[Parcel]:
    return [parcel_of(make_instance(stored=SMALL), tmp_path) for _ in range(3)]


def test_the_archive_gets_the_bytes_of_the_files_in_their_order(tmp_path: Path) -> None:
    parcels = [
        parcel_of(make_instance(stored=SMALL), tmp_path),
        parcel_of(make_instance(modality="CR", syntax=JPEGLosslessSV1), tmp_path),
        parcel_of(make_instance(stored=SMALL, syntax=ImplicitVRLittleEndian), tmp_path),
    ]

    with listening(Archive()) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [(found.parcel, found.is_accepted, found.detail) for found in outcomes] == [
        (parcel, True, "0x0000") for parcel in parcels
    ]
    assert archive.received == [
        (parcel.sop_class_uid, parcel.sop_instance_uid, data_set_of(parcel.path)) for parcel in parcels
    ]


def test_each_instance_has_its_own_outcome_and_a_warning_is_an_acceptance(tmp_path: Path) -> None:
    accepted = [0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007]
    refused = [0xA700, 0xA900, 0xC000, 0x0122, 0x0110]
    statuses = [status for pair in zip_longest(accepted, refused) for status in pair if status is not None]
    parcels = [parcel_of(make_instance(stored=SMALL), tmp_path) for _ in statuses]

    with listening(Archive(answers=lambda _event, number: statuses[number])) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [(found.detail, found.is_accepted) for found in outcomes] == [
        (f"0x{status:04X}", status in accepted) for status in statuses
    ]


def test_what_will_never_be_accepted_is_told_from_what_may_be_later(tmp_path: Path) -> None:
    never, later = [0xA900, 0xA9FF, 0xC000, 0xC123, 0x0117, 0x0122, 0x0124], [0xA700, 0xA702, 0x0110, 0x0213, 0xFE00]
    parcels = [parcel_of(make_instance(stored=SMALL), tmp_path) for _ in (*never, *later)]

    with listening(Archive(answers=lambda _event, number: [*never, *later][number])) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [found.answer for found in outcomes] == [Answer.PERMANENT] * len(never) + [Answer.TRANSIENT] * len(later)


def test_a_node_that_says_it_has_the_instance_already_has_accepted_it(parcels: list[Parcel]) -> None:
    with listening(Archive(answers=lambda _event, _number: 0x0111)) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [(found.answer, found.detail) for found in outcomes] == [(Answer.ACCEPTED, "0x0111")] * 3


def test_a_rejection_for_now_is_told_from_one_for_good(parcels: list[Parcel]) -> None:
    with listening(Archive()) as archive, associated(archive.port, [build_context(VERIFICATION)], called="ARCHIVE"):
        archive.most_associations(1)
        with pytest.raises(PeerUnreachable, match="rejected the association") as for_now:
            list(Sender("PACS_AI").send(archive.node, parcels))
    with listening(Archive()) as archive, pytest.raises(PeerRefused, match="rejected the association"):
        list(Sender("PACS_AI").send(archive.node.model_copy(update={"ae_title": "OTHER"}), parcels))

    assert not isinstance(for_now.value, PeerRefused)


def test_a_sop_class_that_is_not_accepted_is_told_and_the_others_go_through(
    parcels: list[Parcel], tmp_path: Path
) -> None:
    other = parcel_of(make_instance(stored=SMALL, SOPClassUID=CTImageStorage), tmp_path)

    with listening(Archive()) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, [parcels[0], other, parcels[1]]))

    assert [found.is_accepted for found in outcomes] == [True, False, True]
    assert CTImageStorage in outcomes[1].detail
    assert archive.instances == [parcels[0].sop_instance_uid, parcels[1].sop_instance_uid]


def test_a_transfer_syntax_that_is_not_accepted_is_told_and_the_others_go_through(
    parcels: list[Parcel], tmp_path: Path
) -> None:
    other = parcel_of(make_instance(stored=SMALL, syntax=JPEGLosslessSV1), tmp_path)
    only_explicit = [build_context(other.sop_class_uid, ExplicitVRLittleEndian)]

    with listening(Archive(), contexts=only_explicit) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, [parcels[0], other, parcels[1]]))

    assert [found.is_accepted for found in outcomes] == [True, False, True]
    assert archive.instances == [parcels[0].sop_instance_uid, parcels[1].sop_instance_uid]


def test_a_node_that_takes_no_jpeg_gets_the_instance_uncompressed(tmp_path: Path) -> None:
    instance = make_instance(stored=SMALL)
    parcel = replace(
        parcel_of(make_instance(stored=SMALL, syntax=JPEGLosslessSV1), tmp_path),
        sop_instance_uid=instance.SOPInstanceUID,
        fallbacks=(form_of(instance, "uncompressed"),),
    )
    only_explicit = [build_context(parcel.sop_class_uid, ExplicitVRLittleEndian)]

    with listening(Archive(), contexts=only_explicit) as archive:
        (outcome,) = Sender("PACS_AI").send(archive.node, [parcel])

    assert (outcome.is_accepted, outcome.detail) == (True, "0x0000 uncompressed")
    assert archive.instances == [instance.SOPInstanceUID]


def test_a_node_that_accepts_a_sop_class_and_refuses_its_instances_gets_the_next_form(tmp_path: Path) -> None:
    first, second = make_instance(stored=SMALL), make_instance(modality="CR", stored=SMALL)
    parcel = replace(parcel_of(first, tmp_path), fallbacks=(form_of(second, "as a CR"),))

    with listening(Archive(answers=lambda _event, number: (0x0122, 0x0000)[number])) as archive:
        (outcome,) = Sender("PACS_AI").send(archive.node, [parcel])

    assert (outcome.is_accepted, outcome.detail, outcome.form) == (True, "0x0000 as a CR", parcel.fallbacks[0])
    assert archive.instances == [first.SOPInstanceUID, second.SOPInstanceUID]


def test_any_other_refusal_is_final_and_the_next_form_is_not_tried(tmp_path: Path) -> None:
    first, second = make_instance(stored=SMALL), make_instance(modality="CR", stored=SMALL)
    parcel = replace(parcel_of(first, tmp_path), fallbacks=(form_of(second, "as a CR"),))

    with listening(Archive(answers=lambda _event, _number: 0xA700)) as archive:
        (outcome,) = Sender("PACS_AI").send(archive.node, [parcel])

    assert (outcome.is_accepted, outcome.detail) == (False, "0xA700")
    assert archive.instances == [first.SOPInstanceUID]


def test_a_file_that_has_gone_is_told_and_the_others_go_through(parcels: list[Parcel]) -> None:
    parcels[1].path.unlink()

    with listening(Archive()) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [found.is_accepted for found in outcomes] == [True, False, True]
    assert outcomes[1].detail == "not sent: FileNotFoundError"


@pytest.mark.timeout(120)
def test_after_an_abort_in_the_middle_what_came_before_stands_and_the_rest_does_not(parcels: list[Parcel]) -> None:
    def abort_the_second(event: object, number: int) -> int:
        if number == 1:
            event.assoc.abort()
        return 0x0000

    with listening(Archive(answers=abort_the_second)) as archive:
        outcomes = list(Sender("PACS_AI").send(archive.node, parcels))

    assert [found.is_accepted for found in outcomes] == [True, False, False]
    assert outcomes[1].detail == "no response: aborted or timed out"
    assert outcomes[2].detail == "the association ended before this instance"


@connection_refused
def test_with_nobody_listening_the_peer_is_unreachable_and_the_message_helps(parcels: list[Parcel]) -> None:
    node = Node(name="pacs", ae_title="ARCHIVE", host=HOST, port=nobody())

    with pytest.raises(PeerUnreachable, match=rf"ARCHIVE@127\.0\.0\.1:{node.port} cannot be reached.*running.*port"):
        list(Sender("PACS_AI").send(node, parcels))


@pytest.mark.parametrize("host", ["archive.invalid", "a..b"])
def test_a_node_whose_name_is_not_known_is_unreachable(host: str, parcels: list[Parcel]) -> None:
    node = Node.model_construct(name="pacs", ae_title="ARCHIVE", host=host, port=104, tls=None)

    with pytest.raises(PeerUnreachable, match=rf"ARCHIVE@{host}:104 cannot be reached: its host name is not known"):
        list(Sender("PACS_AI").send(node, parcels))


@pytest.mark.timeout(120)
def test_a_node_that_falls_silent_within_an_answer_is_waited_for_no_longer_than_for_an_answer(
    parcels: list[Parcel],
) -> None:
    limits = TimeLimits(connect=60, associate=60, answer=4)
    with listening(Archive()) as archive, falling_silent(archive, after=1) as node:
        outcomes = list(Sender("PACS_AI", limits=limits).send(node, parcels[:1]))

    assert [(found.answer, found.detail) for found in outcomes] == [
        (Answer.TRANSIENT, "no response: aborted or timed out")
    ]


@pytest.mark.timeout(120)
def test_a_node_that_falls_silent_within_its_acceptance_is_unreachable(parcels: list[Parcel]) -> None:
    limits = TimeLimits(connect=1, associate=1, answer=300)
    with (
        listening(Archive()) as archive,
        falling_silent(archive, after=0) as node,
        pytest.raises(PeerUnreachable, match="did not answer the association request"),
    ):
        list(Sender("PACS_AI", limits=limits).send(node, parcels))


@pytest.mark.parametrize("end", [lambda found: found.dul.socket.close(), Association.abort], ids=["seen late", "seen"])
def test_a_node_that_ends_the_association_as_soon_as_it_is_accepted_is_away_and_has_refused_nothing(
    end: Callable[[Association], None],
) -> None:
    ended = (evt.EVT_ESTABLISHED, lambda event: end(event.assoc))
    with (
        listening(Archive()) as archive,
        pytest.raises(PeerUnreachable, match="accepted and ended the association") as raised,
        Sender("PACS_AI").association(archive.node, [build_context(VERIFICATION)], handlers=[ended]),
    ):
        pass

    assert not isinstance(raised.value, PeerRefused)


def test_a_node_that_ends_the_association_before_a_request_is_away() -> None:
    def ask_too_late(node: Node) -> None:
        with Sender("PACS_AI").association(node, [build_context(VERIFICATION)]) as association:
            association.abort()
            association.send_c_echo()

    with (
        listening(Archive()) as archive,
        pytest.raises(PeerUnreachable, match="accepted and ended the association"),
    ):
        ask_too_late(archive.node)


def test_a_rejected_association_is_told_with_the_reason_of_the_peer(parcels: list[Parcel]) -> None:
    with listening(Archive()) as archive:
        misnamed = archive.node.model_copy(update={"ae_title": "OTHER"})

        with pytest.raises(PeerUnreachable, match=r"rejected the association: .*[Cc]alled AE"):
            list(Sender("PACS_AI").send(misnamed, parcels))

    assert archive.received == []


def test_an_archive_that_accepts_no_context_at_all_is_told_as_such(parcels: list[Parcel]) -> None:
    with (
        listening(Archive(), contexts=[build_context(CTImageStorage)]) as archive,
        pytest.raises(PeerUnreachable, match="accepted none of the proposed presentation contexts"),
    ):
        list(Sender("PACS_AI").send(archive.node, parcels))

    assert archive.received == []


def test_an_echo_is_answered_with_its_status() -> None:
    with listening(Archive()) as archive:
        assert Sender("PACS_AI").echo(archive.node) == "0x0000"


@connection_refused
def test_an_echo_to_nobody_is_unreachable() -> None:
    node = Node(name="pacs", ae_title="ARCHIVE", host=HOST, port=nobody())

    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        Sender("PACS_AI").echo(node)


def test_the_peer_sees_our_title_as_the_calling_one(parcels: list[Parcel]) -> None:
    titles = []

    def note_the_title(event: object, _number: int) -> int:
        titles.append(event.assoc.requestor.ae_title.strip())
        return 0x0000

    with listening(Archive(answers=note_the_title)) as archive:
        list(Sender("CHEST_READER").send(archive.node, parcels[:1]))

    assert titles == ["CHEST_READER"]
