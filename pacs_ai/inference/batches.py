"""Images of several studies in one forward pass: whoever waits while the network is busy goes with the next batch."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Thread

from pacs_ai.findings import Classifier, ModelIdentity, ModelInput, Reading

_Waiting = tuple[ModelInput, "Future[Reading]"]


class BatchingClassifier:
    """A classifier for many threads over one that serves a single thread; an image alone never waits for company."""

    def __init__(self, classifier: Classifier, *, largest_batch: int = 8) -> None:
        self.identity: ModelIdentity = classifier.identity
        self.threshold = classifier.threshold
        self.input_size = classifier.input_size
        self._classifier = classifier
        self._largest = largest_batch
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
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._largest:
                try:
                    following = self._waiting.get_nowait()
                except Empty:
                    break
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            self._answer(batch)

    def _answer(self, batch: list[_Waiting]) -> None:
        answer = self._network.submit(self._classifier.read, [item for item, _ in batch])
        error = answer.exception()
        if error is not None:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), reading in zip(batch, answer.result(), strict=True):
            future.set_result(reading)
