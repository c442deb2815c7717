"""What results take over: identity as it is, the rest only where it is valid, in a character set that holds it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Edition
from pacs_ai.results.report import build_report
from pacs_ai.results.source import IDENTITY, is_lossy, patient_and_study, repairs, take_over
from tests.builders import code, make_instance, part10

from .making import (
    AUTHOR,
    header_of_bytes,
    make_dirty,
    make_film,
    make_header,
    make_read_image,
    make_results,
    raw_element,
    read_back,
)
from .peers import validation_errors

LATIN_1 = "Müller^Jürgen"
CHARACTER_SETS: dict[str, tuple[Any, str]] = {
    "none": (None, "Doe^Jane"),
    "ASCII": ("ISO_IR 6", "Doe^Jane"),
    "Latin-1": ("ISO_IR 100", LATIN_1),
    "Latin-2": ("ISO_IR 101", "Wałęsa^Święta"),
    "Cyrillic": ("ISO_IR 144", "Люксембург^Роза"),
    "Greek": ("ISO_IR 126", "Διονυσιος"),
    "Arabic": ("ISO_IR 127", "قباني^لنزار"),
    "Hebrew": ("ISO_IR 138", "שרון^דבורה"),
    "kanji": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "half-width kana and kanji": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东"),
    "GBK": ("GBK", "Wang^XiaoDong=王^小东"),
    "UTF-8": ("ISO_IR 192", "Yamada^Tarou=山田^太郎=Päron Люк"),
}
VERBATIM = (
    *IDENTITY,
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyDescription",
    "ProcedureCodeSequence",
)
INVALID = {
    "sex U": ("PatientSex", "U"),
    "sex in words": ("PatientSex", "male"),
    "birth date with dashes": ("PatientBirthDate", "2022-02-03"),
    "birth date of no calendar": ("PatientBirthDate", "20221345"),
    "study date in words": ("StudyDate", "yesterday"),
    "study time with colons": ("StudyTime", "25:61:99"),
    "age without unit": ("PatientAge", "58"),
    "age without zeros": ("PatientAge", "5Y"),
}


def _patched(old: bytes, new: bytes) -> Dataset:
    """A Latin-1 file with some of its bytes replaced."""
    content = part10(make_instance(SpecificCharacterSet="ISO_IR 100", PatientName=LATIN_1, ReferringPhysicianName=""))
    assert content.count(old) == 1
    return header_of_bytes(content.replace(old, new))


def _declared(header: Dataset) -> list[str]:
    found = header.get("SpecificCharacterSet") or []
    return [found] if isinstance(found, str) else list(found)


@pytest.mark.parametrize("name", CHARACTER_SETS)
def test_a_name_comes_back_in_the_character_set_of_the_source(name: str) -> None:
    declared, person = CHARACTER_SETS[name]
    source = make_header(make_film(SpecificCharacterSet=declared, PatientName=person, ReferringPhysicianName=person))

    for result in make_results(source):
        read = read_back(result)
        assert str(read.PatientName) == person
        assert str(read.ReferringPhysicianName) == person
        assert _declared(read) == _declared(source)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b""),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", b"\x08\x00\x05\x00CS\x00\x00"),
        (b"ISO_IR 100", b"ISO_IR 999"),
        (b"ISO_IR 100", b"ISO-IR 100"),
        (b"ISO_IR 100", b"iso_ir 100"),
        (b"ISO_IR 100", b"LATIN1    "),
    ],
    ids=["missing", "empty", "unknown", "misspelt", "lower case", "made up"],
)
def test_a_name_survives_a_character_set_that_is_not_declared_rightly(old: bytes, new: bytes) -> None:
    for result in make_results(_patched(old, new)):
        read = read_back(result)
        assert LATIN_1.encode("latin-1") in part10(result)
        assert str(read.PatientName) == LATIN_1
        assert _declared(read) == ["ISO_IR 100"]


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        (["ISO 2022 IR 100", "ISO 2022 IR 87"], b"M\xfcller^J=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=M\xfcller"),
        (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"),
    ],
    ids=["Latin-1 and kanji", "Korean", "Chinese", "kana and kanji"],
)
def test_every_text_is_carried_byte_for_byte(declared: list[str], content: bytes) -> None:
    source = make_header(make_film(SpecificCharacterSet=declared, PatientName="A", ReferringPhysicianName="B"))
    for keyword in ("PatientName", "ReferringPhysicianName", "StudyDescription", "PatientComments"):
        source[keyword] = raw_element(Tag(keyword), dictionary_VR(keyword), content)

    for result in make_results(source):
        read = header_of_bytes(part10(result))
        for keyword in ("PatientName", "ReferringPhysicianName", "StudyDescription", "PatientComments"):
            assert read.get_item(keyword).value.rstrip(b" ") == content


def test_a_name_that_cannot_be_of_the_declared_character_set_is_shown_as_it_was_meant() -> None:
    for result in make_results(_patched(b"ISO_IR 100", b"ISO_IR 192")):
        assert LATIN_1.encode("latin-1") in part10(result)
        assert str(read_back(result).PatientName) == LATIN_1


def test_texts_of_sequences_are_in_the_character_set_too() -> None:
    procedure = code("399208008", "SCT", "Röntgen Thorax")
    source = make_header(make_film(SpecificCharacterSet="ISO_IR 100", ProcedureCodeSequence=[procedure]))

    for result in make_results(source):
        assert read_back(result).ProcedureCodeSequence[0].CodeMeaning == "Röntgen Thorax"


@pytest.mark.parametrize("keyword", VERBATIM)
def test_patient_and_study_are_those_of_the_source(keyword: str, header: Dataset) -> None:
    for result in make_results(header):
        assert read_back(result)[keyword] == header[keyword]


def test_further_patient_attributes_go_along() -> None:
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = "OTHER-1", "ELSEWHERE", "TEXT"
    source = make_header(
        make_film(
            OtherPatientIDsSequence=[other], PatientSize="1.02", PatientComments="cooperative", EthnicGroup="unknown"
        )
    )

    for result in make_results(source):
        read = read_back(result)
        assert read.OtherPatientIDsSequence[0].PatientID == "OTHER-1"
        assert (read.PatientSize, read.PatientComments, read.EthnicGroup) == (1.02, "cooperative", "unknown")


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "P" * 80},
        {"AccessionNumber": "A" * 30},
        {"StudyID": "S" * 20},
        {"IssuerOfPatientID": "I" * 70},
        {"StudyInstanceUID": "1.2.840.0099.007"},
        {"PatientName": "N" * 70},
        {"PatientID": "PID\\0001"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_identity_is_verbatim_even_where_it_breaks_the_rules(changes: dict[str, str]) -> None:
    ((keyword, told),) = changes.items()
    source = make_dirty(**changes)

    for result in make_results(source):
        read = header_of_bytes(part10(result))
        assert bytes(told, "ascii") in part10(result)
        assert keyword in read


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_value_is_left_out_and_a_required_attribute_stays_empty(what: str) -> None:
    keyword, told = INVALID[what]
    source = make_dirty(**{keyword: told})

    kept = patient_and_study(source)

    assert not kept.get(keyword)
    assert (keyword in kept) == (keyword != "PatientAge")


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_value_of_the_film_does_not_make_its_results_invalid(what: str, tmp_path: Path) -> None:
    keyword, told = INVALID[what]

    for result in make_results(make_dirty(**{keyword: told})):
        assert validation_errors(result, tmp_path) == []


@pytest.mark.parametrize(
    ("tag", "vr", "content"),
    [
        (0x00200013, "IS", b"seven"),
        (0x00280030, "DS", b"wide\\high"),
        (0x00181164, "DS", b"NaN\\NaN"),
        (0x00281050, "DS", b"middle"),
        (0x00101020, "DS", b"tall"),
        (0x00101030, "US", b"\1"),
        (0x00282112, "DS", b"ten"),
        (0x00200020, "CS", b"left\\foot"),
        (0x00081032, "LO", b"chest"),
        (0x00081032, "SQ", b"\xfe\xff"),
        (0x00102160, "SH", b"\xff\xfe\xfd"),
    ],
)
def test_an_attribute_that_cannot_be_read_spoils_no_result(tag: int, vr: str, content: bytes, tmp_path: Path) -> None:
    source = make_header(make_film(LossyImageCompression="01"))
    source[tag] = raw_element(tag, vr, content)

    for result in make_results(source):
        assert validation_errors(result, tmp_path) == []
        assert str(read_back(result).PatientName) == "Test^Päron"


@pytest.mark.parametrize(
    "keyword",
    [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "ReferringPhysicianName",
        "AccessionNumber",
    ],
)
@pytest.mark.parametrize("told", [None, ""], ids=["absent", "empty"])
def test_a_required_attribute_that_is_unknown_is_there_and_empty(keyword: str, told: str | None) -> None:
    kept = patient_and_study(make_header(make_film(**{keyword: told})))

    assert keyword in kept
    assert not kept[keyword].value


def test_private_and_other_attributes_stay_with_the_source() -> None:
    instance = make_instance(OperatorsName="Somebody^Else", InstitutionName="Hospital")
    instance.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", "secret")

    kept = patient_and_study(make_header(instance))

    assert not [element for element in kept if element.tag.is_private]
    assert "OperatorsName" not in kept
    assert "PixelData" not in kept


def test_that_the_identity_was_removed_goes_along_with_how() -> None:
    method = {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "Profile\\by hand"}
    carried = patient_and_study(make_header(make_film(**method)))
    silent = make_header(make_film(PatientIdentityRemoved="YES"))

    assert {keyword: carried[keyword].value for keyword in method} == method
    assert "PatientIdentityRemoved" not in patient_and_study(silent)
    assert [repair.keyword for repair in repairs(silent)] == ["PatientIdentityRemoved"]


def test_all_that_patient_and_study_modules_hold_makes_valid_results(tmp_path: Path) -> None:
    further = {
        "QualityControlSubject": "NO",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "Profile",
        "DeidentificationMethodCodeSequence": [code("113100", "DCM", "Basic Application Confidentiality Profile")],
        "ConsultingPhysicianName": "Doe^Jane",
        "MedicalAlerts": ["one", "two"],
        "Allergies": "pollen",
        "SmokingStatus": "UNKNOWN",
        "PregnancyStatus": 4,
        "PatientState": "calm",
        "ServiceEpisodeID": "E-7",
    }
    header = make_header(make_film(**further))

    assert set(further) <= {element.keyword for element in patient_and_study(header)}
    assert [validation_errors(result, tmp_path) for result in make_results(header)] == [[], []]


def test_a_sequence_that_cannot_be_written_is_left_out() -> None:
    scheme = b"\x08\x00\x02\x01SH"
    content = part10(make_instance(modality="CR"))
    assert content.count(scheme) == 1
    source = header_of_bytes(content.replace(scheme, scheme.replace(b"SH", b"S\xff")))

    for result in make_results(source):
        assert read_back(result).PatientID == "PID-0001"


def test_the_source_is_not_changed() -> None:
    source = make_header(make_film())
    before = source.to_json()

    patient_and_study(source).ProcedureCodeSequence[0].CodeMeaning = "changed"

    assert source.to_json() == before


def test_what_is_taken_over_goes_before_what_was_there() -> None:
    target, attributes = Dataset(), Dataset()
    target.PatientID, target.Modality, target.SpecificCharacterSet = "old", "SR", "ISO_IR 192"
    attributes.PatientID = "new"

    take_over(attributes, target)

    assert (target.PatientID, target.Modality) == ("new", "SR")
    assert "SpecificCharacterSet" not in target


@pytest.mark.parametrize(("told", "expected"), [("01", True), ("00", False), ("", False), (None, False)])
def test_a_source_is_lossy_when_it_says_so(told: str | None, expected: bool) -> None:
    assert is_lossy(make_instance(LossyImageCompression=told)) is expected


@pytest.mark.parametrize(
    ("offset", "expected"),
    [("+0900", "20260106013000"), ("-0330", "20260105130000"), (None, "20260105163000"), ("Berlin", "20260105163000")],
)
def test_every_time_of_a_result_is_in_the_zone_that_it_carries(offset: str | None, expected: str) -> None:
    when = datetime(2026, 1, 5, 16, 30, tzinfo=UTC)
    image = make_read_image(make_dirty(TimezoneOffsetFromUTC=offset))
    capture = build_capture(image, AUTHOR, "positive", when)
    report = build_report([(image, capture)], AUTHOR, Edition(revision=1, when=when))

    for result in map(read_back, (capture, report)):
        assert result.ContentDate + result.ContentTime == expected
        assert result.InstanceCreationDate + result.InstanceCreationTime == expected
        assert result.ContributingEquipmentSequence[0].ContributionDateTime == expected
    assert capture.DateOfSecondaryCapture + capture.TimeOfSecondaryCapture == expected
