"""What each status of a node means for what it was sent: statuses of DIMSE, Failure Reasons and statuses of HTTP."""

from enum import StrEnum

from .parcels import Answer

SOP_CLASS_NOT_SUPPORTED = 0x0122
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122  # PS3.18 10.5.3; of C-STORE it has another meaning
_SUCCESS = 0x0000
_DUPLICATE_SOP_INSTANCE = 0x0111  # ours are derived from what they say: the node has this very instance
# PS3.7 C: what was asked for is done, though not in every point as it was asked.
_WARNINGS = frozenset((0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000)))
# PS3.4 B.2.3 and PS3.7 C: what is wrong with the instance or with us, and will be so at the next try.
_PERMANENT = frozenset(
    (
        *range(0xA900, 0xAA00),
        *range(0xC000, 0xD000),
        *(0x0105, 0x0106, 0x0112, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0122, 0x0124, 0x0211, 0x0212),
    )
)


def is_success_or_warning(status: int) -> bool:
    """Whether the node has done what it was asked for, by its status of any DIMSE service (PS3.7 C)."""
    return status == _SUCCESS or status in _WARNINGS


def answer_to(status: int) -> Answer:
    """What a status of C-STORE, or a Failure Reason of STOW-RS, means for its instance."""
    if is_success_or_warning(status) or status == _DUPLICATE_SOP_INSTANCE:
        return Answer.ACCEPTED
    return Answer.PERMANENT if status in _PERMANENT else Answer.TRANSIENT


class HttpAnswer(StrEnum):
    """What a status of HTTP is about (PS3.18 8.5 and 10.5.3, RFC 9110 15)."""

    EACH_INSTANCE = "the response says what became of each instance"
    NODE_AWAY = "the node takes nothing for the moment, or from us: everything waits for it"
    NODE_REFUSES = "there is no such service at this address"
    REQUEST_REFUSED = "this request will never be taken"
    REQUEST_FAILED = "this request was not taken"


# Tokens run out and are renewed without anybody's mistake, so that 401 and 403 wait like a node that is away.
_ABOUT = {
    **dict.fromkeys((200, 202, 409), HttpAnswer.EACH_INSTANCE),
    **dict.fromkeys((401, 403, 407, 429, 502, 503, 504), HttpAnswer.NODE_AWAY),
    **dict.fromkeys((404, 405, 410, 501), HttpAnswer.NODE_REFUSES),
    **dict.fromkeys((408, 425), HttpAnswer.REQUEST_FAILED),
}


def http_answer_to(status: int) -> HttpAnswer:
    """What a status of HTTP, as the answer to STOW-RS, is about; a redirection is not followed."""
    if status in _ABOUT:
        return _ABOUT[status]
    kinds = {2: HttpAnswer.EACH_INSTANCE, 3: HttpAnswer.NODE_REFUSES, 4: HttpAnswer.REQUEST_REFUSED}
    return kinds.get(status // 100, HttpAnswer.REQUEST_FAILED)
