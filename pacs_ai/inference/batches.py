"""Images of several studies in one forward pass: whoever waits while the network is busy goes with the next batch."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Thread

import numpy as np

from pacs_ai.findings import Classifier, ModelIdentity, ModelInput, Reading

_Waiting = tuple[ModelInput, "Future[Reading]"]


class BatchingClassifier:
    """A classifier for many threads over one that serves a single thread; an image alone never waits for company.

    In the first pause of so many seconds the largest batch runs once, blank: from then on the network is as large as it
    will ever be, so that memory that is short is short early, and no busy moment waits for the batch to be prepared.
    """

    def __init__(
        self, classifier: Classifier, *, sizes: Sequence[int] = (1, 2, 4, 8), grows_after: float | None = None
    ) -> None:
        self.identity: ModelIdentity = classifier.identity
        self.threshold = classifier.threshold
        self.input_size = classifier.input_size
        self._classifier = classifier
        self._sizes = sorted(sizes)
        self._grows_after = grows_after
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._network = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._thread = Thread(target=self._serve, name="batches", daemon=True)
        self._thread.start()

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        """One reading for each input, in order; raises what the network raised."""
        futures: list[Future[Reading]] = []
        for item in inputs:
            future: Future[Reading] = Future()
            self._waiting.put((item, future))
            futures.append(future)
        return [future.result() for future in futures]

    def close(self) -> None:
        """The thread has ended; what was waiting has been read."""
        self._waiting.put(None)
        self._thread.join()
        self._network.shutdown()

    def _serve(self) -> None:
        pending: list[_Waiting] = []
        is_open = True
        while is_open or pending:
            is_open = self._gather(pending) and is_open
            # Only full batches run: padding would cost as much as images. The rest goes with those that come meanwhile.
            size = max((size for size in self._sizes if size <= len(pending)), default=0)
            batch, pending = pending[:size], pending[size:]
            if batch:
                self._answer(batch)

    def _gather(self, pending: list[_Waiting]) -> bool:
        """What waits is pending, up to the largest batch; blocks while nothing is. False when no more will come."""
        while len(pending) < self._sizes[-1]:
            try:
                item = self._waiting.get(block=False) if pending else self._next()
            except Empty:
                return True
            if item is None:
                return False
            pending.append(item)
        return True

    def _next(self) -> _Waiting | None:
        if self._grows_after is not None:
            try:
                return self._waiting.get(timeout=self._grows_after)
            except Empty:
                self._grows_after = None
                self._grow()
        return self._waiting.get()

    def _grow(self) -> None:
        blank = ModelInput(pixels=np.zeros((self.input_size, self.input_size, 1), np.float32))
        grown = self._network.submit(self._classifier.read, [blank] * self._sizes[-1])
        grown.exception()  # a full batch of images would raise the same, and somebody waits for its answer

    def _answer(self, batch: list[_Waiting]) -> None:
        answer = self._network.submit(self._classifier.read, [item for item, _ in batch])
        error = answer.exception() or _miscount(answer.result(), batch)
        if error is not None and len(batch) > 1:
            # They may be of as many studies: what one image cannot be read for is no fault of the others.
            for alone in batch:
                self._answer([alone])
            return
        if error is not None:
            batch[0][1].set_exception(error)
            return
        for (_, future), reading in zip(batch, answer.result(), strict=True):
            future.set_result(reading)


def _miscount(readings: list[Reading], batch: list[_Waiting]) -> ValueError | None:
    if len(readings) == len(batch):
        return None
    return ValueError(f"the network gave {len(readings)} readings of {len(batch)} images")
