"""Query SCU: whether a node knows instances, asked at the level of images (PS3.4 C.6.2)."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from pacs_ai.errors import PeerUnreachable
from pacs_ai.header import text
from pacs_ai.parcels import Wanted
from pacs_ai.settings import Node

from .sender import Sender

STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_SUCCESS = 0x0000
_PENDING = {0xFF00, 0xFF01}


def find_instances(sender: Sender, node: Node, wanted: Sequence[Wanted]) -> set[str]:
    """The SOP Instance UIDs of those that the node knows, from one association and one C-FIND for each series.

    Raises PeerUnreachable when the node does not say, PeerRefused when it takes no queries.
    """
    series: dict[tuple[str, str], list[str]] = {}
    for item in wanted:
        series.setdefault((item.study_instance_uid, item.series_instance_uid), []).append(item.sop_instance_uid)
    with sender.association(node, [build_context(STUDY_ROOT_FIND)]) as association:
        return {
            instance
            for (study, number), instances in series.items()
            for instance in _find(association, _identifier(study, number, instances), node) & set(instances)
        }


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
    for status, match in association.send_c_find(identifier, STUDY_ROOT_FIND):
        code = int(status.Status) if "Status" in status else None
        if code in _PENDING and match is not None:
            found.add(text(match, "SOPInstanceUID"))
    if code != _SUCCESS:
        said = "with no answer" if code is None else f"with 0x{code:04X}"
        message = f"{node.ae_title}@{node.host}:{node.port} ended the C-FIND {said}"
        raise PeerUnreachable(message)
    return found
