"""Deflated data sets are inflated no further than a limit."""

import zlib
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pacs_ai.deflation import inflate, is_deflated, read_deflated
from pacs_ai.errors import LimitExceeded
from pacs_ai.imaging.film import read_header
from tests.builders import Stored, make_instance, part10


def _deflated(content: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


@pytest.fixture
def bomb(film_path: Path, small: Stored) -> Path:
    """A kilobyte for each megabyte that it becomes."""
    content = part10(make_instance(stored=small, syntax=DeflatedExplicitVRLittleEndian, PixelData=bytes(64 << 20)))
    assert len(content) < 1 << 20
    film_path.write_bytes(content)
    return film_path


def test_the_first_bytes_come_without_the_rest() -> None:
    assert inflate(_deflated(bytes(range(256)) * 4096), 300) == bytes(range(256)) + bytes(range(44))


def test_a_data_set_that_inflates_beyond_the_limit_is_refused(bomb: Path) -> None:
    with pytest.raises(LimitExceeded, match="more than 16 MB"):
        read_header(bomb, max_bytes=16 << 20)


def test_a_data_set_within_the_limit_is_read_with_its_meta(bomb: Path) -> None:
    whole = read_deflated(bomb, stop_before_pixels=False, max_bytes=128 << 20)
    header = read_deflated(bomb, stop_before_pixels=True, max_bytes=128 << 20)

    assert whole is not None
    assert header is not None
    assert len(whole.PixelData) == 64 << 20
    assert "PixelData" not in header
    assert header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert header.StudyInstanceUID == whole.StudyInstanceUID


def test_a_file_without_preamble_inflates_no_further_either(bomb: Path) -> None:
    bomb.write_bytes(bomb.read_bytes()[132:])

    assert is_deflated(bomb)
    with pytest.raises(LimitExceeded):
        read_header(bomb, max_bytes=16 << 20)


def test_a_file_that_only_mentions_the_syntax_is_read_as_what_it_is(film_path: Path, small: Stored) -> None:
    instance = make_instance(
        stored=small, syntax=ExplicitVRLittleEndian, ImageComments=str(DeflatedExplicitVRLittleEndian)
    )
    film_path.write_bytes(part10(instance))

    assert is_deflated(film_path)
    assert read_deflated(film_path, stop_before_pixels=True, max_bytes=1 << 20) is None
    assert read_header(film_path, max_bytes=1 << 20).SOPInstanceUID == instance.SOPInstanceUID
