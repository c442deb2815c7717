"""Query SCU: whether a node knows instances, asked at the level of images (PS3.4 C.6.2)."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacs_ai.errors import PeerUnreachable
from pacs_ai.header import text
from pacs_ai.parcels import Found, Wanted
from pacs_ai.settings import Node

from .sender import Sender, understood

STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_SUCCESS = 0x0000
# A series of ours has a few instances; an archive that ignores the keys may answer with all that it has.
_MOST_ANSWERS = 10_000
_PENDING = {0xFF00, 0xFF01}


def find_instances(sender: Sender, node: Node, wanted: Sequence[Wanted]) -> Found:
    """Which of those the node knows, from one association and one C-FIND for each series.

    A C-FIND that fails leaves the others as they are; where the association ends, the rest is open.
    """
    found = Found()
    left = _by_series(wanted)
    try:
        with sender.association(node, [build_context(STUDY_ROOT_FIND)]) as association:
            while left:
                _ask(association, node, left[0], found)
                left.pop(0)
    except PeerUnreachable as error:
        found.unanswered |= {item.sop_instance_uid: error for items in left for item in items}
    return found


def _by_series(wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    series: dict[tuple[str, str], list[Wanted]] = {}
    for item in wanted:
        series.setdefault((item.study_instance_uid, item.series_instance_uid), []).append(item)
    return list(series.values())


def _ask(association: Association, node: Node, items: Sequence[Wanted], found: Found) -> None:
    """The answer for one series is noted; raises PeerUnreachable where no other would be answered."""
    instances = [item.sop_instance_uid for item in items]
    identifier = _identifier(items[0].study_instance_uid, items[0].series_instance_uid, instances)
    try:
        with understood(node):
            found.known |= _find(association, identifier, node) & set(instances)
    except PeerUnreachable as error:
        if not association.is_established:
            raise
        found.unanswered |= dict.fromkeys(instances, error)


def _identifier(study_instance_uid: str, series_instance_uid: str, sop_instance_uids: list[str]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = study_instance_uid
    identifier.SeriesInstanceUID = series_instance_uid
    identifier.SOPInstanceUID = sop_instance_uids  # list of UID matching (PS3.4 C.2.2.2.2)
    return identifier


def _find(association: Association, identifier: Dataset, node: Node) -> set[str]:
    found = set()
    code = None
    for number, (status, match) in enumerate(association.send_c_find(identifier, STUDY_ROOT_FIND)):
        if number == _MOST_ANSWERS:
            association.abort()
            message = f"{node.ae_title}@{node.host}:{node.port} did not end the C-FIND after {number} answers"
            raise PeerUnreachable(message)
        code = int(status.Status) if "Status" in status else None
        if code in _PENDING and match is not None:
            found.add(text(match, "SOPInstanceUID"))
    if code != _SUCCESS:
        said = "with no answer" if code is None else f"with 0x{code:04X}"
        message = f"{node.ae_title}@{node.host}:{node.port} ended the C-FIND {said}"
        raise PeerUnreachable(message)
    return found
