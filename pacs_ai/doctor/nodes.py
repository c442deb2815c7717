"""Whether each node answers, and in which form it will get reports and captures."""

from collections.abc import Iterator, Sequence

from pacs_ai_storage.records import NegotiatedForm
from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian

from pacs_ai.delivery import FORMS, form_name
from pacs_ai.dimse.contexts import COMMITMENT, TimeLimits
from pacs_ai.dimse.finder import STUDY_ROOT_FIND
from pacs_ai.dimse.sender import Interview, Sender
from pacs_ai.errors import PeerUnreachable
from pacs_ai.settings import Node, Settings, WebNode

from .check import Check, failed, ok, warning
from .web_nodes import check_web_node

_LIMITS = TimeLimits(connect=5, associate=5, answer=10)


def check_nodes(settings: Settings, remembered: Sequence[NegotiatedForm]) -> Iterator[Check]:
    """Each node is asked anew: what it took before may no longer hold."""
    if not settings.nodes:
        yield warning("nodes", "none is configured: results are kept and not sent", "add a [[nodes]] section")
    sender = Sender(settings.dicom.ae_title, max_pdu=settings.dicom.max_pdu, limits=_LIMITS)
    for node in settings.nodes:
        if isinstance(node, WebNode):
            yield from check_web_node(node, remembered)
        else:
            yield from _check_node(node, sender, settings.dicom.ae_title, remembered)


def _check_node(node: Node, sender: Sender, ae_title: str, remembered: Sequence[NegotiatedForm]) -> Iterator[Check]:
    name = f"node {node.name}"
    proposals = [(str(sop_class), str(syntax)) for forms in FORMS.values() for sop_class, syntax in forms]
    if node.proof in _PROOF_CLASSES:
        proposals.append((str(_PROOF_CLASSES[node.proof]), str(ExplicitVRLittleEndian)))
    try:
        found = sender.interview(node, proposals)
    except PeerUnreachable as error:
        advice = f"check ae_title, host and port of the node, and that it knows our AE title {ae_title}"
        yield failed(name, str(error), advice, is_unreachable_node=True)
        return
    yield _echo(name, node, found)
    for kind in FORMS:
        before = [form for form in remembered if (form.node, form.kind) == (node.name, kind)]
        yield _form(f"{name}: {kind}", kind, found, before)
    yield _proof(f"{name}: proof", node, found)


_PROOFS = {
    "none": "none: delivered means that the node answered the C-STORE with success",
    "c-find": "c-find: delivered means that the node finds it",
    "commitment": "commitment: delivered means that the node has committed itself to keep it",
}
_PROOF_CLASSES = {"c-find": STUDY_ROOT_FIND, "commitment": COMMITMENT}


def _proof(name: str, node: Node, found: Interview) -> Check:
    wanted = _PROOF_CLASSES.get(node.proof)
    if wanted is None or any(sop_class == wanted for sop_class, _ in found.accepted):
        return ok(name, _PROOFS[node.proof])
    advice = f"let the node accept {wanted.name} from us, or choose another proof"
    return failed(name, f"{node.proof}: the node does not take it", advice)


def _echo(name: str, node: Node, found: Interview) -> Check:
    address = f"{node.ae_title}@{node.host}:{node.port}"
    if found.echo == "0x0000":
        return ok(name, f"{address} answers C-ECHO")
    said = f"answers C-ECHO with {found.echo}" if found.echo else "takes associations and does not answer C-ECHO"
    return warning(name, f"{address} {said}", "ask the node's administrator whether Verification is switched on")


def _form(name: str, kind: str, found: Interview, before: Sequence[NegotiatedForm]) -> Check:
    taken = next((form for form in FORMS[kind] if (str(form[0]), str(form[1])) in found.accepted), None)
    if taken is None:
        choice = " or ".join(dict.fromkeys(form_name(*form) for form in FORMS[kind]))
        return failed(name, "the node takes it in no form", f"let the node accept from us one of: {choice}")
    detail = f"goes out as {form_name(*taken)}{_last_time(taken, before)}"
    if taken[0] == BasicTextSRStorage:
        advice = "let the node accept Comprehensive 3D SR, if its viewers can show it"
        return warning(name, f"{detail}: in words, without numbers that a program can read", advice)
    if kind == "capture" and taken[1] == ExplicitVRLittleEndian:
        detail += ", thirty times the size of a JPEG"
    return ok(name, detail)


def _last_time(taken: tuple[UID, UID], before: Sequence[NegotiatedForm]) -> str:
    if not before:
        return "; nothing was delivered yet"
    last = before[0]
    since = f"{last.decided_at.astimezone():%Y-%m-%d %H:%M}"
    if (last.sop_class_uid, last.transfer_syntax_uid) == taken:
        return f", as it has since {since}"
    return f"; since {since} it went out as {last.name}"
