"""The only fakes: a tiny classifier and a clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from pacs_ai.findings import Classification, HeatMap, ModelIdentity, ModelInput, Reading


@dataclass
class TinyClassifier:
    """Says the mean brightness of the image as its probability, and looks at the upper left quarter."""

    identity: ModelIdentity = ModelIdentity(name="tiny", version="0.0.1", sha256="0123456789abcdef" * 4)  # noqa: RUF009
    threshold: float = 0.5
    input_size: int = 224

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        heat = np.zeros((14, 14), np.float32)
        heat[:7, :7] = 1.0
        return [
            Reading(
                classification=Classification(probability=float(item.pixels.mean()), threshold=self.threshold),
                heat_map=HeatMap(values=heat),
            )
            for item in inputs
        ]


@dataclass
class Clock:
    """A time that moves when it is told to."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 5, 10, 30, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at
