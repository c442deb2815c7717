"""The conformance statement against real associations: what it says is accepted, and nothing else is."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.records import Delivery, DeliveryState
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)
from pynetdicom import build_role
from pynetdicom.presentation import build_context

from pacs_ai.delivery import parcel_of
from pacs_ai.dimse.listener import listen
from pacs_ai.dimse.sender import Sender
from pacs_ai.settings import DicomSettings
from tests.unit.making import make_film, make_header, make_results

from .peers import HOST, VERIFICATION, Archive, associated, listening
from .studies import AT, kept_object

STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
MOST_CONTEXTS = 128
DEFAULT = (str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian))
Pair = tuple[str, str]


def table(section: str) -> list[list[str]]:
    """The rows of the table of a section, without its heading."""
    text = STATEMENT.split(f" {section} ", 1)[1]
    lines = re.search(r"\n\| .*\n\| ---.*\n((?:\|.*\n)+)", text)
    assert lines is not None
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[1].splitlines()]


def stated() -> set[Pair]:
    """Every SOP class with every transfer syntax that the statement says is accepted."""
    sets = {name: {row[1] for row in table("3.2.2") if row[place]} for place, name in ((2, "A"), (3, "B"), (4, "C"))}
    return {(sop_class, syntax) for _, sop_class, name in table("3.2.1") for syntax in sets[name]}


def others() -> set[Pair]:
    """SOP classes and transfer syntaxes of the statement that it does not join, and all that it does not name."""
    accepted = stated()
    classes, syntaxes = ({pair[place] for pair in accepted} for place in (0, 1))
    known = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "SOP Class"}
    foreign_syntaxes = {"1.2.840.10008.1.2.6.1", "1.2.3.4.6"}
    pairs = set(product(classes, syntaxes | foreign_syntaxes)) | set(product(known | {"1.2.3.4.5"}, DEFAULT))
    return pairs - accepted


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("conformance")
    database = Database(f"sqlite:///{folder / 'ledger.sqlite'}")
    migrate(database)
    listener = listen(DicomSettings(host=HOST), InstanceStore(folder / "instances"), Ledger(database), port=0)
    yield listener.port
    listener.stop()
    database.close()


def accepted_of(port: int, pairs: set[Pair]) -> set[Pair]:
    """Which of these the listener accepts, each in a presentation context of its own."""
    ordered, most = sorted(pairs), MOST_CONTEXTS - 1
    shares = [ordered[start : start + most] for start in range(0, len(ordered), most)]
    with ThreadPoolExecutor(8) as pool:
        return set().union(*pool.map(lambda share: _accepted_at_once(port, share), shares))


def _accepted_at_once(port: int, share: Sequence[Pair]) -> set[Pair]:
    # Without one that is accepted there is no association to ask.
    contexts = [build_context(VERIFICATION), *(build_context(*pair) for pair in share)]
    with associated(port, contexts) as association:
        assert association.is_established
        return {
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in association.accepted_contexts
            if context.context_id != 1
        }


def test_every_context_of_the_statement_is_accepted(port: int) -> None:
    pairs = stated()

    assert len(pairs) > 5000
    assert pairs - accepted_of(port, pairs) == set()


def test_no_context_that_the_statement_does_not_have_is_accepted(port: int) -> None:
    pairs = others()

    assert len(pairs) > 700
    assert accepted_of(port, pairs) == set()


def test_of_several_transfer_syntaxes_the_one_of_the_lowest_rank_is_taken(port: int) -> None:
    ranks = {row[1]: int(row[3]) for row in table("3.2.2") if row[3]}
    proposed = [JPEG2000Lossless, ImplicitVRLittleEndian, JPEGBaseline8Bit]

    for order in (proposed, proposed[::-1]):
        with associated(port, [build_context(ComputedRadiographyImageStorage, order)]) as association:
            (context,) = association.accepted_contexts
            assert context.transfer_syntax == [min(proposed, key=lambda syntax: ranks[syntax])]


def test_no_role_selection_is_answered(port: int) -> None:
    role = build_role(CTImageStorage, scp_role=True)

    with associated(port, [build_context(CTImageStorage)], negotiation=[role]) as association:
        (context,) = association.accepted_contexts

    assert (context.as_scu, context.as_scp) == (True, False)


def test_a_delivery_proposes_exactly_the_contexts_of_the_statement(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "instances")
    built = zip(("capture", "report"), make_results(make_header(make_film())), strict=True)
    parcels = [parcel_of(_delivery(dataset, kind, store), store) for kind, dataset in built]
    proposed: set[Pair] = set()

    def note_the_proposal(event: object, _number: int) -> int:
        proposed.update(
            (str(context.abstract_syntax), str(syntax))
            for context in event.assoc.requestor.requested_contexts
            for syntax in context.transfer_syntax
        )
        return 0x0000

    with listening(Archive(answers=note_the_proposal)) as archive:
        assert all(outcome.is_accepted for outcome in Sender("PACS_AI").send(archive.node, parcels))

    assert proposed == {(row[3], row[5]) for row in table("3.3")}


def _delivery(dataset: Dataset, kind: str, store: InstanceStore) -> Delivery:
    return Delivery(
        node="archive",
        study_instance_uid=dataset.StudyInstanceUID,
        object=kept_object(dataset, kind, store),
        state=DeliveryState.PENDING,
        attempts=0,
        queued_at=AT,
        next_attempt_at=AT,
        accepted_at=None,
        detail=None,
    )
