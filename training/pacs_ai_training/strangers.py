"""What a detector is taught to refuse: films turned, flipped and inverted, and drawings of what else a PACS sends."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Image = NDArray[np.uint8]

TURNS: dict[str, Callable[[Images], Images]] = {
    "inverted": lambda films: 255 - films,
    "upside down": lambda films: films[:, ::-1],
    "turned by 180 degrees": lambda films: films[:, ::-1, ::-1],
    "turned left": lambda films: np.rot90(films, 1, (1, 2)),
    "turned right": lambda films: np.rot90(films, 3, (1, 2)),
}


def turned(films: Images) -> Images:
    """Each film in each of the wrong ways of showing it."""
    return np.concatenate([np.ascontiguousarray(turn(films)) for turn in TURNS.values()])


def drawn(count: int, size: int, *, seed: int) -> Images:
    """`count` drawings, kind after kind: noise, gradients, limbs, sections of a body, shapes, lines of text."""
    rng = np.random.default_rng(seed)
    return np.stack([_DRAWINGS[number % len(_DRAWINGS)](size, rng) for number in range(count)])


def _noise(size: int, rng: np.random.Generator) -> Image:
    """From coarse clouds to grain."""
    cells = int(rng.choice([2, 4, 8, 16, 32, 64, size]))
    coarse = rng.integers(0, 256, (cells, cells), np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def _gradient(size: int, rng: np.random.Generator) -> Image:
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    ramp = rng.normal() * across + rng.normal() * down + rng.normal() * (across**2 + down**2)
    level = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
    return np.asarray(level * rng.integers(0, 256), np.uint8)


def _limb(size: int, rng: np.random.Generator) -> Image:
    """Bright bones in grey flesh on black: one or two for an arm or a leg, many for a hand or a foot."""
    page = np.zeros((size, size), np.uint8)
    bones = int(rng.choice([1, 2, 5]))
    lean = rng.uniform(-0.3, 0.3)
    for number in range(bones):
        foot = size * (0.5 + 0.14 * (number - (bones - 1) / 2))
        head = foot + size * (lean + (0.1 * (number - (bones - 1) / 2)))
        ends = (int(foot), int(size * rng.uniform(0.85, 1.1))), (int(head), int(size * rng.uniform(-0.1, 0.25)))
        width = int(size * (0.22 if bones < 5 else 0.09))
        flesh = np.zeros_like(page)
        cv2.line(flesh, *ends, int(rng.integers(60, 120)), width)
        page = np.maximum(page, flesh)
        cv2.line(page, *ends, int(rng.integers(170, 250)), max(3, width // 3))
    return _seen(page, rng)


def _section(size: int, rng: np.random.Generator) -> Image:
    """An axial section: an ellipse of flesh with darker and brighter parts, on black."""
    page = np.zeros((size, size), np.uint8)
    middle = (size // 2, size // 2)
    axes = (int(size * rng.uniform(0.3, 0.48)), int(size * rng.uniform(0.22, 0.4)))
    cv2.ellipse(page, middle, axes, 0, 0, 360, int(rng.integers(90, 180)), -1)
    for _ in range(int(rng.integers(2, 9))):
        offset = rng.normal(0, 0.13, 2) * size
        inner = (int(size * rng.uniform(0.03, 0.14)), int(size * rng.uniform(0.03, 0.16)))
        place = (int(middle[0] + offset[0]), int(middle[1] + offset[1]))
        cv2.ellipse(page, place, inner, rng.uniform(0, 180), 0, 360, int(rng.integers(0, 256)), -1)
    return _seen(page, rng)


def _shapes(size: int, rng: np.random.Generator) -> Image:
    page = np.full((size, size), rng.integers(0, 256), np.uint8)
    for _ in range(int(rng.integers(3, 30))):
        first, second = rng.integers(0, size, 2), rng.integers(0, size, 2)
        cv2.rectangle(page, first.tolist(), second.tolist(), int(rng.integers(0, 256)), int(rng.choice([-1, 2, 8])))
        cv2.circle(page, second.tolist(), int(rng.integers(3, size // 3)), int(rng.integers(0, 256)), -1)
    return _seen(page, rng)


def _text(size: int, rng: np.random.Generator) -> Image:
    dark, bright = sorted(rng.integers(0, 256, 2).tolist())
    page = np.full((size, size), dark, np.uint8)
    for row in range(12, size, int(rng.integers(10, 30))):
        line = "".join(rng.choice(list("abcdefghij ABCDEF 0123456789"), size=40))
        cv2.putText(page, line, (4, row), cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.25, 0.7)), bright, 1)
    return page if rng.random() < 0.5 else 255 - page


def _seen(page: Image, rng: np.random.Generator) -> Image:
    """As a detector would give it: soft edges and grain."""
    soft = cv2.GaussianBlur(page, (0, 0), float(rng.uniform(0.5, 4)))
    return np.clip(soft + rng.normal(0, rng.uniform(0, 12), page.shape), 0, 255).astype(np.uint8)


_DRAWINGS = (_noise, _gradient, _limb, _section, _shapes, _text)
