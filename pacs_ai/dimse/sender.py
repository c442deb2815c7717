"""Storage and Verification SCU: kept files go out as they lie on disk, and each gets its own outcome."""

import logging
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from pacs_ai.answers import SOP_CLASS_NOT_SUPPORTED, answer_to
from pacs_ai.errors import PeerRefused, PeerUnreachable, SettingsError
from pacs_ai.parcels import Answer, Form, Parcel, SendOutcome
from pacs_ai.settings import Node
from pacs_ai.tls import client_context, failure_of

from .contexts import VERIFICATION, TimeLimits, new_ae
from .requestor import Line, as_requestor, begin_line
from .transport import WIRE_ERRORS

log = logging.getLogger(__name__)

_MAX_CONTEXTS = 128
_REJECTED_PERMANENT = 0x01  # PS3.8 9.3.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Interview:
    """What a node takes of what was proposed: pairs of SOP class and transfer syntax, and how it answered C-ECHO.

    `echo` is None where Verification was not accepted or not answered.
    """

    accepted: frozenset[tuple[str, str]]
    echo: str | None


class Sender:
    """Our side as SCU."""

    def __init__(self, ae_title: str, *, max_pdu: int = 65536, limits: TimeLimits | None = None) -> None:
        self._ae_title = ae_title
        self._limits = limits
        self._max_pdu = max_pdu

    def send(self, node: Node, parcels: Sequence[Parcel]) -> Iterator[SendOutcome]:
        """One outcome for each parcel, as it comes; without any association PeerUnreachable, PeerRefused for good."""
        with self.association(node, _contexts(parcels)) as association:
            for number, parcel in enumerate(parcels):
                yield _store(association, parcel, number)

    def echo(self, node: Node) -> str:
        """The status of C-ECHO; raises PeerUnreachable."""
        with self.association(node, [build_context(VERIFICATION)]) as association:
            with understood(node):
                status = association.send_c_echo()
            if "Status" not in status:
                message = f"{_address(node)} did not answer the C-ECHO"
                raise PeerUnreachable(message)
            return f"0x{status.Status:04X}"

    def interview(self, node: Node, proposals: Sequence[tuple[str, str]]) -> Interview:
        """What the node takes of pairs of SOP class and transfer syntax; nothing is stored. Raises PeerUnreachable."""
        contexts = [build_context(UID(sop_class), UID(syntax)) for sop_class, syntax in proposals]
        with self.association(node, [build_context(VERIFICATION), *contexts]) as association:
            accepted = frozenset(
                (str(context.abstract_syntax), str(context.transfer_syntax[0]))
                for context in association.accepted_contexts
            )
            status = Dataset()
            if any(found == VERIFICATION for found, _ in accepted):
                with understood(node):
                    status = association.send_c_echo()
            return Interview(accepted=accepted, echo=f"0x{status.Status:04X}" if "Status" in status else None)

    @contextmanager
    def association(
        self,
        node: Node,
        contexts: list[PresentationContext],
        *,
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    ) -> Iterator[Association]:
        """An association with the node, released afterwards; raises PeerUnreachable, PeerRefused for good."""
        # Sends the bytes of the file instead of a data set decoded and encoded anew.
        _config.STORE_SEND_CHUNKED_DATASET = True
        ae: AE = new_ae(self._ae_title, self._limits)
        ae.maximum_pdu_size = self._max_pdu
        context, opened = _tls_context(node), list[tuple[Line, socket.socket]]()

        def begin(event: evt.Event) -> None:
            line = begin_line(event.assoc)
            line.hold_to(ae.acse_timeout, self._max_pdu)
            assert line.socket is not None
            opened.append((line, line.socket))

        begun = time.monotonic()
        try:
            association = ae.associate(
                node.host,
                node.port,
                contexts=contexts,
                ae_title=node.ae_title,
                max_pdu=self._max_pdu,
                ext_neg=list(roles),
                tls_args=None if context is None else (context, node.host),
                evt_handlers=[*handlers, (evt.EVT_CONN_OPEN, begin)],
            )
        except (OSError, UnicodeError) as error:
            # The name is looked up before anything else (socket.gaierror); UnicodeError says that it can be none.
            message = f"{_address(node)} cannot be reached: its host name is not known ({error})"
            raise PeerUnreachable(message) from error
        if not association.is_established:
            for _, connection in opened:
                connection.close()  # pynetdicom leaves one open that the peer has ended
            waited = None if opened else time.monotonic() - begun
            raise _failure(association, node, context, waited=waited)
        as_requestor(association)
        _forget_unproposed(association, contexts, node)
        try:
            _send_at_once(association)
            line, connection = opened[-1]
            connection.settimeout(ae.network_timeout)
            line.hold_to(ae.network_timeout, self._max_pdu)
        except OSError as error:  # the socket is closed
            raise _ended(node) from error
        try:
            yield association
        except RuntimeError as error:  # of a request, which pynetdicom does not send without an association
            if association.is_established:
                raise
            raise _ended(node) from error
        finally:
            if association.is_established:
                association.release()


@contextmanager
def understood(node: Node) -> Iterator[None]:
    """What comes back within the block can be read as an answer; raises PeerUnreachable where it cannot."""
    try:
        yield
    except WIRE_ERRORS as error:
        message = f"{_address(node)} answered with what is no answer ({type(error).__name__})"
        raise PeerUnreachable(message) from error


def _forget_unproposed(association: Association, contexts: Sequence[PresentationContext], node: Node) -> None:
    """What the node has accepted is what was proposed to it (PS3.8 9.3.3.2); raises PeerUnreachable if none of it is.

    pynetdicom takes an answer as it comes, also one without a transfer syntax.
    """
    proposed = {(context.abstract_syntax, syntax) for context in contexts for syntax in context.transfer_syntax}
    accepted = association._accepted_cx  # noqa: SLF001 - the only place to take one out
    for number, context in list(accepted.items()):
        syntax = next(iter(context.transfer_syntax), None)
        if (context.abstract_syntax, syntax) not in proposed:
            log.warning("%s accepted what was not proposed to it", _address(node))
            del accepted[number]
    if not accepted:
        association.abort()
        message = f"{_address(node)} accepted nothing of what was proposed to it"
        raise PeerUnreachable(message)


def _tls_context(node: Node) -> ssl.SSLContext | None:
    """Read anew for each association, so that renewed certificates are shown; None for a node without TLS."""
    if node.tls is None:
        return None
    try:
        return client_context(node.tls)
    except SettingsError as error:
        message = f"{_address(node)} is not called: {error}"
        raise PeerUnreachable(message) from error


def _send_at_once(association: Association) -> None:
    # Without it the end of each instance waits for the peer's delayed acknowledgement, 40 ms (RFC 896 and 1122).
    if association.dul.socket is not None and association.dul.socket.socket is not None:
        association.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _failure(
    association: Association, node: Node, context: ssl.SSLContext | None, *, waited: float | None
) -> PeerUnreachable:
    if association.is_rejected:
        rejection = association.acceptor.primitive
        if rejection is None:
            return PeerUnreachable(f"{_address(node)} rejected the association: no reason given")
        kind = PeerRefused if rejection.result == _REJECTED_PERMANENT else PeerUnreachable
        return kind(f"{_address(node)} rejected the association: {rejection.reason_str}")
    if association.acceptor.primitive is not None:
        refused = PeerRefused(f"{_address(node)} accepted none of the proposed presentation contexts")
        return _ended(node) if association.accepted_contexts else refused
    if context is not None and (failure := failure_of(context)):
        return PeerUnreachable(f"{_address(node)}: TLS failed: {failure}")
    if context is not None:
        return PeerUnreachable(
            f"{_address(node)} cannot be reached over TLS; does it run, speak TLS and accept our certificate?"
        )
    return PeerUnreachable(f"{_address(node)} {_silence(association.ae.connection_timeout, waited)}")


def _silence(limit: float | None, waited: float | None) -> str:
    """Why there is no association; `waited` are the seconds without a connection, None where there was one."""
    if waited is None:
        return "is connected and did not answer the association request; does it speak DICOM, or want TLS?"
    if limit is not None and waited >= limit:
        return f"cannot be reached: no connection within {limit:g} s; does its host run, and a firewall let us through?"
    return "cannot be reached: the connection is refused; is it running, and is the port open?"


def _ended(node: Node) -> PeerUnreachable:
    return PeerUnreachable(f"{_address(node)} accepted and ended the association; is it overloaded, or about to stop?")


def _address(node: Node) -> str:
    return f"{node.ae_title}@{node.host}:{node.port}"


def _contexts(parcels: Sequence[Parcel]) -> list[PresentationContext]:
    wanted = sorted({pair for parcel in parcels for pair in _context_pairs(parcel)})
    return [build_context(UID(sop_class), UID(syntax)) for sop_class, syntax in wanted[:_MAX_CONTEXTS]]


def _context_pairs(parcel: Parcel) -> list[tuple[str, str]]:
    fallbacks = [(form.sop_class_uid, form.transfer_syntax_uid) for form in parcel.fallbacks]
    return [(parcel.sop_class_uid, parcel.transfer_syntax_uid), *fallbacks]


def _store(association: Association, parcel: Parcel, number: int) -> SendOutcome:
    """The outcome of the first form that the node takes; some accept a SOP class and refuse its instances (0x0122)."""
    if not association.is_established:
        detail = "the association ended before this instance"
        return SendOutcome(parcel=parcel, answer=Answer.TRANSIENT, detail=detail)
    forms = [form for form in (None, *parcel.fallbacks) if _is_accepted(association, form or parcel)]
    if not forms:
        detail = f"SOP class {parcel.sop_class_uid} in transfer syntax {parcel.transfer_syntax_uid} was not accepted"
        if parcel.fallbacks:
            detail += ", nor was any other form of it"
        return SendOutcome(parcel=parcel, answer=Answer.PERMANENT, detail=detail)
    for form in forms[:-1]:
        outcome, status = _store_as(association, parcel, form, number)
        if status != SOP_CLASS_NOT_SUPPORTED:
            return outcome
    return _store_as(association, parcel, forms[-1], number)[0]


def _store_as(
    association: Association, parcel: Parcel, form: Form | None, number: int
) -> tuple[SendOutcome, int | None]:
    """The outcome of one C-STORE and its status, None where none came."""
    try:
        content = parcel.path if form is None else form.build()
        status = association.send_c_store(content, msg_id=number % 65535 + 1)
    except (*WIRE_ERRORS, RuntimeError) as error:
        detail = f"not sent: {type(error).__name__}"  # its disk may be back later
        return SendOutcome(parcel=parcel, answer=Answer.TRANSIENT, detail=detail, form=form), None
    if "Status" not in status:
        association.abort()  # a late answer must not be taken for that to the next instance
        detail = "no response: aborted or timed out"
        return SendOutcome(parcel=parcel, answer=Answer.TRANSIENT, detail=detail, form=form), None
    code = int(status.Status)
    comment = str(status.get("ErrorComment") or "")
    outcome = SendOutcome(
        parcel=parcel,
        answer=answer_to(code),
        detail=" ".join(filter(None, (f"0x{code:04X}", comment, form.name if form else ""))),
        form=form,
        status=code,
    )
    return outcome, code


def _is_accepted(association: Association, form: Parcel | Form) -> bool:
    return any(
        context.abstract_syntax == form.sop_class_uid and context.transfer_syntax[0] == form.transfer_syntax_uid
        for context in association.accepted_contexts
    )
