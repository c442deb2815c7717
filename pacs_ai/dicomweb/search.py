"""Whether a node knows instances, asked by QIDO-RS (PS3.18 10.6)."""

import re
from collections.abc import Sequence

from pacs_ai.answers import HttpAnswer, http_answer_to
from pacs_ai.errors import PeerRefused, PeerUnreachable
from pacs_ai.nodes import WebNode
from pacs_ai.parcels import Found, Wanted

from .client import Connection, Reply, WebLimits, connected
from .statements import read_items, read_matches

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_NO_STUDY = "2.25.1"  # nobody's: the answer to a question for it holds no patient
_FOUND, _NOTHING_FOUND, _NOT_FOUND = 200, 204, 404


def find_instances(node: WebNode, wanted: Sequence[Wanted], limits: WebLimits | None = None) -> Found:
    """Which of those the node knows, one question for each over one connection.

    A question that fails leaves the others as they are; where the node is away, or takes no queries, the rest is open.
    """
    found = Found()
    left = list(wanted)
    try:
        with connected(node, limits or WebLimits()) as connection:
            while left:
                _ask(connection, node, left[0], found)
                left.pop(0)
    except PeerUnreachable as error:
        found.unanswered |= {item.sop_instance_uid: error for item in left}
    return found


def _ask(connection: Connection, node: WebNode, wanted: Wanted, found: Found) -> None:
    """The answer to one question is noted; raises PeerUnreachable where no other would be answered."""
    try:
        if is_known(connection, node, wanted):
            found.known.add(wanted.sop_instance_uid)
    except QuestionFailed as error:
        found.unanswered[wanted.sop_instance_uid] = error


def is_known(connection: Connection, node: WebNode, wanted: Wanted) -> bool:
    """Whether the node has the instance in its study and series; raises as `find_instances`."""
    uids = (wanted.study_instance_uid, wanted.series_instance_uid, wanted.sop_instance_uid)
    if not all(_UID.fullmatch(uid) for uid in uids):
        return False
    path = f"/studies/{wanted.study_instance_uid}/series/{wanted.series_instance_uid}/instances"
    reply = connection.get(path, {"SOPInstanceUID": wanted.sop_instance_uid})
    if reply.status == _NOT_FOUND:
        # Of a study that is not there, or of a service that is not: then no question is answered otherwise.
        reply = _ask_for_nothing(connection)
    if reply.status == _NOTHING_FOUND:
        return False
    matches = read_matches(reply.body) if reply.status == _FOUND else None
    if matches is None:
        raise _refusal(node, reply)
    return wanted.sop_instance_uid in matches


def echo(node: WebNode, limits: WebLimits | None = None) -> str:
    """The status with which the node answers QIDO-RS; it is asked for a study that there is not.

    Raises PeerUnreachable where it does not answer as a DICOMweb service, PeerRefused where it never will.
    """
    with connected(node, limits or WebLimits()) as connection:
        reply = _ask_for_nothing(connection)
    is_answer = reply.status == _NOTHING_FOUND or (reply.status == _FOUND and read_items(reply.body) is not None)
    if not is_answer:
        raise _refusal(node, reply)
    return str(reply.status)


def _ask_for_nothing(connection: Connection) -> Reply:
    return connection.get("/studies", {"StudyInstanceUID": _NO_STUDY, "limit": "1"})


class QuestionFailed(PeerUnreachable):
    """A question that was not answered, by a node that may answer the next."""


def _refusal(node: WebNode, reply: Reply) -> PeerUnreachable:
    if reply.status == _FOUND:
        return PeerUnreachable(f"{node.address} answered QIDO-RS with 200 and no DICOM JSON")
    if http_answer_to(reply.status) in (HttpAnswer.REQUEST_FAILED, HttpAnswer.REQUEST_REFUSED):
        return QuestionFailed(f"{node.address} answered QIDO-RS with {reply.status}", retry_after=reply.retry_after)
    return refusal_of(node, reply, "QIDO-RS")


def refusal_of(node: WebNode, reply: Reply, service: str) -> PeerUnreachable:
    """What it means that the node answered the service with this status, as a sentence with advice."""
    said = f"{node.address} answered {service} with {reply.status}"
    about = http_answer_to(reply.status)
    if reply.status in (401, 403):
        whose = f"the token in {node.token_env}" if node.token_env else "a request without a token (token_env)"
        return PeerUnreachable(f"{said}: it does not accept {whose}")
    if about is HttpAnswer.NODE_REFUSES:
        return PeerRefused(f"{said}: no such service there; url has to name its base")
    return PeerUnreachable(said, retry_after=reply.retry_after)
