"""Whether a DICOMweb node answers; what it takes it says only when something is stored, which is left alone here."""

from collections.abc import Iterator, Sequence

from pacs_ai_storage.records import NegotiatedForm

from pacs_ai.delivery import FORMS, form_name
from pacs_ai.dicomweb.client import WebLimits
from pacs_ai.dicomweb.search import echo
from pacs_ai.errors import PeerRefused, PeerUnreachable, SettingsError
from pacs_ai.nodes import WebNode, token_of

from .check import Check, failed, ok, warning

_LIMITS = WebLimits(connect=5, silence=10, answer=20)


def check_web_node(node: WebNode, remembered: Sequence[NegotiatedForm]) -> Iterator[Check]:
    """It is asked by QIDO-RS for a study that there is not."""
    name = f"node {node.name}"
    try:
        token_of(node)
    except SettingsError as error:
        yield failed(name, str(error), "set it where the service is started, readable by its account alone")
        return
    yield _answer(name, node)
    yield _encryption(f"{name}: encryption", node)
    for kind, forms in FORMS.items():
        last = next((form for form in remembered if (form.node, form.kind) == (node.name, kind)), None)
        yield ok(f"{name}: {kind}", f"goes out as {form_name(*forms[0])} first; {_last(last)}")


def _answer(name: str, node: WebNode) -> Check:
    try:
        status = echo(node, _LIMITS)
    except PeerRefused as error:
        if node.proof == "none":
            advice = "check url; where only STOW-RS is offered there, all is well"
            return warning(name, str(error), advice)
        return failed(name, str(error), "check url, or choose another proof")
    except PeerUnreachable as error:
        advice = "check url, token_env and tls of the node, and that its service runs"
        return failed(name, str(error), advice, is_unreachable_node=True)
    return ok(name, f"{node.url} answers QIDO-RS with {status}; {_PROOFS[node.proof]}")


_PROOFS = {
    "none": "proof none: delivered means that the node has said that it stored it",
    "qido": "proof qido: delivered means that the node finds it",
}


def _encryption(name: str, node: WebNode) -> Check:
    if node.is_encrypted:
        return ok(name, f"TLS, against {node.tls.ca if node.tls and node.tls.ca else 'the authorities of this system'}")
    what = "results and the token go in plain" if node.token_env else "results go in plain"
    return warning(name, f"none: {what}", "use an address that begins with https://")


def _last(form: NegotiatedForm | None) -> str:
    if form is None:
        return "nothing was delivered yet"
    return f"taken as {form.name} since {form.decided_at.astimezone():%Y-%m-%d %H:%M}"
