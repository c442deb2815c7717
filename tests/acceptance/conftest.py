"""Peers for acceptance tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import patience

from .peers import Orthanc, Serve

__all__ = ["patience"]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    started = Orthanc(tmp_path / "orthanc")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def serve(tmp_path: Path, orthanc: Orthanc) -> Iterator[Serve]:
    """The service with Orthanc as its node; a test starts it."""
    service = Serve(tmp_path, nodes=(("ORTHANC", orthanc.dicom_port),))
    yield service
    if service.process is not None and service.process.poll() is None:
        service.kill()
