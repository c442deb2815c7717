"""Every report and capture that the tests build, before the validators of the field; runs last, see tests/conftest.py.

The forms below are always there. What the rest of the session made, in memory, in stores and in peers' folders, comes
to them: objects harmed on purpose are changed after they were collected, and none of those is written again.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from pacs_ai.findings import Refusal, RefusalReason
from pacs_ai.results.capture import HeatMapPolicy, build_capture, uncompressed
from pacs_ai.results.facts import ReadImage, RefusedImage
from pacs_ai.results.report import build_report
from pacs_ai.results.source import repairs
from pacs_ai.results.verification import check_report
from tests import collection
from tests.builders import part10
from tests.unit.dirty import DIRTY, UID_WARNINGS, make_dirty_film
from tests.unit.making import (
    AUTHOR,
    FIRST,
    WHEN,
    header_of_bytes,
    make_film,
    make_header,
    make_read_image,
    make_results,
)
from tests.unit.sources import SOURCES, make_source
from tests.validators import (
    beside_identity,
    complaints_of_pixelmed,
    covering,
    dcentvfy,
    dciodvfy,
    dsrdump,
    places,
    start_pixelmed,
)

pytestmark = [pytest.mark.filterwarnings(warning) for warning in UID_WARNINGS]
STUDY = "2.25.20260105"
# Every form below makes a report, most a capture as well.
LEAST_REPORTS, LEAST_CAPTURES = 40, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The objects of one study: its sources as files and what was made of them."""

    name: str
    sources: tuple[bytes, ...]
    captures: tuple[Dataset, ...]
    report: Dataset


def _form(name: str, *headers: Dataset, probability: float = 0.9, policy: HeatMapPolicy = "positive") -> Form:
    images = [make_read_image(header, probability) for header in headers]
    return _built(name, images, [], policy)


def _built(name: str, images: list[ReadImage], refused: list[RefusedImage], policy: HeatMapPolicy = "positive") -> Form:
    captures = [build_capture(image, AUTHOR, policy, WHEN) for image in images]
    report = build_report(list(zip(images, captures, strict=True)), AUTHOR, FIRST, refused=refused)
    sources = tuple(part10(image.header) for image in (*images, *refused))
    return Form(name=name, sources=sources, captures=tuple(captures), report=report)


def _dirty(name: str) -> Form:
    content = make_dirty_film(name)
    capture, report = make_results(header_of_bytes(content))
    sources = (content,) if DIRTY[name].whole else ()
    return Form(name=f"dirty: {name}", sources=sources, captures=(capture,), report=report)


def _refused(*reasons: RefusalReason) -> list[RefusedImage]:
    return [
        RefusedImage(
            header=make_header(make_film(StudyInstanceUID=STUDY)),
            refusal=Refusal(reason=reason, detail="Why, in words."),
        )
        for reason in reasons
    ]


def _films(number: int) -> list[Dataset]:
    return [make_header(make_film(StudyInstanceUID=STUDY)) for _ in range(number)]


def _forms() -> list[Form]:
    """Positive and negative, of one film and of several, refused ones too, clean and dirty headers."""
    mixed = [make_read_image(film, probability) for film, probability in zip(_films(2), (0.9, 0.1), strict=True)]
    return [
        *(_form(f"{name}, positive", make_source(name)) for name in SOURCES),
        *(_form(f"{name}, negative", make_source(name), probability=0.1) for name in SOURCES),
        *(_form(f"heat map {policy}", *_films(1), policy=policy) for policy in ("always", "never")),
        _form("three films", *_films(3)),
        _built("read and refused", mixed, _refused(*RefusalReason)),
        _built("refused alone", [], _refused(*RefusalReason)),
        *(_dirty(name) for name in DIRTY),
    ]


@pytest.fixture(scope="module")
def forms() -> list[Form]:
    return _forms()


@pytest.fixture(scope="module")
def objects(forms: list[Form], tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Dataset]:
    """Every object of ours that this session has made, one of each form, with what it says."""
    folder = tmp_path_factory.mktemp("objects")
    for form in forms:
        for result in (*form.captures, form.report):
            part10(result)
    plain = folder / "plain.dcm"
    plain.write_bytes(part10(forms[0].captures[0]))
    part10(uncompressed(plain))
    collection.keep_files(tmp_path_factory.getbasetemp())
    found = {}
    for number, content in enumerate(collection.kept()):
        path = folder / f"{number}.dcm"
        path.write_bytes(content)
        found[path] = dcmread(path)
    return found


@pytest.fixture(scope="module")
def reports(objects: dict[Path, Dataset]) -> dict[Path, Dataset]:
    return {path: said for path, said in objects.items() if said.SOPClassUID == Comprehensive3DSRStorage}


def test_there_is_something_to_judge(objects: dict[Path, Dataset], reports: dict[Path, Dataset]) -> None:
    assert len(reports) >= LEAST_REPORTS
    assert len(objects) - len(reports) >= LEAST_CAPTURES


@pytest.fixture(scope="module")
def judged(reports: dict[Path, Dataset], forms: list[Form]) -> Iterator[tuple[list[Path], subprocess.Popen[bytes]]]:
    """Reports under way at PixelMed, the last of them harmed; the other validators work meanwhile."""
    chosen = covering({path: places(report) for path, report in reports.items()})
    harmed = dcmread(chosen[0])
    harmed.ContentSequence[0].RelationshipType = "CONTAINS"
    harmed.save_as(chosen[0].with_name("harmed.dcm"))
    paths = [*chosen, chosen[0].with_name("harmed.dcm")]
    running = start_pixelmed(paths)
    yield paths, running
    running.kill()
    running.communicate()


@pytest.mark.usefixtures("judged")
def test_every_object_is_valid_as_its_iod(objects: dict[Path, Dataset]) -> None:
    with ThreadPoolExecutor(2) as pool:
        judged = zip(objects.items(), pool.map(dciodvfy, objects), strict=True)
        complaints = {path.name: _unknown(lines, made) for (path, made), lines in judged}

    assert {name: said for name, said in complaints.items() if said} == {}


def _unknown(lines: list[str], made: Dataset) -> list[str]:
    """What is said beside the values of identity keys. dciodvfy does not know GBK, a term since 2014 (CP 1234)."""
    is_gbk = made.get("SpecificCharacterSet") == "GBK"
    return [line for line in beside_identity(lines) if not (is_gbk and "Character invalid for" in line)]


def test_every_report_is_a_document_to_dcmtk_and_in_order_to_our_profile(reports: dict[Path, Dataset]) -> None:
    with ThreadPoolExecutor(2) as pool:
        complaints = dict(zip(reports, pool.map(dsrdump, reports), strict=True))

    assert {path.name: said for path, said in complaints.items() if said} == {}
    assert {path.name: said for path, report in reports.items() if (said := check_report(report))} == {}


# Of the patient, and not in results: it would require what is said of an animal (PS3.3 C.7.1.1).
_NEVER_CARRIED = ("PatientSpeciesDescription", "ResponsiblePerson")


def test_source_captures_and_report_agree_but_for_what_was_repaired(forms: list[Form], tmp_path: Path) -> None:
    complaints = {}
    for form in forms:
        paths = []
        results = [part10(result) for result in (*form.captures, form.report)]
        for number, content in enumerate((*form.sources, *results)):
            paths.append(tmp_path / f"{number}.dcm")
            paths[-1].write_bytes(content)
        repaired = {repair.keyword for source in form.sources for repair in repairs(header_of_bytes(source))}
        # The references of a source may be broken; those of results without their source lead nowhere here.
        are_whole = form.sources and "ReferencedStudySequence" not in repaired
        no_matter = [f"<{keyword}>" for keyword in (*repaired, *_NEVER_CARRIED)] + (
            [] if are_whole else ["Missing SOPInstanceUID"]
        )
        said = [line for line in dcentvfy(paths) if not any(words in line for words in no_matter)]
        if said:
            complaints[form.name] = said

    assert complaints == {}


def test_every_content_item_is_in_order_to_pixelmed(judged: tuple[list[Path], subprocess.Popen[bytes]]) -> None:
    """A second for each report: so many of them that each content item, at its place, with its code, is judged."""
    paths, running = judged

    *said, harmed = complaints_of_pixelmed(running, paths).values()

    assert [lines for lines in said if lines] == []
    assert harmed != []


def test_the_validators_see_what_is_wrong(objects: dict[Path, Dataset], forms: list[Form], tmp_path: Path) -> None:
    harmed, other = tmp_path / "harmed.dcm", tmp_path / "other.dcm"
    report = dcmread(BytesIO(part10(forms[0].report)))
    report.PatientID = "ANOTHER"
    del report.InstanceNumber
    report.ContentSequence[0].ValueType = "NOTHING"
    report.save_as(harmed)
    other.write_bytes(part10(forms[0].captures[0]))

    assert beside_identity(dciodvfy(harmed)) != []
    assert dsrdump(harmed) != []
    assert dcentvfy([other, harmed]) != []
