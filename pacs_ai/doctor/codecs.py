"""Whether radiographs can be decoded in every transfer syntax that is accepted."""

from collections.abc import Callable, Iterator

from pydicom.uid import UID

from pacs_ai.imaging.codec_trial import try_out
from pacs_ai.imaging.decoders import DECODABLE

from .check import Check, failed, ok


def check_codecs(attempt: Callable[[UID], str | None] = try_out) -> Iterator[Check]:
    """A line for all that can be decoded, and one for each that cannot."""
    said = {syntax: attempt(syntax) for syntax in DECODABLE}
    broken = {syntax: problem for syntax, problem in said.items() if problem}
    if len(broken) < len(said):
        yield ok("codecs", f"{len(said) - len(broken)} of {len(said)} transfer syntaxes decoded as they were encoded")
    for syntax, problem in broken.items():
        advice = "install the libraries of requirements.lock again (imagecodecs, pydicom)"
        yield failed(f"codec {syntax.name}", problem, advice)
