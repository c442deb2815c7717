"""All questions in their order, each answer as it comes; the network, which takes seconds, is last."""

from collections.abc import Callable, Iterator
from datetime import datetime

from pacs_ai.settings import Settings

from .check import Check
from .clock import check_time
from .codecs import check_codecs
from .disk import check_disk
from .ledger import check_ledger
from .listener import check_calling_titles, check_encryption, check_listener
from .network import check_model
from .nodes import check_nodes
from .pages import check_pages
from .repository import check_repository


def diagnose(settings: Settings, now: Callable[[], datetime]) -> Iterator[Check]:
    """Nothing is stored, created or sent; the service may run meanwhile or not be installed yet.

    The clock is read when it is its turn: nodes that do not answer cost seconds, in which the folder is written to.
    """
    ledger = check_ledger(settings)
    yield from check_nodes(settings, ledger.found.negotiated if ledger.found else ())
    yield check_listener(settings.dicom)
    yield check_calling_titles(settings.dicom)
    yield check_encryption(settings.dicom)
    yield check_pages(settings.http)
    yield check_repository(settings.audit.atna)
    yield ledger.check
    yield from check_disk(settings.data, settings.ingest.disk_reserve_gb)
    yield from check_time(now(), settings.data, ledger.found.newest_event_at if ledger.found else None)
    yield from check_codecs()
    yield from check_model(settings.model)
