"""Threads of an association that are told of their work, where pynetdicom's look for it a thousand times a second."""

from queue import Queue
from threading import Event
from typing import Any

# A thread that is told of nothing looks nevertheless: for time limits, and for the end of the other thread.
LONGEST_REST = 0.1


class Doorbell(Event):
    """Stands where pynetdicom's reactor waits in each of its turns: it goes on when it is rung at, or after a while."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = Event()
        self.set()

    def ring(self) -> None:
        """Whoever waits goes on, or does not wait the next time."""
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Rung at, or `LONGEST_REST` seconds later; then, as long as the event is not set, as any event."""
        self._rung.wait(LONGEST_REST)
        # Before the queues are looked into: what comes after that rings anew.
        self._rung.clear()
        return super().wait(timeout)


class Announced(Queue[Any]):
    """A queue that rings when something is put into it."""

    def __init__(self, doorbell: Doorbell) -> None:
        super().__init__()
        self._doorbell = doorbell

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """The item is in the queue, and whoever waits at the doorbell is told."""
        super().put(item, block, timeout)
        self._doorbell.ring()
