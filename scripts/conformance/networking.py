"""What is negotiated, answered and can be set: the AE, its presentation contexts, statuses and settings."""

from collections.abc import Sequence
from http import HTTPStatus

from pydicom.uid import UID
from pynetdicom import AE

from pacs_ai import __version__
from pacs_ai.answers import HttpAnswer, http_answer_to
from pacs_ai.delivery import FORMS
from pacs_ai.dimse.contexts import (
    COMMITMENT,
    RADIOGRAPHS,
    VERIFICATION,
    TimeLimits,
    accept_commitment,
    accept_everything_stored,
    new_ae,
)
from pacs_ai.dimse.listener import StoreStatus
from pacs_ai.settings import Settings, WebNode

from .tables import table

_STATUSES = {
    StoreStatus.SUCCESS: "The instance is durable on disk and in the ledger; one that is already there is kept once",
    StoreStatus.OUT_OF_RESOURCES: "The disk is below its reserve or full, the database does not answer, or the "
    "instance is larger than `dicom.max_message_mb`; send again",
    StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "SOP Class UID of data set and command differ; nothing is kept",
    StoreStatus.CANNOT_UNDERSTAND: "The data set cannot be parsed, a UID is missing or is none, SOP Instance UID of "
    "data set and command differ, or it is known in another study; nothing is kept",
}


_ABOUT_HTTP = {
    HttpAnswer.EACH_INSTANCE: "an instance that is not named, nor found by QIDO-RS, is tried again as in 3.3",
    HttpAnswer.NODE_AWAY: "everything waits for the node, for as long as Retry-After says (an hour at most)",
    HttpAnswer.NODE_REFUSES: "given up at once: there is no such service there; redirections are not followed",
    HttpAnswer.REQUEST_REFUSED: "each instance is sent alone; one that is refused then is given up",
    HttpAnswer.REQUEST_FAILED: "each instance is sent alone; one that fails then is tried again",
}


def _ae() -> AE:
    ae = new_ae(Settings.model_construct().dicom.ae_title)
    accept_everything_stored(ae)
    accept_commitment(ae)
    return ae


def say_version() -> str:
    """The version of the product."""
    return __version__


def say_ae_title() -> str:
    """Our AE title by default."""
    return Settings.model_construct().dicom.ae_title


def say_port() -> int:
    """Our port by default."""
    return Settings.model_construct().dicom.port


def say_max_associations() -> int:
    """How many associations at a time by default."""
    return Settings.model_construct().dicom.max_associations


def say_max_pdu() -> int:
    """The largest PDU by default."""
    return Settings.model_construct().dicom.max_pdu


def say_associations() -> int:
    """How many associations to a node at a time by default."""
    return Settings.model_construct().delivery.associations


def say_implementation() -> str:
    """How we identify ourselves in the association."""
    ae = _ae()
    rows = [
        ("Implementation Class UID", ae.implementation_class_uid),
        ("Implementation Version Name", ae.implementation_version_name),
    ]
    return table(("", "value"), rows)


def say_time_limits() -> str:
    """Time-outs of both roles."""
    ae, limits = _ae(), TimeLimits()
    rows = [
        ("to connect", limits.connect, None),
        ("for an answer of the association control (ARTIM too)", limits.associate, ae.acse_timeout),
        ("for an answer of DIMSE", limits.answer, ae.dimse_timeout),
        ("without any sign of life", limits.answer, ae.network_timeout),
    ]
    shown = [(what, f"{ours:g}", "-" if theirs is None else f"{theirs:g}") for what, ours, theirs in rows]
    return table(("time limit, seconds", "as SCU", "as SCP"), shown)


def say_retries() -> str:
    """When a delivery is tried again."""
    terms = Settings.model_construct().delivery
    return (
        f"after {terms.first_retry_seconds:g} s, then after twice as long each time "
        f"up to {terms.max_retry_seconds:g} s, and given up after {terms.give_up_after_hours:g} hours"
    )


def _sets() -> dict[str, tuple[str, ...]]:
    """Transfer syntaxes by the name of their set: A of Verification and commitment, B of radiographs, C of all else."""
    accepted = {str(context.abstract_syntax): tuple(context.transfer_syntax) for context in _ae().supported_contexts}
    radiograph = accepted[str(RADIOGRAPHS[0])]
    other = next(
        syntaxes
        for found, syntaxes in accepted.items()
        if found not in {*RADIOGRAPHS, str(VERIFICATION), str(COMMITMENT)}
    )
    sets = {"A": accepted[str(VERIFICATION)], "B": radiograph, "C": other}
    strays = [found for found, syntaxes in accepted.items() if syntaxes not in sets.values()]
    if strays:
        message = f"these have transfer syntaxes of their own: {strays}"
        raise KeyError(message)
    return sets


def say_transfer_syntaxes() -> str:
    """Every transfer syntax that is accepted, with its rank in the sets that it is in."""
    sets = _sets()
    every = dict.fromkeys(syntax for syntaxes in sets.values() for syntax in syntaxes)
    rows = [(UID(syntax).name, f"`{syntax}`", *(_place(syntax, found) for found in sets.values())) for syntax in every]
    return table(("transfer syntax", "UID", *sets), rows)


def _place(syntax: str, syntaxes: Sequence[str]) -> int | str:
    return syntaxes.index(syntax) + 1 if syntax in syntaxes else ""


def say_accepted() -> str:
    """Every presentation context that is accepted."""
    names = {syntaxes: name for name, syntaxes in _sets().items()}
    rows = [
        (UID(context.abstract_syntax).name, f"`{context.abstract_syntax}`", names[tuple(context.transfer_syntax)])
        for context in _ae().supported_contexts
    ]
    return table(("SOP class", "UID", "transfer syntaxes"), rows)


def say_proposed() -> str:
    """Every presentation context that is proposed for results."""
    rows = [
        (kind, place, UID(sop_class).name, f"`{sop_class}`", UID(syntax).name, f"`{syntax}`")
        for kind, forms in FORMS.items()
        for place, (sop_class, syntax) in enumerate(forms, 1)
    ]
    return table(("object", "preference", "SOP class", "UID", "transfer syntax", "UID of it"), rows)


def say_store_statuses() -> str:
    """The answers to C-STORE; KeyError for a status without a line."""
    names = [status.name.replace("_", " ").capitalize().replace("sop class", "SOP class") for status in StoreStatus]
    rows = [(f"0x{status:04X}", name, _STATUSES[status]) for name, status in zip(names, StoreStatus, strict=True)]
    return table(("status", "meaning", "behaviour"), rows)


def say_http_statuses() -> str:
    """What the statuses of STOW-RS mean; KeyError for a kind without a line."""
    kinds = {kind: [status.value for status in HTTPStatus if http_answer_to(status) is kind] for kind in HttpAnswer}
    rows = [
        (", ".join(str(status) for status in statuses if status >= 200), _ABOUT_HTTP[kind])
        for kind, statuses in kinds.items()
    ]
    rows.append(("no connection", "everything waits for the node"))
    rows.append(("no answer in time", "the instances of the request, and those behind them, are tried again"))
    return table(("status", "behaviour"), rows)


def say_each_instance() -> str:
    """The statuses that speak of each instance, as a site meets them."""
    return ", ".join(str(status) for status in (200, 202, 409) if http_answer_to(status) is HttpAnswer.EACH_INSTANCE)


def say_max_request_mb() -> int:
    """The largest request to a DICOMweb node, in MB."""
    return int(WebNode.model_fields["max_request_mb"].default)


def say_settings() -> str:
    """What a site can set, with defaults."""
    settings = Settings.model_construct()
    rows = [
        (f"`{section}.{name}`", _shown(value))
        for section in ("dicom", "ingest", "delivery")
        for name, value in getattr(settings, section).model_dump(mode="json").items()
        if not isinstance(value, dict)
    ]
    return table(("setting", "default"), rows)


def _shown(value: object) -> str:
    return "any" if value == [] else f"{value:g}" if isinstance(value, float) else str(value)
