"""The Secondary Capture, read back and judged as its IOD."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from pacs_ai.results.capture import build_capture, caption, uncompressed
from tests.builders import part10

from .making import (
    AUTHOR,
    WHEN,
    make_dirty,
    make_film,
    make_header,
    make_read_image,
    make_results,
    raw_element,
    read_back,
)
from .peers import validation_errors
from .sources import SOURCES, make_source

TOKYO = timezone(timedelta(hours=9))


def _capture(source: Dataset, probability: float = 0.87, **changes: Any) -> Dataset:
    return read_back(make_results(source, probability, **changes)[0])


@pytest.mark.parametrize("probability", [0.87, 0.13])
@pytest.mark.parametrize("name", SOURCES)
def test_a_capture_is_a_valid_secondary_capture(name: str, probability: float, tmp_path: Path) -> None:
    capture = _capture(make_source(name), probability)

    assert validation_errors(capture, tmp_path) == []
    assert capture.SOPClassUID == SecondaryCaptureImageStorage
    assert capture.file_meta.TransferSyntaxUID == JPEGBaseline8Bit


def test_a_capture_is_in_a_series_of_its_own_in_the_study_of_its_film(header: Dataset) -> None:
    capture = _capture(header)

    assert capture.StudyInstanceUID == header.StudyInstanceUID
    assert capture.SeriesInstanceUID != header.SeriesInstanceUID
    assert capture.SOPInstanceUID != header.SOPInstanceUID
    assert capture.Modality == "OT"


def test_the_captures_of_a_study_are_in_one_series() -> None:
    study = {"StudyInstanceUID": "1.2.3.4"}
    first, second = (_capture(make_header(make_film(**study))) for _ in range(2))

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_a_capture_names_its_film_as_the_source(header: Dataset) -> None:
    (source,) = _capture(header).SourceImageSequence

    assert source.ReferencedSOPClassUID == header.SOPClassUID
    assert source.ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


@pytest.mark.parametrize(("told", "expected"), [("YES", "YES"), ("NO", "NO"), (None, None), ("MAYBE", None)])
def test_what_is_burned_into_the_film_is_burned_into_its_capture(told: str | None, expected: str | None) -> None:
    header = make_header(make_film(BurnedInAnnotation=told))

    assert _capture(header).get("BurnedInAnnotation") == expected


def test_places_of_the_film_are_those_of_a_capture_that_is_as_large_alone(header: Dataset) -> None:
    image = make_read_image(header)
    rows, columns = image.display.shape
    as_large = replace(image, header=make_header(make_film(Rows=rows, Columns=columns)))

    said = [build_capture(each, AUTHOR, "always", WHEN).SourceImageSequence[0] for each in (image, as_large)]

    assert [source.SpatialLocationsPreserved for source in said] == ["NO", "YES"]


def test_a_capture_has_the_same_uid_in_every_zone(header: Dataset) -> None:
    image, when = make_read_image(header), WHEN.replace(tzinfo=UTC)

    here, there = (build_capture(image, AUTHOR, "always", when.astimezone(zone)) for zone in (UTC, TOKYO))

    assert here.SOPInstanceUID == there.SOPInstanceUID


def test_a_capture_says_that_it_is_derived_and_how(header: Dataset) -> None:
    drawn, plain = _capture(header, policy="always"), _capture(header, policy="never")

    assert list(drawn.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert drawn.DerivationCodeSequence[0].CodeValue == "130403"
    assert "Grad-CAM" in drawn.DerivationDescription
    assert "DerivationCodeSequence" not in plain
    assert "Grad-CAM" not in plain.DerivationDescription


def test_a_capture_is_a_colour_image_of_eight_bits(header: Dataset) -> None:
    capture = _capture(header)

    assert capture.pixel_array.shape == (capture.Rows, capture.Columns, 3)
    assert capture.pixel_array.any()


def test_nobody_is_named_in_the_picture(header: Dataset) -> None:
    said = " ".join(caption(make_read_image(header), AUTHOR))

    assert not [part for part in ("Test", "Päron", "PID-0001", "2022") if part in said]


@pytest.mark.parametrize(("probability", "expected"), [(0.87, "PRESENT"), (0.5, "PRESENT"), (0.4999, "ABSENT")])
def test_the_caption_names_finding_probability_operating_point_and_network(
    header: Dataset, probability: float, expected: str
) -> None:
    said = " ".join(caption(make_read_image(header, probability), AUTHOR))

    assert f"PNEUMONIA: {expected}" in said
    assert f"{probability:.1%}" in said
    assert "operating point 50.0%" in said
    assert "tiny 0.0.1 (01234567)" in said
    assert "Not for diagnosis" in said


def test_the_caption_tells_that_the_population_was_not_checked(header: Dataset) -> None:
    permissive = replace(AUTHOR, outside_population_allowed=True)

    assert "population" in caption(make_read_image(header), permissive)[1]
    assert "population" not in caption(make_read_image(header), AUTHOR)[1]


def test_a_capture_names_the_device_and_its_weights(header: Dataset) -> None:
    capture = _capture(header)
    (equipment,) = capture.ContributingEquipmentSequence

    assert capture.ManufacturerModelName == equipment.ManufacturerModelName == "tiny"
    assert equipment.SoftwareVersions == ["9.8.7", "0.0.1"]
    assert equipment.DeviceUID == AUTHOR.device_uid
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_the_spacing_is_that_of_the_picture_as_it_was_resized(header: Dataset) -> None:
    capture = _capture(header)

    rows, columns = make_read_image(header).display.shape
    assert list(capture.PixelSpacing) == pytest.approx([0.168 * 640 / rows, 0.168 * 576 / columns], rel=1e-5)
    assert capture.NominalScannedPixelSpacing == capture.PixelSpacing


def test_a_film_without_spacing_gives_a_capture_without() -> None:
    capture = _capture(make_header(make_film(modality="CR", ImagerPixelSpacing=None)))

    assert "PixelSpacing" not in capture
    assert "NominalScannedPixelSpacing" not in capture


def test_a_spacing_of_zero_leaves_it_to_the_other() -> None:
    spacing = {"PixelSpacing": ["0", "0"], "ImagerPixelSpacing": ["0.168", "0.168"]}

    assert _capture(make_header(make_film(**spacing))).PixelSpacing == _capture(make_header(make_film())).PixelSpacing


def test_numbers_that_nothing_has_fit_their_vr_too(tmp_path: Path) -> None:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_10918_1"}
    source = make_film(**lossy, LossyImageCompressionRatio="2E14", ImagerPixelSpacing=["1E14", "1E14"])

    assert validation_errors(_capture(make_header(source)), tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "ratios", "methods"),
    [
        ({"LossyImageCompressionRatio": "9.5", "LossyImageCompressionMethod": "ISO_10918_1"}, [9.5], ["ISO_10918_1"]),
        (
            {"LossyImageCompressionRatio": ["3", "2"], "LossyImageCompressionMethod": ["ISO_15444_1", "ISO_14495_1"]},
            [3, 2],
            ["ISO_15444_1", "ISO_14495_1"],
        ),
        ({"LossyImageCompressionMethod": "ISO_10918_1"}, [], []),
        ({"LossyImageCompressionRatio": "-1", "LossyImageCompressionMethod": "ISO_10918_1"}, [], []),
        ({"LossyImageCompressionRatio": "9", "LossyImageCompressionMethod": "Jpeg lossy"}, [], []),
        ({}, [], []),
    ],
)
def test_what_was_lost_here_comes_after_what_was_lost_before(
    changes: dict[str, Any], ratios: list[float], methods: list[str]
) -> None:
    capture = _capture(make_dirty(LossyImageCompression="01", **changes))

    *before, ours = np.atleast_1d(capture.LossyImageCompressionRatio)
    assert capture.LossyImageCompression == "01"
    assert (before, list(np.atleast_1d(capture.LossyImageCompressionMethod))) == (ratios, [*methods, "ISO_10918_1"])
    assert ours == pytest.approx(capture.Rows * capture.Columns * 3 / len(_frame(capture)), abs=0.01)


def test_a_ratio_too_long_for_its_vr_is_shortened(tmp_path: Path) -> None:
    source = make_header(make_film(LossyImageCompression="01", LossyImageCompressionMethod="ISO_10918_1"))
    source[0x00282112] = raw_element(0x00282112, "DS", b"33.33333333333333333")

    capture = _capture(source)

    assert validation_errors(capture, tmp_path) == []
    assert float(capture.LossyImageCompressionRatio[0]) == pytest.approx(100 / 3)


def test_the_loss_of_the_capture_itself_is_stated(header: Dataset) -> None:
    capture = _capture(header)

    assert (capture.LossyImageCompression, capture.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert capture.LossyImageCompressionRatio > 1


def test_the_colour_is_subsampled_as_the_photometric_interpretation_says(header: Dataset) -> None:
    capture = _capture(header)

    factors = _sampling(_frame(capture))
    assert capture.PhotometricInterpretation == "YBR_FULL_422"
    assert factors == [(2, 1), (1, 1), (1, 1)]


def test_a_node_that_takes_no_jpeg_gets_the_same_instance_and_picture(header: Dataset, tmp_path: Path) -> None:
    capture = _capture(header)
    path = tmp_path / "capture.dcm"
    path.write_bytes(part10(capture))

    plain = uncompressed(path)

    assert validation_errors(plain, tmp_path) == []
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (plain.SOPInstanceUID, plain.PhotometricInterpretation) == (capture.SOPInstanceUID, "RGB")
    assert (plain.LossyImageCompression, plain.PlanarConfiguration) == ("01", 0)
    np.testing.assert_array_equal(plain.pixel_array, read_back(capture).pixel_array)
    assert part10(plain) == part10(uncompressed(path))


def _frame(capture: Dataset) -> bytes:
    return get_frame(capture.PixelData, 0, number_of_frames=1)


def _sampling(frame: bytes) -> list[tuple[int, int]]:
    """(horizontal, vertical) sampling of each component, from SOF0 (ISO 10918-1 B.2.2)."""
    start = frame.index(b"\xff\xc0")
    return [(frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(start + 10, start + 10 + 3 * frame[start + 9], 3)]


@pytest.mark.parametrize(
    ("number", "expected"),
    [("7", 7), ("", 1), ("-3", 1), ("seven", 1), ("99999999999", 1)],
)
def test_the_instance_number_is_that_of_the_film_where_it_has_a_valid_one(number: str, expected: int) -> None:
    source = make_header(make_film())
    source[0x00200013] = raw_element(0x00200013, "IS", number.encode())

    assert _capture(source).InstanceNumber == expected


def test_the_same_arguments_give_the_same_bytes(header: Dataset) -> None:
    first, second = (make_results(header)[0] for _ in range(2))

    assert part10(first) == part10(second)


def test_whatever_changes_the_picture_changes_the_uid(header: Dataset) -> None:
    image = make_read_image(header)
    model = AUTHOR.model
    captures = [
        build_capture(image, AUTHOR, "positive", WHEN),
        build_capture(image, AUTHOR, "always", WHEN),
        build_capture(image, AUTHOR, "positive", WHEN + timedelta(seconds=1)),
        build_capture(image, AUTHOR, "positive", WHEN, rerun=1),
        build_capture(image, replace(AUTHOR, threshold=0.4), "positive", WHEN),
        build_capture(image, replace(AUTHOR, software_version="9.8.8"), "positive", WHEN),
        build_capture(image, replace(AUTHOR, outside_population_allowed=True), "positive", WHEN),
        build_capture(image, replace(AUTHOR, model=replace(model, name="other")), "positive", WHEN),
        build_capture(image, replace(AUTHOR, model=replace(model, version="0.0.2")), "positive", WHEN),
        build_capture(image, replace(AUTHOR, model=replace(model, sha256="f" * 64)), "positive", WHEN),
        build_capture(make_read_image(make_header(make_film())), AUTHOR, "positive", WHEN),
    ]

    assert len({capture.SOPInstanceUID for capture in captures}) == len(captures)
