"""A file of which only so much is parsed: a few megabytes can hold more elements than anybody waits for."""

import io
from pathlib import Path

from .errors import LimitExceeded

# Of pydicom, a few for each element and item; the largest headers of radiographs take some thousands.
MOST_READS = 250_000
_MESSAGE = "The data set has more elements than this service will parse."


class MeteredFile(io.BufferedReader):
    """The file of a path, or bytes; the read after the last allowed one raises LimitExceeded."""

    def __init__(self, source: Path | bytes) -> None:
        super().__init__(io.BytesIO(source) if isinstance(source, bytes) else io.FileIO(source))
        self._left = MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file."""
        self._left -= 1
        if self._left < 0:
            raise LimitExceeded(_MESSAGE)
        return super().read(size)
