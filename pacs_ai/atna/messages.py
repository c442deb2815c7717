"""Events of the audit log as audit messages of DICOM (PS3.15 A.5); many events concern this service alone."""

import base64
import struct
from dataclasses import dataclass
from datetime import UTC
from xml.etree.ElementTree import Element, SubElement, tostring

from pacs_ai_storage.audit import KEPT_AGAIN
from pacs_ai_storage.following import FollowedEvent

_SUCCESS, _MINOR_FAILURE, _SERIOUS_FAILURE = "0", "4", "8"
_SOURCE, _DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")
_APPLICATION, _LAUNCHER = ("110150", "Application"), ("110151", "Application Launcher")
_STUDY, _PATIENT = ("110180", "Study Instance UID"), ("2", "Patient Number")
_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 0xFFFE, 0xFFFF) if code not in {9, 10, 13}}
_HOST_NAME = "1"
_STUDY_ROOT_FIND, _IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.5.1.4.1.2.2.1", b"1.2.840.10008.1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSource:
    """Who tells: the name of this service for the repository, its AE title, its process and its machine."""

    name: str
    ae_title: str
    process: str
    host: str


@dataclass(frozen=True, slots=True)
class _Head:
    """What kind of event a message tells of; `type` only where the standard knows kinds of it."""

    code: tuple[str, str]
    action: str
    outcome: str = _SUCCESS
    type: tuple[str, str] | None = None


_ACTIVITY = ("110100", "Application Activity")
_BEGIN, _TRANSFERRED = ("110102", "Begin Transferring DICOM Instances"), ("110104", "DICOM Instances Transferred")
_USED, _ALERT = ("110101", "Audit Log Used"), ("110113", "Security Alert")
_QUERY = ("110112", "Query")
_RECEIVED = ("receive", "resend")


def audit_message(followed: FollowedEvent, source: AuditSource) -> bytes | None:
    """The message as XML in UTF-8; None for an event that concerns this service alone."""
    event = followed.event
    head = _head(followed)
    if head is None:
        return None
    message = Element("AuditMessage")
    _identify(message, followed, head)
    _add_participants(message, followed, head, source)
    SubElement(message, "AuditSourceIdentification", AuditSourceID=source.name)
    if head.code in (_TRANSFERRED, _BEGIN):
        _add_study(message, followed)
        _add_patient(message, followed)
    elif head.code is _USED:
        _add_object(message, "log", ("12", "URI"), kind="2", role="13", name="Security Audit Log")
    elif head.code is _QUERY:
        _add_query(message, followed)
    elif head.code is _ALERT:
        alert = _add_object(message, source.ae_title, ("110182", "Node ID"), kind="2", role="13")
        _detail(alert, "Alert Description", (event.detail or "").encode())
    content: bytes = tostring(message, encoding="utf-8", xml_declaration=True)
    return content


def _head(followed: FollowedEvent) -> _Head | None:  # noqa: PLR0911 - one line for each kind of event
    event = followed.event
    match event.action, event.outcome:
        case "start", _:
            return _Head(_ACTIVITY, "E", type=("110120", "Application Start"))
        case "stop", _:
            return _Head(_ACTIVITY, "E", type=("110121", "Application Stop"))
        case "receive" | "resend", _:
            # "R" where we hold it already and nothing of that changes (PS3.15 A.5.3.7).
            is_kept_now = event.action == "receive" or (event.detail or "").startswith(KEPT_AGAIN)
            return _Head(_TRANSFERRED, "C" if is_kept_now else "R")
        case "build", _ if not (event.detail or "").endswith("nodes=none"):
            return _Head(_BEGIN, "E")
        case "deliver", "accepted":
            return _Head(_TRANSFERRED, "R")
        case "deliver", "given up":
            return _Head(_TRANSFERRED, "R", _SERIOUS_FAILURE)
        case "prove", "proved" if event.detail == "C-FIND":
            return _Head(_QUERY, "E")
        case "query-log", _:
            return _Head(_USED, "R")
        case "refuse-association", _:
            return _Head(_ALERT, "E", _MINOR_FAILURE, ("110126", "Node Authentication"))
        case _:
            return None


def _identify(message: Element, followed: FollowedEvent, head: _Head) -> None:
    identification = SubElement(
        message,
        "EventIdentification",
        EventActionCode=head.action,
        EventDateTime=followed.event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=head.outcome,
    )
    _code(identification, "EventID", head.code)
    if head.type is not None:
        _code(identification, "EventTypeCode", head.type)


def _add_participants(message: Element, followed: FollowedEvent, head: _Head, source: AuditSource) -> None:
    event = followed.event
    if head.code is _ACTIVITY:
        _participant(message, source, _APPLICATION, is_requestor=False)
        _other(message, event.actor, _LAUNCHER, is_requestor=True)
    elif head.code is _USED:
        _other(message, event.actor, None, is_requestor=True)
    elif head.code is _ALERT:
        _participant(message, source, None, is_requestor=False)
        _other(message, event.actor, None, is_requestor=True)
    elif event.action in _RECEIVED:
        _other(message, event.actor, _SOURCE, is_requestor=True)
        _participant(message, source, _DESTINATION, is_requestor=False)
    else:
        _participant(message, source, _SOURCE, is_requestor=True)
        for node in _nodes(followed):
            _other(message, node, _DESTINATION, is_requestor=False)


def _nodes(followed: FollowedEvent) -> list[str]:
    event = followed.event
    if event.action != "build":
        return [event.actor]
    return (event.detail or "").partition("nodes=")[2].split(",")


def _participant(message: Element, source: AuditSource, role: tuple[str, str] | None, *, is_requestor: bool) -> None:
    found = SubElement(
        message,
        "ActiveParticipant",
        UserID=source.process,
        AlternativeUserID=f"AETITLES={source.ae_title}",
        UserIsRequestor=str(is_requestor).lower(),
        NetworkAccessPointID=source.host,
        NetworkAccessPointTypeCode=_HOST_NAME,
    )
    if role is not None:
        _code(found, "RoleIDCode", role)


def _other(message: Element, name: str, role: tuple[str, str] | None, *, is_requestor: bool) -> None:
    found = SubElement(message, "ActiveParticipant", UserID=_plain(name), UserIsRequestor=str(is_requestor).lower())
    if role is not None:
        _code(found, "RoleIDCode", role)


def _add_study(message: Element, followed: FollowedEvent) -> None:
    event = followed.event
    study = _add_object(message, event.study_instance_uid or "", _STUDY, kind="2", role="3")
    if followed.sop_class_uid is not None:
        description = SubElement(study, "ParticipantObjectDescription")
        sop_class = SubElement(description, "SOPClass", UID=followed.sop_class_uid, NumberOfInstances="1")
        SubElement(sop_class, "Instance", UID=followed.sop_instance_uid or "")


def _add_patient(message: Element, followed: FollowedEvent) -> None:
    _add_object(message, followed.patient_id or "", _PATIENT, kind="1", role="1")


def _add_query(message: Element, followed: FollowedEvent) -> None:
    queried = _add_object(
        message, _STUDY_ROOT_FIND, ("110181", "SOP Class UID"), kind="2", role="3", query=_identifier(followed)
    )
    _detail(queried, "TransferSyntax", _IMPLICIT_LITTLE_ENDIAN)
    _add_study(message, followed)


def _detail(parent: Element, kind: str, content: bytes) -> None:
    SubElement(parent, "ParticipantObjectDetail", type=kind, value=_base64(content))


def _identifier(followed: FollowedEvent) -> str:
    """The keys that were asked for, Implicit VR Little Endian, in Base64: instance, level, study."""
    keys = (
        (0x0008, 0x0018, followed.sop_instance_uid or ""),
        (0x0008, 0x0052, "IMAGE"),
        (0x0020, 0x000D, followed.event.study_instance_uid or ""),
    )
    return _base64(b"".join(_element(group, element, value) for group, element, value in keys))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _element(group: int, element: int, value: str) -> bytes:
    padding = " " if element == 0x0052 else "\0"
    even = (value + padding * (len(value) % 2)).encode("ascii")
    return struct.pack("<HHL", group, element, len(even)) + even


def _add_object(  # noqa: PLR0913 - one element of the standard
    message: Element,
    identity: str,
    kind_of_id: tuple[str, str],
    *,
    kind: str,
    role: str,
    name: str = "",
    query: str | None = None,
) -> Element:
    """The schema wants a name or a query of each object; a name that we do not know is empty."""
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_plain(identity),
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _code(found, "ParticipantObjectIDTypeCode", kind_of_id)
    if query is None:
        SubElement(found, "ParticipantObjectName").text = name
    else:
        SubElement(found, "ParticipantObjectQuery").text = query
    return found


def _code(parent: Element, name: str, code: tuple[str, str]) -> None:
    value, meaning = code
    system = "DCM" if len(value) == 6 else "RFC-3881"
    SubElement(parent, name, {"csd-code": value, "codeSystemName": system, "originalText": meaning})


def _plain(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return text.translate(_CONTROL)
