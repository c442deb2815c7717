"""Log lines on stderr; UIDs, counts and statuses only, never a patient's attributes."""

import logging
import sys
import warnings

_QUOTING = {"pydicom", "highdicom"}
# Where pynetdicom says that our own code has failed. What else it says is of peers: we say that ourselves, and without
# what they have sent.
FAULTS = ("pynetdicom.service_class", "pynetdicom.events")


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
    handler.addFilter(_quotes_nobody)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pacs_ai").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    for name in FAULTS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pydicom|highdicom")


def _quotes_nobody(record: logging.LogRecord) -> bool:
    """False for lines of libraries that quote values of data elements; pydicom sets its level anew when imported."""
    return record.name.partition(".")[0] not in _QUOTING
