"""What training foresees: told in words, with the file that it is about."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FilmError(ValueError):
    """A training folder that cannot be used; says which file and why."""


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """A disk that refuses while something is written there is a FilmError that names the place and what to do."""
    try:
        yield
    except OSError as error:
        message = (
            f"{folder}: cannot be written ({error.strerror or error}); "
            "make room there and go on with --resume: what was written whole is kept"
        )
        raise FilmError(message) from error
