"""Many threads over one network: each gets its own readings, together when they wait."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import pytest

from pacs_ai.findings import ModelInput, Reading
from pacs_ai.inference.batches import BatchingClassifier
from tests.fakes import TinyClassifier

SECONDS = 30


@dataclass
class Busy(TinyClassifier):
    """It notes the size of each batch, and is busy with it until it may go on."""

    batches: list[int] = field(default_factory=list)
    begun: Event = field(default_factory=Event)
    may_go_on: Event = field(default_factory=Event)

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        self.batches.append(len(inputs))
        self.begun.set()
        assert self.may_go_on.wait(SECONDS)
        if any(item.pixels.mean() > 1 for item in inputs):
            message = "an image is brighter than white"
            raise ArithmeticError(message)
        return super().read(inputs)


class Announced(list[ModelInput]):
    """Images that say when the last of them has been handed over."""

    def __init__(self, images: list[ModelInput]) -> None:
        super().__init__(images)
        self.handed_over = Event()

    def __iter__(self) -> Iterator[ModelInput]:
        yield from super().__iter__()
        self.handed_over.set()


@pytest.fixture
def busy() -> Busy:
    return Busy()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as started:
        yield started


def image(brightness: float) -> ModelInput:
    return ModelInput(pixels=np.full((4, 4, 1), brightness, np.float32))


def probabilities(readings: list[Reading]) -> list[float]:
    return [round(reading.classification.probability, 3) for reading in readings]


def test_readings_come_in_the_order_of_the_images(busy: Busy) -> None:
    busy.may_go_on.set()
    expected = [round(number / 20, 3) for number in range(20)]

    readings = BatchingClassifier(busy, sizes=(1, 2, 4, 8)).read([image(number) for number in expected])

    assert probabilities(readings) == expected
    assert max(busy.batches) <= 8


def test_no_images_are_no_readings(busy: Busy) -> None:
    assert BatchingClassifier(busy).read([]) == []


def test_what_the_network_is_goes_through_unchanged(busy: Busy) -> None:
    batching = BatchingClassifier(busy)

    assert (batching.identity, batching.threshold, batching.input_size) == (
        busy.identity,
        busy.threshold,
        busy.input_size,
    )


def test_images_of_threads_that_wait_go_in_one_batch(busy: Busy, pool: ThreadPoolExecutor) -> None:
    batching = BatchingClassifier(busy, sizes=(1, 2, 4, 8))
    first = pool.submit(batching.read, [image(0.1)])
    assert busy.begun.wait(SECONDS)
    studies = [Announced([image(0.2), image(0.3)]), Announced([image(0.4)]), Announced([image(0.5)])]

    waiting = [pool.submit(batching.read, study) for study in studies]
    assert all(study.handed_over.wait(SECONDS) for study in studies)
    busy.may_go_on.set()

    assert probabilities(first.result(SECONDS)) == [0.1]
    assert [probabilities(found.result(SECONDS)) for found in waiting] == [[0.2, 0.3], [0.4], [0.5]]
    assert busy.batches == [1, 4]


def test_a_batch_is_never_larger_than_allowed(busy: Busy, pool: ThreadPoolExecutor) -> None:
    batching = BatchingClassifier(busy, sizes=(1, 2))
    pool.submit(batching.read, [image(0.1)])
    assert busy.begun.wait(SECONDS)
    study = Announced([image(0.2)] * 5)

    waiting = pool.submit(batching.read, study)
    assert study.handed_over.wait(SECONDS)
    busy.may_go_on.set()

    assert len(waiting.result(SECONDS)) == 5
    assert busy.batches == [1, 2, 2, 1]


def test_an_image_alone_is_read_without_waiting_for_company(busy: Busy, pool: ThreadPoolExecutor) -> None:
    busy.may_go_on.set()
    batching = BatchingClassifier(busy, sizes=(1, 2, 4, 8))

    readings = [pool.submit(batching.read, [image(0.1)]).result(SECONDS) for _ in range(3)]

    assert len(readings) == 3
    assert busy.batches == [1, 1, 1]


def test_an_error_is_raised_where_its_images_wait_and_the_next_are_read(busy: Busy) -> None:
    busy.may_go_on.set()
    batching = BatchingClassifier(busy)

    with pytest.raises(ArithmeticError, match="brighter than white"):
        batching.read([image(2.0)])

    assert probabilities(batching.read([image(0.3)])) == [0.3]


def test_what_one_image_cannot_be_read_for_is_no_error_of_its_batch(busy: Busy, pool: ThreadPoolExecutor) -> None:
    batching = BatchingClassifier(busy)
    first = pool.submit(batching.read, [image(0.1)])
    assert busy.begun.wait(SECONDS)
    studies = [Announced([image(2.0)]), Announced([image(0.4)])]

    waiting = [pool.submit(batching.read, study) for study in studies]
    assert all(study.handed_over.wait(SECONDS) for study in studies)
    busy.may_go_on.set()

    assert isinstance(waiting[0].exception(SECONDS), ArithmeticError)
    assert probabilities(waiting[1].result(SECONDS)) == [0.4]
    assert busy.batches == [1, 2, 1, 1]
    assert probabilities(first.result(SECONDS)) == [0.1]


def test_closing_reads_what_waits(busy: Busy, pool: ThreadPoolExecutor) -> None:
    batching = BatchingClassifier(busy)
    pool.submit(batching.read, [image(0.1)])
    assert busy.begun.wait(SECONDS)
    study = Announced([image(0.2)])
    waiting = pool.submit(batching.read, study)
    assert study.handed_over.wait(SECONDS)

    closing = pool.submit(batching.close)
    busy.may_go_on.set()

    assert closing.result(SECONDS) is None
    assert probabilities(waiting.result(SECONDS)) == [0.2]


def test_the_largest_batch_runs_once_in_the_first_pause(busy: Busy) -> None:
    busy.may_go_on.set()
    classifier = BatchingClassifier(busy, sizes=(1, 4), grows_after=0.01)

    assert busy.begun.wait(SECONDS)
    read = classifier.read([image(0.2)])
    classifier.close()

    assert busy.batches == [4, 1]
    assert len(read) == 1


def test_who_reads_without_a_pause_waits_for_no_blank_batch(busy: Busy) -> None:
    busy.may_go_on.set()
    classifier = BatchingClassifier(busy, sizes=(1, 4), grows_after=SECONDS)

    classifier.read([image(0.2)])
    classifier.close()

    assert busy.batches == [1]
