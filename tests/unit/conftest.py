"""Fixtures of the unit tests."""

from pathlib import Path

import pytest

from tests.builders import Stored, make_instance, phantom

from .making import make_header


@pytest.fixture(scope="session")
def small() -> Stored:
    """12 bit stored values, small enough for many of them."""
    return phantom(180, 160)


@pytest.fixture
def film_path(tmp_path: Path) -> Path:
    """Where a test lays its instance."""
    return tmp_path / "film.dcm"


@pytest.fixture(scope="session")
def header():  # noqa: ANN201 - a Dataset that the session shares; no test changes it
    return make_header(make_instance())
