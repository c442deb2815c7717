"""Whatever a header is like: results are built and valid, identity goes along byte for byte, repairs are said."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pacs_ai.imaging.gate import examine
from pacs_ai.results.source import IDENTITY, repairs
from pacs_ai.results.verification import check_report
from tests.builders import part10
from tests.validators import beside_identity

from .dirty import DIRTY, UID_WARNINGS, make_dirty_film, make_dirty_header
from .making import CHILDREN, header_of_bytes, make_film, make_header, make_results
from .peers import validation_errors

pytestmark = [pytest.mark.filterwarnings(warning) for warning in UID_WARNINGS]
UNREADABLE = {"patient ID as a number", "patient ID as a sequence"}


def _stands(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of an attribute in a file, without its padding."""
    found = dataset.get_item(keyword)
    return b"" if found is None else (found.value or b"").rstrip(b"\0 " if keyword.endswith("UID") else b"\0")


@pytest.fixture(params=DIRTY)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_results_are_valid_and_identity_is_that_of_the_source(name: str, tmp_path: Path) -> None:
    content = make_dirty_film(name)
    source = header_of_bytes(content)

    capture, report = make_results(header_of_bytes(content))

    for result in (capture, report):
        assert beside_identity(validation_errors(result, tmp_path)) == []
        read = header_of_bytes(part10(result))
        for keyword in set(IDENTITY) - ({"PatientID"} if name in UNREADABLE else set()):
            assert _stands(read, keyword) == _stands(source, keyword)
    assert check_report(header_of_bytes(part10(report))) == []


def test_what_was_repaired_is_said_and_nothing_else(name: str) -> None:
    assert [str(repair) for repair in repairs(make_dirty_header(name))] == list(DIRTY[name].repairs)


@pytest.mark.parametrize("name", [name for name, dirty in DIRTY.items() if dirty.name])
def test_a_name_is_shown_as_it_was_meant(name: str) -> None:
    for result in make_results(make_dirty_header(name)):
        assert str(header_of_bytes(part10(result)).PatientName) == DIRTY[name].name


def test_what_the_gate_has_read_stays_as_it_was(name: str) -> None:
    content = make_dirty_film(name)
    read, unread = header_of_bytes(content), header_of_bytes(content)
    examine(read, CHILDREN)

    assert repairs(read) == repairs(unread)
    assert [part10(result) for result in make_results(read)] == [part10(result) for result in make_results(unread)]


def test_saying_what_was_repaired_again_says_the_same(name: str) -> None:
    source = make_dirty_header(name)
    before = repairs(source)
    make_results(source)

    assert repairs(source) == before


def test_a_clean_header_needs_no_repair() -> None:
    assert repairs(make_header(make_film())) == ()


def test_there_are_more_kinds_of_dirt_than_were_measured() -> None:
    assert len(DIRTY) > 25
