"""What a card says of a detector, apart from its arrays: queries read cards, and NumPy takes a while to import."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A layer whose maps are averaged over `grid` x `grid` cells and laid out as one row of features."""

    layer: str
    grid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest distances, and the least that each head must say, of an image that is read."""

    distance: float
    residual: float
    kind: float
    population: float
