"""Attributes as devices write them: what cannot be read is absent."""

from typing import Any

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_ai.header import age_in_years, code_values, items, number, numbers, text, texts, value
from tests.builders import code

from .making import raw_element


def _raw(tag: int, vr: str, content: bytes) -> Dataset:
    """A header with one element as its bytes stood in a file."""
    header = Dataset()
    header[tag] = raw_element(tag, vr, content)
    return header


def _aged(**stated: str) -> Dataset:
    header = Dataset()
    for keyword, said in stated.items():
        header.update(_raw(Tag(keyword), dictionary_VR(keyword), said.encode()))
    return header


def test_an_absent_attribute_has_no_value() -> None:
    header = Dataset()

    assert value(header, "Rows") is None
    assert text(header, "Modality") == ""
    assert texts(header, "ImageType") == []
    assert number(header, "WindowCenter") is None
    assert numbers(header, "WindowCenter") == []
    assert items(header, "ViewCodeSequence") == []


def test_an_empty_attribute_reads_as_absent() -> None:
    header = Dataset()
    header.Modality = header.WindowCenter = ""
    header.ViewCodeSequence = []

    assert value(header, "Modality") is None
    assert numbers(header, "WindowCenter") == []
    assert items(header, "ViewCodeSequence") == []


@pytest.mark.parametrize(
    ("tag", "vr", "content", "keyword"),
    [
        (0x00281050, "DS", b"wide", "WindowCenter"),
        (0x00280008, "IS", b"one", "NumberOfFrames"),
        (0x00280010, "US", b"\x01", "Rows"),
        (0x00280030, "DS", b"0.1\\x", "PixelSpacing"),
    ],
)
def test_a_value_that_does_not_fit_its_vr_reads_as_absent(tag: int, vr: str, content: bytes, keyword: str) -> None:
    header = _raw(tag, vr, content)

    assert numbers(header, keyword) == []
    assert number(header, keyword) is None


@pytest.mark.parametrize("content", [b"NaN", b"inf", b"-Infinity", b"1e999"])
def test_a_number_that_is_not_finite_reads_as_absent(content: bytes) -> None:
    header = _raw(0x00281050, "DS", content)

    assert number(header, "WindowCenter") is None


def test_text_is_stripped_and_the_first_of_many() -> None:
    header = _raw(0x00080008, "CS", b" ORIGINAL \\PRIMARY ")

    assert text(header, "ImageType") == "ORIGINAL"
    assert texts(header, "ImageType") == ["ORIGINAL", "PRIMARY"]


def test_numbers_keep_their_order_and_the_first_stands_for_them() -> None:
    header = _raw(0x00281050, "DS", b"2048\\ 1500.5 ")

    assert numbers(header, "WindowCenter") == [2048.0, 1500.5]
    assert number(header, "WindowCenter") == 2048.0


def test_the_items_of_a_sequence_are_read_in_order() -> None:
    header = Dataset()
    header.ViewCodeSequence = [code("272479007", "SCT", "postero-anterior"), code("", "SCT", "nothing")]

    assert [item.CodeMeaning for item in items(header, "ViewCodeSequence")] == ["postero-anterior", "nothing"]
    assert code_values(header, "ViewCodeSequence") == {"272479007"}


@pytest.mark.parametrize("content", [b"\xfe\xff", b"\xfe\xff\x00\xe0\xff\xff"])
def test_a_damaged_sequence_reads_as_absent(content: bytes) -> None:
    header = _raw(0x00540220, "SQ", content)

    assert items(header, "ViewCodeSequence") == []


def test_a_text_where_a_sequence_belongs_is_no_sequence() -> None:
    header = Dataset()
    header.add_new(0x00540220, "LO", "PA")

    assert items(header, "ViewCodeSequence") == []
    assert code_values(header, "ViewCodeSequence") == set()


@pytest.mark.parametrize("stated", ["1e300", "-1e39", "1e16", "1e-300", "nan", "inf", "-inf"])
def test_a_size_that_nothing_has_is_no_number(stated: str) -> None:
    header = Dataset()
    header.add_new("WindowCenter", "LO", stated)

    assert numbers(header, "WindowCenter") == []


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("003Y", 3),
        ("018M", 1.5),
        ("012M", 1),
        ("053W", 1.016),
        ("366D", 1.0027),
        ("365D", 1),
        ("364D", 0.997),
        ("000D", 0),
        ("071M", 5.917),
    ],
)
def test_a_stated_age_is_in_years(stated: str, years: float) -> None:
    assert age_in_years(_aged(PatientAge=stated)) == pytest.approx(years, abs=1e-3)


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("20200105", "20260105", 6),
        ("20200106", "20260105", 5),
        ("20250105", "20260105", 1),
        ("20260105", "20260105", 0),
    ],
)
def test_the_dates_give_completed_years(born: str, studied: str, years: int) -> None:
    assert age_in_years(_aged(PatientBirthDate=born, StudyDate=studied)) == years


@pytest.mark.parametrize("keyword", ["SeriesDate", "AcquisitionDate", "ContentDate"])
@pytest.mark.parametrize("studied", [{}, {"StudyDate": ""}, {"StudyDate": "2026"}])
def test_another_date_of_the_image_stands_in_for_that_of_the_study(keyword: str, studied: dict[str, str]) -> None:
    assert age_in_years(_aged(PatientBirthDate="19500106", **studied, **{keyword: "20260105"})) == 75


def test_a_valid_stated_age_goes_before_the_dates() -> None:
    header = _aged(PatientAge="004Y", PatientBirthDate="19500101", StudyDate="20260105")

    assert age_in_years(header) == 4


@pytest.mark.parametrize("stated", ["58", "58Y", "5Y", "003y", "-03Y", "0003Y"])
def test_an_invalid_stated_age_leaves_it_to_the_dates(stated: str) -> None:
    with_dates = _aged(PatientAge=stated, PatientBirthDate="20220203", StudyDate="20260105")

    assert age_in_years(with_dates) == 3
    assert age_in_years(_aged(PatientAge=stated)) is None


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"PatientBirthDate": "20220203"},
        {"StudyDate": "20260105"},
        {"PatientBirthDate": "20270101", "StudyDate": "20260105"},
        {"PatientBirthDate": "2022-02-03", "StudyDate": "20260105"},
        {"PatientBirthDate": "", "StudyDate": ""},
    ],
)
def test_a_silent_or_impossible_header_tells_no_age(stated: dict[str, Any]) -> None:
    assert age_in_years(_aged(**stated)) is None
