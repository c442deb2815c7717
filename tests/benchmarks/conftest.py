"""What benchmarks share: large radiographs on disk, and a place for their figures."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import orthanc, serve
from tests.builders import make_instance, part10, sample_film

__all__ = ["orthanc", "serve"]


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """200 radiographs of 2500 x 2048, 12 bit in 16, 10.2 MB each, each a study of its own."""
    folder = tmp_path_factory.mktemp("radiographs")
    films = [sample_film(number, 2500, 2048) for number in range(12)]
    paths = []
    for number in range(200):
        path = folder / f"{number:03d}.dcm"
        path.write_bytes(part10(make_instance(stored=films[number % len(films)])))
        paths.append(path)
    return paths
