"""What can still be read of an instance that cannot be opened: the elements before the damage, in its first megabytes.

An instance that was accepted is answered in its study's report, which takes no more than who it belongs to.
"""

import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from pacs_ai.deflation import inflate
from pacs_ai.errors import LimitExceeded
from pacs_ai.header import PARSE_ERRORS, quietly, text
from pacs_ai.meta import read_meta
from pacs_ai.metered import MeteredFile

IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MOST = 4 << 20
_PIXEL_DATA = 0x7FE00010


def read_front(path: Path) -> Dataset | None:
    """The elements that come before the damage or the pixels; None when the UIDs of an instance are not among them."""
    with path.open("rb") as opened:
        file = MeteredFile(opened.read(_MOST))
    try:
        with quietly():
            header = _elements(file)
    except PARSE_ERRORS:
        return None
    return header if all(text(header, keyword) for keyword in IDENTIFIERS) else None


def _elements(file: MeteredFile) -> Dataset:
    meta = read_meta(file)
    syntax = meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        file = MeteredFile(_inflated(file.read()))
    is_implicit, is_little_endian = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    header = Dataset()
    header.file_meta = meta
    header.set_original_encoding(is_implicit, is_little_endian)
    elements = data_element_generator(
        file, is_implicit, is_little_endian, stop_when=lambda tag, _vr, _length: tag == _PIXEL_DATA
    )
    try:
        for element in elements:
            header[element.tag] = element
    except (LimitExceeded, *PARSE_ERRORS):
        pass  # what came before is what is asked for
    return header


def _inflated(content: bytes) -> bytes:
    try:
        return inflate(content, _MOST)
    except zlib.error:
        return b""
