"""A network for other programs: ONNX with a card of its own beside it, or a TensorFlow SavedModel."""

import hashlib
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from pacs_ai.inference.card import CARD_NAME, ModelCard, read_card, verify
from pacs_ai.inference.classifier import ONNX_SUFFIX

from .card import rewrite_card
from .errors import FilmError, written

_OPSET = 17


def export_elsewhere(model: str | Path, out: Path) -> Path:
    """The network at `out`, in float32: a `.onnx` file with a card in its folder, or a folder with a SavedModel.

    Raises FilmError when there is something at `out` already, or a card that speaks of another file.
    """
    card = read_card(model)
    verify(card)
    if out.exists() or (out.suffix == ONNX_SUFFIX and (out.parent / CARD_NAME).exists()):
        message = f"{out}: there is a network already; choose another place"
        raise FilmError(message)
    network = keras.saving.load_model(card.weights, compile=False)
    with written(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        return _write_onnx(network, card, out) if out.suffix == ONNX_SUFFIX else _write_saved_model(network, out)


def _write_onnx(network: keras.Model, card: ModelCard, out: Path) -> Path:
    """ONNX has no gradients: heat maps and the detector, which looks inside the network, stay behind."""
    import tf2onnx  # noqa: PLC0415 - an extra that few need

    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name="images")]
    run = tf.function(lambda images: network(images, training=False), input_signature=signature)
    part = out.with_suffix(".part")
    tf2onnx.convert.from_function(run, input_signature=signature, opset=_OPSET, output_path=str(part))
    part.replace(out)
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    left = {key: value for key, value in card.document.items() if key not in {"detector", "examples"}}
    rewrite_card(out.parent, left | {"file": out.name, "sha256": sha256, "made_from": card.identity.sha256})
    return out


def _write_saved_model(network: keras.Model, out: Path) -> Path:
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    network.export(str(part), format="tf_saved_model", verbose=False)
    part.replace(out)
    return out
