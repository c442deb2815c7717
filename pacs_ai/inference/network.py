"""What every network that the service reads with can do, whatever library runs it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Larger batches gain nothing on a processor; smaller ones spare a lone film the price of eight.
BATCH_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Of n images: `logits` (n,), Grad-CAM `maps` (n, rows, columns) not yet scaled, `features` (n, features).

    A network that cannot be differentiated has no maps; one without a detector has features of width 0.
    """

    logits: Floats
    maps: Floats | None
    features: Floats


class Network(Protocol):
    """A network that is loaded; safe to call from one thread at a time."""

    def run(self, images: Floats) -> Outputs:
        """Outputs for (n, rows, columns, 1) in 0..1, n one of BATCH_SIZES."""
        ...
