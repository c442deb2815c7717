"""What reading takes, built from settings and card: for the service, for `process`, and for a replay."""

import os

from . import __version__
from .findings import Classifier
from .imaging import decoders, geometry
from .imaging.gate import GatePolicy
from .imaging.opener import FilmOpener
from .imaging.workers import DecoderLimits
from .inference.card import ModelCard
from .opening import OpeningTerms
from .policies import priority_policy
from .process import Reader
from .provenance import setup_of
from .results.facts import Author
from .settings import Settings


def load_for_service(settings: Settings, card: ModelCard) -> Classifier:
    """The network, ready; its largest batch runs at once, before the first study has come to rest."""
    return load_classifier(settings, card, grows_after=0.0)


def load_classifier(settings: Settings, card: ModelCard, *, grows_after: float | None = None) -> Classifier:
    """The network, ready; TensorFlow is loaded here and not before."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it reports on missing GPUs otherwise
    from .inference.batches import BatchingClassifier  # noqa: PLC0415 - TensorFlow takes seconds to import
    from .inference.classifier import CardClassifier  # noqa: PLC0415
    from .inference.network import BATCH_SIZES  # noqa: PLC0415

    classifier = CardClassifier(
        card, settings.model.threshold or None, any_population=settings.model.allow_outside_population
    )
    return BatchingClassifier(classifier, sizes=BATCH_SIZES, grows_after=grows_after)


def build_reader(settings: Settings, card: ModelCard, classifier: Classifier, films: FilmOpener) -> Reader:
    """Everything that reading takes, from settings and card."""
    decoders.register()
    geometry.use_one_thread()
    return Reader(
        classifier=classifier,
        author=Author(
            model=classifier.identity,
            threshold=classifier.threshold,
            software_version=__version__,
            outside_population_allowed=settings.model.allow_outside_population,
        ),
        opening=OpeningTerms(
            gate=GatePolicy(
                population=card.population,
                allow_outside_population=settings.model.allow_outside_population,
                max_pixels=settings.ingest.max_megapixels * 1_000_000,
            ),
            films=films,
            input_size=classifier.input_size,
            max_bytes=settings.ingest.max_instance_mb << 20,
        ),
        priority=priority_policy(settings),
        heat_map=settings.results.heat_map,
        setup=setup_of(settings, card),
        reports_refusals=settings.results.report_refusals,
    )


def film_opener(settings: Settings) -> FilmOpener:
    """Opens films within the limits of the settings; to be closed."""
    limits = DecoderLimits(
        seconds=settings.ingest.decoder_seconds, memory_bytes=settings.ingest.decoder_memory_mb << 20
    )
    return FilmOpener(limits, at_once=os.cpu_count() or 1)
