"""The greys of fixed films, held to the version of the pixel pipeline that made them."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs_ai.imaging.pixels import (
    PIPELINE_VERSION,
    display_size,
    grey_transform,
    to_display,
    to_model_input,
)
from tests.builders import Stored, make_instance

from .making import make_header

# To change one of these figures is to change the pipeline: raise PIPELINE_VERSION in pacs_ai/imaging/pixels.py and pin
# the new figures under the new number. A reading is then told apart from one of the version before.
PINNED_VERSION = "3"
PINNED = {
    "window": """
        0.16836 0.79450 0.40101 0.51703 0.65260 0.44760 0.60198 0.50264
        0.47359 0.58147 0.51400 0.55926 0.55959 0.52284 0.51645 0.57813
        0.49761 0.56111 0.66812 0.81035 0.99609 1.00000 0.00000 0.00000
        0.16834 0.79422 0.40005 0.51696 0.65216 0.44659 0.60140 0.50168
        0.47293 0.58067 0.51314 0.55843 0.55846 0.52176 0.51524 0.57665
    """,
    "inverted, rescaled": """
        0.80965 0.28132 0.59134 0.51425 0.39663 0.55719 0.43740 0.51232
        0.54073 0.44917 0.50711 0.46981 0.46761 0.50271 0.50317 0.45247
        0.53502 0.48632 0.40427 0.29520 0.15277 0.00000 1.00000 0.91895
        0.80970 0.28141 0.59159 0.51426 0.39681 0.55760 0.43771 0.51264
        0.54106 0.44947 0.50741 0.47010 0.46806 0.50322 0.50363 0.45304
    """,
    "sigmoid": """
        0.15363 0.75633 0.39508 0.47832 0.61456 0.43234 0.56870 0.48270
        0.45125 0.55376 0.48985 0.53216 0.53371 0.49698 0.49237 0.55164
        0.44138 0.52221 0.65375 0.79612 0.90979 0.96880 0.01324 0.05769
        0.15358 0.75610 0.39472 0.47827 0.61425 0.43203 0.56840 0.48239
        0.45112 0.55355 0.48959 0.53196 0.53332 0.49656 0.49201 0.55118
    """,
    "full range": """
        0.25180 0.65315 0.42411 0.47847 0.56752 0.44883 0.53731 0.48308
        0.46011 0.52956 0.48566 0.51327 0.51562 0.48790 0.48883 0.52675
        0.46252 0.49817 0.55824 0.63810 0.74237 0.86593 0.01465 0.18144
        0.25174 0.65312 0.42406 0.47844 0.56754 0.44878 0.53727 0.48304
        0.46005 0.52953 0.48560 0.51324 0.51561 0.48783 0.48879 0.52671
    """,
    "padding": """
        0.29464 0.65848 0.21425 0.53713 0.56681 0.30753 0.51672 0.36390
        0.38667 0.44823 0.41270 0.44833 0.43027 0.43848 0.40224 0.44126
        0.54112 0.58296 0.65319 0.74665 0.86893 0.11078 0.01703 0.21219
        0.29462 0.65849 0.21421 0.53714 0.56680 0.30754 0.51674 0.36389
        0.38667 0.44823 0.41267 0.44835 0.43025 0.43850 0.40224 0.44126
    """,
    "shutter": """
        0.13434 0.48762 0.22052 0.16951 0.37607 0.44207 0.54225 0.28931
        0.23509 0.53342 0.48370 0.27983 0.18202 0.38006 0.35531 0.20771
        0.00000 0.49792 0.56619 0.65695 0.77546 0.91590 0.00000 0.00000
        0.44663 0.64833 0.38185 0.48368 0.60081 0.44200 0.54213 0.51334
        0.45859 0.53342 0.48367 0.50395 0.48066 0.51439 0.48984 0.50611
    """,
}


def _waves() -> Stored:
    """4095 levels in waves of two directions; made of integers alone, so that every machine makes the same."""
    y, x = np.mgrid[0:600, 0:540].astype(np.int64)
    return ((y * y // 37 + x * 11 + (x * y) // 53) % 4096).astype(np.uint16)


FILMS: dict[str, Callable[[], Dataset]] = {
    "window": lambda: make_instance(stored=_waves(), WindowCenter=1900, WindowWidth=2300),
    "inverted, rescaled": lambda: make_instance(
        stored=_waves(),
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        RescaleSlope=0.5,
        RescaleIntercept=-100,
        WindowCenter=900,
        WindowWidth=1500,
    ),
    "sigmoid": lambda: make_instance(stored=_waves(), WindowCenter=2000, WindowWidth=1800, VOILUTFunction="SIGMOID"),
    "full range": lambda: make_instance(stored=_waves(), WindowCenter=None, WindowWidth=None),
    "padding": lambda: make_instance(
        stored=_waves(), WindowCenter=None, WindowWidth=None, PixelPaddingValue=3500, PixelPaddingRangeLimit=4095
    ),
    "shutter": lambda: make_instance(
        stored=_waves(),
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge=60,
        ShutterRightVerticalEdge=480,
        ShutterUpperHorizontalEdge=50,
        ShutterLowerHorizontalEdge=560,
        ShutterPresentationValue=32768,
    ),
}


def measured(name: str) -> tuple[float, ...]:
    """The means of sixteen parts of the network's input and of the display, and single values of the input."""
    instance = FILMS[name]()
    header, stored = make_header(instance), _waves()
    transform = grey_transform(header, stored)
    pixels = to_model_input(transform, stored, 224).pixels[..., 0].astype(np.float64)
    shown = to_display(transform, stored, display_size(header, max_side=1024)) / 255
    return (*_parts(pixels), *_singles(pixels), *_parts(shown))


def _parts(grey: Stored) -> list[float]:
    return [float(part.mean()) for rows in np.array_split(grey, 4) for part in np.array_split(rows, 4, axis=1)]


def _singles(grey: Stored) -> list[float]:
    rows, columns = grey.shape
    return [float(grey[rows * place // 9, columns * (9 - place) // 9]) for place in range(1, 9)]


@pytest.mark.parametrize("name", FILMS)
def test_the_greys_of_a_fixed_film_are_those_of_this_version(name: str) -> None:
    pinned = [float(figure) for figure in PINNED[name].split()]

    assert measured(name) == pytest.approx(pinned, abs=2e-5)


def test_the_figures_are_pinned_under_the_version_that_is_kept_with_readings() -> None:
    assert PINNED_VERSION == PIPELINE_VERSION
    assert PINNED.keys() == FILMS.keys()
