"""Files damaged by a fuzzer with a seed: the same seed gives the same damage."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    generate_uid,
)
from pynetdicom.dsutils import split_dataset

from tests.builders import LOSSLESS, make_instance, part10, phantom

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEG2000,
    HTJ2K,
    *LOSSLESS,
)
_NESTED = struct.pack("<HHHHIHHI", 0x0040, 0xA730, 0x5153, 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
Mutation = Callable[[bytearray, int, np.random.Generator], bytearray]


def _flip_header(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 6))):
        content[int(rng.integers(0, pixels))] = int(rng.integers(256))
    return content


def _flip_pixels(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    for _ in range(int(rng.integers(1, 20))):
        content[int(rng.integers(pixels, len(content)))] = int(rng.integers(256))
    return content


def _flip_codestream_front(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    """Where a codestream says how large it is and how it is coded."""
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(pixels, min(pixels + 160, len(content))))] = int(rng.integers(256))
    return content


def _cut(content: bytearray, _pixels: int, rng: np.random.Generator) -> bytearray:
    return content[: int(rng.integers(1, len(content)))]


def _cut_out(content: bytearray, _pixels: int, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, len(content) - 1))
    del content[start : start + int(rng.integers(1, 400))]
    return content


def _lie_about_a_length(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    at = int(rng.integers(0, pixels))
    content[at : at + 4] = bytes(rng.choice([[255] * 4, [0] * 4, [255, 255, 255, 127], [254, 255, 255, 255]]).tolist())
    return content


def _repeat(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(0, pixels))
    piece = content[start : start + int(rng.integers(8, 200))]
    return content[:start] + piece * int(rng.integers(2, 40)) + content[start:]


def _nest(content: bytearray, pixels: int, rng: np.random.Generator) -> bytearray:
    return content[:pixels] + bytearray(_NESTED) * int(rng.integers(10, 3000)) + content[pixels:]


MUTATIONS: tuple[Mutation, ...] = (
    _flip_header,
    _flip_pixels,
    _flip_codestream_front,
    _cut,
    _cut_out,
    _lie_about_a_length,
    _repeat,
    _nest,
)


def damaged_files(folder: Path, count: int, *, seed: int) -> Iterator[Path]:
    """`count` files, every syntax in turn, whose data sets are damaged and whose file meta is not."""
    rng = np.random.default_rng(seed)
    sound = [_sound(syntax) for syntax in SYNTAXES]
    for number in range(count):
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(part10(_another(sound[number % len(sound)])))
        start = split_dataset(path)[1]
        content = path.read_bytes()
        data_set = bytearray(content[start:])
        front = max(data_set.find(b"\xe0\x7f\x10\x00"), data_set.find(b"\x7f\xe0\x00\x10"))
        mutate = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        path.write_bytes(content[:start] + bytes(mutate(data_set, front if front > 0 else len(data_set) // 2, rng)))
        yield path


def _sound(syntax: UID) -> Dataset:
    bits = 8 if syntax == JPEGBaseline8Bit else 12
    return make_instance(stored=phantom(640, 560, bits=bits), bits=bits, syntax=syntax)


def _another(instance: Dataset) -> Dataset:
    """The same film as another instance of another study."""
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(instance, keyword, generate_uid())
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    return instance
