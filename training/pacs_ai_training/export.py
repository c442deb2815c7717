"""A trained network as the service ships it: an ordinary `.keras` file with its weights in float16."""

import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import keras
import numpy as np

from .errors import written

MODEL_NAME = "model.keras"
_WEIGHTS = "model.weights.h5"
_FIXED_TIME = (2026, 1, 1, 0, 0, 0)  # the same weights give the same file; HDF5 keeps times when it tracks order


def export_model(model: keras.Model, folder: Path, name: str = MODEL_NAME) -> tuple[Path, str]:
    """(file, SHA-256): any Keras loads the file, as float32; the rounding is far below what training left open."""
    folder.mkdir(parents=True, exist_ok=True)
    full, part, path = folder / "full.keras", folder / "model.part", folder / name
    with written(folder):
        model.save(full)
        with zipfile.ZipFile(full) as source, zipfile.ZipFile(part, "w") as target:
            for entry in sorted(source.namelist()):
                content = _halved(source.read(entry)) if entry == _WEIGHTS else _timeless(entry, source.read(entry))
                target.writestr(zipfile.ZipInfo(entry, _FIXED_TIME), content, compress_type=zipfile.ZIP_STORED)
        part.replace(path)
        full.unlink()
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def _timeless(name: str, content: bytes) -> bytes:
    """Without the time of day and the places in memory that Keras writes down."""
    if not name.endswith(".json"):
        return content
    document = json.loads(content)
    document.pop("date_saved", None)
    return json.dumps(_renumbered(document, {})).encode()


def _renumbered(part: object, numbers: dict[int, int]) -> object:
    """Objects that are shared are numbered in the order in which they come."""
    if isinstance(part, list):
        return [_renumbered(one, numbers) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: numbers.setdefault(value, len(numbers)) if key == "shared_object_id" else _renumbered(value, numbers)
        for key, value in part.items()
    }


def _halved(content: bytes) -> bytes:
    buffer = BytesIO()
    with h5py.File(BytesIO(content)) as source, h5py.File(buffer, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                made: h5py.Group | h5py.Dataset = target.require_group(name)
            else:
                values = item[()]
                is_float = np.asarray(values).dtype == np.float32
                made = target.create_dataset(name, data=values.astype(np.float16) if is_float else values)
            for key, attribute in item.attrs.items():
                made.attrs[key] = attribute

        source.visititems(copy)
        for key, attribute in source.attrs.items():
            target.attrs[key] = attribute
    return buffer.getvalue()
