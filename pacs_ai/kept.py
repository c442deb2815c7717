"""A result as it lies in the store, opened again."""

import logging

from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.records import ResultObject
from pydicom.dataset import Dataset

from .errors import LimitExceeded, NotDicom
from .imaging.film import read_header

log = logging.getLogger(__name__)


def kept_header(result: ResultObject, store: InstanceStore) -> Dataset | None:
    """All of it but its pixels; None where its file has gone or is damaged, so that nothing else has to wait for it."""
    try:
        return read_header(store.locate(result.file), max_bytes=result.file.size)
    except FileNotFoundError:
        return None
    except (NotDicom, LimitExceeded, OSError) as error:
        log.warning("the kept %s %s is damaged (%s)", result.kind, result.sop_instance_uid, type(error).__name__)
        return None
