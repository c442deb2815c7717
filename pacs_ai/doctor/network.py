"""Whether the network is the one of its card, computes what the card says, and how long it takes."""

import os
import time
from collections.abc import Iterator

from pacs_ai.errors import ModelError
from pacs_ai.inference.card import ModelCard, read_card, verify
from pacs_ai.settings import ModelSettings

from .check import Check, failed, ok, warning

_SLOW_SECONDS = 5.0


def check_model(model: ModelSettings) -> Iterator[Check]:
    """The network is loaded as the service loads it, and let go of again."""
    try:
        card = read_card(model.path)
        verify(card)
        yield ok("model", f"{card.identity.name} {card.identity.version}, its files are those of its card")
        yield _warm_up(card)
    except ModelError as error:
        advice = "name a folder with a sound card in model.path; empty is the embedded network"
        yield failed("model", str(error), advice)
    if model.allow_outside_population:
        advice = "set model.allow_outside_population = false unless this is an experiment"
        yield warning("model: population", "also reads whom the network was not made for", advice)


def _warm_up(card: ModelCard) -> Check:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pacs_ai.inference.classifier import open_network  # noqa: PLC0415 - TensorFlow takes seconds to import
    from pacs_ai.inference.examples import check_examples, example_inputs  # noqa: PLC0415

    begun = time.monotonic()
    detector = card.load_detector()
    network = open_network(card, detector.taps if detector else ())
    image = example_inputs(1, card.input_size)
    network.run(image)
    warm = time.monotonic()
    network.run(image)
    seconds = time.monotonic() - warm
    difference = check_examples(card, network)
    examples = "no example outputs on its card"
    if difference is not None:
        examples = f"{len(card.examples)} example outputs as on its card, within {difference:.1g}"
    detail = f"warm after {warm - begun:.1f} s, one image in {seconds * 1000:.0f} ms; {examples}"
    if seconds > _SLOW_SECONDS:
        return warning("model: warm-up", detail, "give the service a faster processor, or leave it alone on this one")
    return ok("model: warm-up", detail)
