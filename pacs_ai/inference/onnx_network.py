"""An ONNX network as the service runs it. It cannot be differentiated here, so that its readings have no heat map."""

from pathlib import Path

import numpy as np

from pacs_ai.errors import ModelError

from .card import PROBABILITY, ModelCard
from .network import BATCH_SIZES, Floats, Outputs

_EDGE = 1e-7  # float32 probabilities nearer to 0 or 1 than this have no logit


class OnnxNetwork:
    """One input of (n, rows, columns, channels) or (n, channels, rows, columns), channels 1 or 3; one output."""

    def __init__(self, card: ModelCard) -> None:
        """The session is open; ModelError when the file is not of that form or ONNX Runtime is not installed."""
        try:
            import onnxruntime as ort  # noqa: PLC0415 - an extra that sites with Keras networks do not install
            from onnxruntime.capi import onnxruntime_pybind11_state as states  # noqa: PLC0415
        except ImportError as error:
            message = f"{card.weights}: an ONNX network needs ONNX Runtime; pip install 'pacs-ai[onnx]'"
            raise ModelError(message) from error
        # The library's exceptions have no class of their own in common.
        refusals = (
            states.Fail,
            states.InvalidArgument,
            states.InvalidGraph,
            states.InvalidProtobuf,
            states.NotImplemented,
            states.RuntimeException,
        )
        try:
            self._session = ort.InferenceSession(str(card.weights), providers=["CPUExecutionProvider"])
        except refusals as error:
            message = f"{card.weights}: not an ONNX model that can be used here ({type(error).__name__}: {error})"
            raise ModelError(message) from error
        self._input, (self._channels, self._has_channels_first, self._is_one_by_one) = self._only_input(card.weights)
        self._is_probability = card.output == PROBABILITY
        blank = np.zeros((BATCH_SIZES[0], card.input_size, card.input_size, 1), np.float32)
        try:
            self.run(blank)
        except (ModelError, *refusals) as error:
            message = f"{card.weights}: cannot read images of {card.input_size} x {card.input_size} ({error})"
            raise ModelError(message) from error

    def run(self, images: Floats) -> Outputs:
        """Outputs for (n, rows, columns, 1), n one of BATCH_SIZES."""
        laid_out = np.repeat(images, self._channels, axis=-1)
        if self._has_channels_first:
            laid_out = np.ascontiguousarray(laid_out.transpose(0, 3, 1, 2))
        if self._is_one_by_one:  # exported for one image at a time
            found = np.concatenate([self._said(laid_out[row : row + 1]) for row in range(len(laid_out))])
        else:
            found = self._said(laid_out)
        logits = _logit_of(found) if self._is_probability else found
        return Outputs(logits=logits, maps=None, features=np.zeros((len(images), 0), np.float32))

    def _said(self, images: Floats) -> Floats:
        found = np.asarray(self._session.run(None, {self._input: images})[0], np.float32)
        if found.size != len(images):
            message = f"it gives {found.shape} for {len(images)} images; one figure for each is needed"
            raise ModelError(message)
        return found.reshape(-1)

    def _only_input(self, path: Path) -> tuple[str, tuple[int, bool, bool]]:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            message = f"{path}: a network with one float image as input and one output is needed"
            raise ModelError(message)
        shape = inputs[0].shape
        if not {1, 3} & {shape[1], shape[3]}:
            message = f"{path}: takes {shape}; one grey channel or three equal ones are needed"
            raise ModelError(message)
        is_first = shape[1] in {1, 3} and shape[3] not in {1, 3}
        return inputs[0].name, (int(shape[1] if is_first else shape[3]), is_first, shape[0] == 1)


def _logit_of(probability: Floats) -> Floats:
    within = np.clip(probability, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(within / (1 - within)), np.float32)
