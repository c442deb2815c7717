"""The network of a card as the service reads with it: hashes checked, batches of fixed sizes, calibrated."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pacs_ai.errors import ModelError
from pacs_ai.findings import Classification, HeatMap, ModelIdentity, ModelInput, Reading, Refusal

from .absence import absent
from .card import ModelCard, verify
from .network import BATCH_SIZES, Network
from .taps import Tap

ONNX_SUFFIX = ".onnx"
_STEPS = 255
# Keras loads them where training is installed, for wrappers and plots: a quarter of the time that its import takes.
_NEVER_USED = ("matplotlib", "sklearn")


class CardClassifier:
    """Reads images; safe to call from one thread at a time."""

    def __init__(self, card: ModelCard, threshold: float | None = None, *, any_population: bool = False) -> None:
        """The network is loaded and ready; ModelError when a file of it is not the card's."""
        verify(card)
        self.identity: ModelIdentity = card.identity
        self.threshold = card.threshold if threshold is None else threshold
        self.input_size = card.input_size
        self._card = card
        self._any_population = any_population
        self._detector = card.load_detector()
        if self._detector is not None and card.weights.suffix == ONNX_SUFFIX:
            message = "an ONNX network has no features that a detector could judge: leave `detector` off the card"
            raise ModelError(message)
        self._network = open_network(card, self._detector.taps if self._detector else ())

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        """One reading for each input, in order."""
        readings: list[Reading] = []
        for start in range(0, len(inputs), BATCH_SIZES[-1]):
            readings += self._read_batch([item.pixels for item in inputs[start : start + BATCH_SIZES[-1]]])
        return readings

    def _read_batch(self, images: list[NDArray[np.float32]]) -> list[Reading]:
        size = next(size for size in BATCH_SIZES if size >= len(images))
        batch = np.zeros((size, self.input_size, self.input_size, 1), np.float32)
        batch[: len(images)] = images
        found = self._network.run(batch)
        refusals = self._refusals(found.features[: len(images)])
        return [
            self._reading(float(found.logits[row]), None if found.maps is None else found.maps[row], refusal)
            for row, refusal in enumerate(refusals)
        ]

    def _refusals(self, features: NDArray[np.float32]) -> list[Refusal | None]:
        if self._detector is None:
            return [None] * len(features)
        return self._detector.judge(features, any_population=self._any_population)

    def _reading(self, logit: float, heat: NDArray[np.float32] | None, refusal: Refusal | None) -> Reading:
        return Reading(
            classification=Classification(
                probability=self._card.calibration.probability(logit), threshold=self.threshold, logit=logit
            ),
            heat_map=None if heat is None else _scaled(heat),
            refusal=refusal,
        )


def _scaled(heat: NDArray[np.float32]) -> HeatMap:
    """0..1 in 255 steps: the other images of a batch move the last bits, and no capture should show their company."""
    highest = float(heat.max())
    if highest <= 0:
        return HeatMap(values=heat)
    return HeatMap(values=np.rint(heat * np.float32(_STEPS / highest)) / np.float32(_STEPS))


def open_network(card: ModelCard, taps: Sequence[Tap] = ()) -> Network:
    """The network of the card, by the library that its file is for; ModelError when it cannot be used."""
    if card.weights.suffix == ONNX_SUFFIX:
        from .onnx_network import OnnxNetwork  # noqa: PLC0415 - only one of the two libraries is needed

        return OnnxNetwork(card)
    with absent(*_NEVER_USED):
        from .keras_network import KerasNetwork  # noqa: PLC0415

    return KerasNetwork(card, taps)
