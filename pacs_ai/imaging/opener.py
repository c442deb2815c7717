"""Where a film is opened: here when its pixels lie bare in the file, in a process of its own when a codec must read."""

from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Self

from pydicom.dataset import Dataset

from .decoders import UNCOMPRESSED, transfer_syntax
from .film import Film, open_film
from .workers import DecoderLimits, DecoderWorkers


class FilmOpener:
    """Opens films for many threads; at most `at_once` are whole in memory on either way."""

    def __init__(self, limits: DecoderLimits | None = None, *, at_once: int) -> None:
        self._workers = DecoderWorkers(limits or DecoderLimits(), count=at_once)
        # More at once than there are cores would be no faster and hold a whole film each.
        self._turn = BoundedSemaphore(at_once)

    def open(self, path: Path, header: Dataset, *, input_size: int) -> Film:
        """The film of an instance that the gate let pass.

        Raises UndecodablePixels, LimitExceeded, DecoderUnavailable.
        """
        if transfer_syntax(header) not in UNCOMPRESSED:
            return self._workers.open(path, input_size=input_size)
        with self._turn:
            return open_film(path, input_size=input_size)

    def warm_up(self) -> None:
        """The first compressed film does not wait for a process to start."""
        self._workers.start_one()

    def close(self) -> None:
        """No process is left."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
