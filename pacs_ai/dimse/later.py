"""What is to be done after a pause, by one thread however much of it there is."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread


@dataclass(order=True, slots=True)
class _Due:
    at: float
    number: int
    what: Callable[[], object] = field(compare=False)


class Later:
    """Done in the order of the times, until `stop`; what is done takes no time itself, as to hand it to others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: list[_Due] = []
        self._count = 0
        self._is_over = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def call(self, seconds: float, what: Callable[[], object]) -> None:
        """It is done after so many seconds, or never where it is over by then."""
        with self._changed:
            if self._is_over:
                return
            self._count += 1
            heapq.heappush(self._due, _Due(time.monotonic() + seconds, self._count, what))
            if self._thread is None:
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Nothing more is done."""
        with self._changed:
            self._is_over = True
            self._due.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            due.what()

    def _next(self) -> _Due | None:
        with self._changed:
            while not self._is_over:
                left = self._due[0].at - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)
                self._changed.wait(left)
            return None
