"""Log lines on stderr; UIDs, counts and statuses only, never a patient's attributes."""

import logging
import sys
import warnings


def set_up_logging(*, verbose: bool = False) -> None:
    """Our own log goes to stderr, in colour on a terminal; foreign libraries only speak up when something is wrong."""
    handler: logging.Handler
    if sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415 - scripts do not wait for it
        from rich.logging import RichHandler  # noqa: PLC0415

        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pacs_ai").setLevel(logging.DEBUG if verbose else logging.INFO)
    # These print values of data elements in their warnings and errors; pynetdicom's errors are of the network.
    for noisy in ("pydicom", "highdicom"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    logging.getLogger("pynetdicom").setLevel(logging.ERROR)
    # We say ourselves who was not reached and who sent what is no PDU; these print it, as a traceback.
    for noisy in ("transport", "dul", "fsm", "dimse"):
        logging.getLogger(f"pynetdicom.{noisy}").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom|highdicom")
