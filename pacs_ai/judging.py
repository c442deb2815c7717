"""Instances opened, examined and read by the network: what is said of each, what it went by, and how long it took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .findings import Classifier, Reading, Refusal, RefusalReason
from .imaging.film import Film
from .one_patient import of_one_patient
from .opening import InstanceFile, OpenedInstance, OpeningTerms, open_instance

Stopwatch = Callable[[], float]
# Of a study: each is in memory until its capture is built, about a megabyte.
MOST_FILMS = 256
_TOO_MANY = f"The study has more than {MOST_FILMS} films that could be read; the first of them were."


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedInstance:
    """An instance and what the network said of it, None where it was not asked.

    `opening_seconds` are its own, `network_seconds` those in which all films of its study were read, waiting included.
    """

    opened: OpenedInstance
    reading: Reading | None
    opening_seconds: float
    network_seconds: float | None

    @property
    def refusal(self) -> Refusal | None:
        """Why there is no probability: the word of the gate, of the decoder, or of the network's detector."""
        if isinstance(self.opened.found, Refusal):
            return self.opened.found
        assert self.reading is not None
        return self.reading.refusal


def judge(
    files: Sequence[InstanceFile], classifier: Classifier, terms: OpeningTerms, stopwatch: Stopwatch
) -> list[JudgedInstance]:
    """One judgement for each file, in order; raises DecoderUnavailable, which says nothing of an instance."""
    opened: list[tuple[OpenedInstance, float]] = []
    films_open = 0
    for file in files:
        begun = stopwatch()
        item = open_instance(file, terms)
        if isinstance(item.found, Film) and films_open == MOST_FILMS:
            item = replace(item, found=Refusal(reason=RefusalReason.LIMIT_EXCEEDED, detail=_TOO_MANY))
        films_open += isinstance(item.found, Film)
        opened.append((item, stopwatch() - begun))
    one_patient = of_one_patient([item for item, _ in opened])
    films = [item.found for item in one_patient if isinstance(item.found, Film)]
    begun = stopwatch()
    readings = iter(classifier.read([film.model_input for film in films]))
    network = stopwatch() - begun
    return [
        JudgedInstance(
            opened=item,
            reading=next(readings) if isinstance(item.found, Film) else None,
            opening_seconds=seconds,
            network_seconds=network if isinstance(item.found, Film) else None,
        )
        for item, (_, seconds) in zip(one_patient, opened, strict=True)
    ]
