"""How a network comes to be: films, split, fit, calibration, model card, export. Not needed to serve."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .front import MedicalImageClassifier

__all__ = ["MedicalImageClassifier"]


def __getattr__(name: str) -> object:
    """The front is imported when it is first named: TensorFlow takes seconds."""
    if name == "MedicalImageClassifier":
        from .front import MedicalImageClassifier  # noqa: PLC0415

        return MedicalImageClassifier
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
