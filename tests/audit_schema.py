"""The schema of audit messages (PS3.15 A.5.1), written down as a table and held against a message."""

import base64
import re
from collections.abc import Callable
from datetime import datetime
from xml.etree.ElementTree import Element

Check = Callable[[str], bool]
_ONE, _ANY, _SOME, _MAYBE = (1, 1), (0, 9999), (1, 9999), (0, 1)


def _of(*values: str) -> Check:
    return lambda found: found in values


def _numbers(last: int) -> Check:
    return _of(*(str(number) for number in range(1, last + 1)))


def _is_date_time(found: str) -> bool:
    return datetime.fromisoformat(found).tzinfo is not None


def _is_base64(found: str) -> bool:
    return base64.b64encode(base64.b64decode(found, validate=True)).decode() == found


def _any(_found: str) -> bool:
    return True


_CODE = ({"csd-code": _any, "codeSystemName": _any, "originalText": _any}, {"displayName": _any}, [])
# Name of the element: attributes that it must have, that it may have, and its children in their order, each how often.
ELEMENTS: dict[str, tuple[dict[str, Check], dict[str, Check], list[tuple[str, tuple[int, int]]]]] = {
    "AuditMessage": (
        {},
        {},
        [
            ("EventIdentification", _ONE),
            ("ActiveParticipant", _SOME),
            ("AuditSourceIdentification", _ONE),
            ("ParticipantObjectIdentification", _ANY),
        ],
    ),
    "EventIdentification": (
        {"EventDateTime": _is_date_time, "EventOutcomeIndicator": _of("0", "4", "8", "12")},
        {"EventActionCode": _of("C", "R", "U", "D", "E")},
        [("EventID", _ONE), ("EventTypeCode", _ANY), ("EventOutcomeDescription", _MAYBE)],
    ),
    "ActiveParticipant": (
        {"UserID": _any, "UserIsRequestor": _of("true", "false", "1", "0")},
        {
            "AlternativeUserID": _any,
            "UserName": _any,
            "NetworkAccessPointID": _any,
            "NetworkAccessPointTypeCode": _numbers(5),
        },
        [("RoleIDCode", _ANY), ("MediaIdentifier", _MAYBE)],
    ),
    "AuditSourceIdentification": (
        {"AuditSourceID": _any},
        {"AuditEnterpriseSiteID": _any},
        [("AuditSourceTypeCode", _ANY)],
    ),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID": _any},
        {
            "ParticipantObjectTypeCode": _numbers(4),
            "ParticipantObjectTypeCodeRole": _numbers(26),
            "ParticipantObjectDataLifeCycle": _numbers(15),
            "ParticipantObjectSensitivity": _any,
        },
        [
            ("ParticipantObjectIDTypeCode", _ONE),
            ("ParticipantObjectName|ParticipantObjectQuery", _ONE),
            ("ParticipantObjectDetail", _ANY),
            ("ParticipantObjectDescription", _ANY),
        ],
    ),
    "ParticipantObjectDetail": ({"type": _any, "value": _is_base64}, {}, []),
    "ParticipantObjectDescription": (
        {},
        {},
        [
            ("MPPS", _ANY),
            ("Accession", _ANY),
            ("SOPClass", _ANY),
            ("ParticipantObjectContainsStudy", _MAYBE),
            ("Encrypted", _MAYBE),
            ("Anonymized", _MAYBE),
        ],
    ),
    "SOPClass": ({"NumberOfInstances": str.isdigit}, {"UID": _any}, [("Instance", _ANY)]),
    "Instance": ({"UID": _any}, {}, []),
    "ParticipantObjectName": ({}, {}, []),
    "ParticipantObjectQuery": ({}, {}, []),
    **dict.fromkeys(("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"), _CODE),
}
_TEXTS: dict[str, Check] = {"ParticipantObjectName": _any, "ParticipantObjectQuery": _is_base64}


def assert_valid(message: Element) -> None:
    """The message is what the schema allows; AssertionError names the element that is not."""
    assert message.tag == "AuditMessage"
    for element in message.iter():
        _check(element)


def _check(element: Element) -> None:
    needed, allowed, children = ELEMENTS[element.tag]
    for name, check in needed.items():
        assert name in element.attrib, f"{element.tag} without {name}"
        assert check(element.attrib[name]), f"{element.tag} {name}"
    for name, value in element.attrib.items():
        assert name in needed or allowed[name](value), f"{element.tag} {name}"
    pattern = "".join(f"(?:(?:{name}) ){{{least},{most}}}" for name, (least, most) in children)
    found = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(pattern, found), f"{element.tag}: {found}"
    assert _TEXTS.get(element.tag, _is_blank)(element.text or ""), f"{element.tag}: {element.text!r}"


def _is_blank(found: str) -> bool:
    return not found.strip()
