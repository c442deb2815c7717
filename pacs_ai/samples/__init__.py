"""The radiographs shipped with the package, of invented patients."""

from pathlib import Path


def sample_paths() -> list[Path]:
    """All of them, in their order: twelve to read, then a lateral view and a hand, which are refused."""
    return sorted(Path(__file__).parent.glob("*.dcm"))
