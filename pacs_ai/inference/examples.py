"""Inputs that are the same everywhere, and what a card says that its network makes of them."""

import numpy as np
from numpy.typing import NDArray

from pacs_ai.errors import ModelError

from .card import ModelCard
from .network import Network

# Processors differ in the last digits; another network, or damaged weights, by far more.
_TOLERANCE = 0.02


def example_inputs(images: int, size: int) -> NDArray[np.float32]:
    """(images, size, size, 1) in 0..1: waves of growing frequency, drawn without chance."""
    rows, columns = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size), indexing="ij")
    waves = [0.5 + 0.5 * np.sin(2 * np.pi * (number + 1) * (rows + number * columns)) for number in range(images)]
    return np.stack(waves).astype(np.float32)[..., np.newaxis]


def check_examples(card: ModelCard, network: Network) -> float | None:
    """The largest difference from what the card says, None when it says nothing; ModelError beyond rounding."""
    if not card.examples:
        return None
    images = example_inputs(len(card.examples), card.input_size)
    logits = [float(network.run(images[row : row + 1]).logits[0]) for row in range(len(images))]
    difference = max(abs(found - said) for found, said in zip(logits, card.examples, strict=True))
    if not difference <= _TOLERANCE:
        message = f"{card.weights}: computes example outputs that differ by {difference:.3g} from those on its card"
        raise ModelError(message)
    return difference
