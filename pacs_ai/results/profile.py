"""Our profile of TID 1500, 1501, 1600, 4019, 1002 and 1004 as a table of rows.

What we promise to write is more than the standard asks for, and stands here; `verification.py` holds reports to it.
"""

from dataclasses import dataclass
from typing import Literal

from .refusal_codes import CODES, DESIGNATOR, REASON

Code = tuple[str, str]
Values = frozenset[Code]

PRESENT, ABSENT, UNDETERMINED = ("52101004", "SCT"), ("272519000", "SCT"), ("373068000", "SCT")
PNEUMONIA: Code = ("233604007", "SCT")
PERCENT: Code = ("%", "UCUM")
FINDING, CERTAINTY, EXPLANATION = "121071", "111012", "130401"
FINDING_SITE, SOURCE, COMMENT, TRACKING = "363698007", "260753009", "121106", "112040"
MEASUREMENTS, MEASUREMENT_GROUP = "126010", "125007"
_ANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Children of a content item with one concept name: how they are related, of what type, how many, with what in."""

    name: Code
    relation: str
    type: str
    least: int = 1
    most: int = 1
    values: Values | None = None
    unit: Code | None = None
    template: str = ""
    rows: tuple["Row", ...] = ()


def _text(code: str, relation: str = "HAS CONCEPT MOD", *, least: int = 1, most: int = 1) -> Row:
    return Row(name=(code, "DCM"), relation=relation, type="TEXT", least=least, most=most)


def _coded(name: Code, relation: str, *values: Code, least: int = 1) -> Row:
    return Row(name=name, relation=relation, type="CODE", least=least, values=frozenset(values) or None)


def _acquisition(code: str, kind: Literal["CODE", "NUM", "TEXT"], unit: Code | None = None) -> Row:
    return Row(name=(code, "DCM"), relation="HAS ACQ CONTEXT", type=kind, least=0, unit=unit)


_PIXELS, _MILLIMETRE = ("{pixels}", "UCUM"), ("mm", "UCUM")
_SOURCE: Code = (SOURCE, "SCT")

LIBRARY_ENTRY = Row(
    name=_SOURCE,
    relation="CONTAINS",
    type="IMAGE",
    most=_ANY,
    rows=(
        _acquisition("121139", "CODE"),
        _acquisition("110910", "NUM", _PIXELS),
        _acquisition("110911", "NUM", _PIXELS),
        _acquisition("111044", "TEXT"),
        _acquisition("111043", "TEXT"),
        _acquisition("111026", "NUM", _MILLIMETRE),
        _acquisition("111066", "NUM", _MILLIMETRE),
    ),
)
_SELECTED = Row(name=_SOURCE, relation="SELECTED FROM", type="IMAGE")
REGION = Row(name=_SOURCE, relation="INFERRED FROM", type="SCOORD", rows=(_SELECTED,))
GROUP = Row(
    name=("125007", "DCM"),
    relation="CONTAINS",
    type="CONTAINER",
    most=_ANY,
    template="1501",
    rows=(
        _text("112039", "HAS OBS CONTEXT"),
        Row(name=("112040", "DCM"), relation="HAS OBS CONTEXT", type="UIDREF"),
        _coded(("121071", "DCM"), "CONTAINS", PNEUMONIA, least=0),
        _coded(("363698007", "SCT"), "HAS CONCEPT MOD", ("39607008", "SCT"), least=0),
        _text("111001"),
        _text("111003"),
        _text("111002", least=2, most=3),
        _coded(("111000", "DCM"), "HAS CONCEPT MOD", ("123110", "DCM")),
        Row(name=("111012", "DCM"), relation="CONTAINS", type="NUM", least=0, unit=PERCENT, rows=(REGION,)),
        _coded(PNEUMONIA, "CONTAINS", PRESENT, ABSENT, UNDETERMINED),
        _coded(("NA", DESIGNATOR), "CONTAINS", *((code, DESIGNATOR) for code, _ in CODES.values()), least=0),
        Row(name=("121112", "DCM"), relation="CONTAINS", type="IMAGE"),
        Row(name=_SOURCE, relation="CONTAINS", type="SCOORD", least=0, rows=(_SELECTED,)),
        Row(name=("130401", "DCM"), relation="CONTAINS", type="IMAGE", least=0),
        _text("121106", "CONTAINS", least=0),
    ),
)
ROOT = Row(
    name=("126000", "DCM"),
    relation="",
    type="CONTAINER",
    template="1500",
    rows=(
        _coded(("121049", "DCM"), "HAS CONCEPT MOD", ("en-US", "RFC5646")),
        _coded(("121005", "DCM"), "HAS OBS CONTEXT", ("121007", "DCM")),
        Row(name=("121012", "DCM"), relation="HAS OBS CONTEXT", type="UIDREF"),
        *(_text(code, "HAS OBS CONTEXT") for code in ("121013", "121014", "121015", "121016")),
        _coded(("121058", "DCM"), "HAS CONCEPT MOD"),
        Row(
            name=("111028", "DCM"),
            relation="CONTAINS",
            type="CONTAINER",
            rows=(Row(name=("126200", "DCM"), relation="CONTAINS", type="CONTAINER", rows=(LIBRARY_ENTRY,)),),
        ),
        Row(name=("126010", "DCM"), relation="CONTAINS", type="CONTAINER", rows=(GROUP,)),
    ),
)

# What each code means; a wrong meaning is what a reader without the code would see (PS3.3 8.3).
MEANINGS: dict[Code, str] = {
    ("%", "UCUM"): "Percent",
    ("{pixels}", "UCUM"): "Pixels",
    ("mm", "UCUM"): "millimeter",
    ("en-US", "RFC5646"): "English (United States)",
    ("CR", "DCM"): "Computed Radiography",
    ("DX", "DCM"): "Digital Radiography",
    ("110910", "DCM"): "Pixel Data Rows",
    ("110911", "DCM"): "Pixel Data Columns",
    ("111000", "DCM"): "Algorithm Family",
    ("111001", "DCM"): "Algorithm Name",
    ("111002", "DCM"): "Algorithm Parameters",
    ("111003", "DCM"): "Algorithm Version",
    ("111012", "DCM"): "Certainty of Finding",
    ("111026", "DCM"): "Horizontal Pixel Spacing",
    ("111028", "DCM"): "Image Library",
    ("111043", "DCM"): "Patient Orientation Column",
    ("111044", "DCM"): "Patient Orientation Row",
    ("111066", "DCM"): "Vertical Pixel Spacing",
    ("112039", "DCM"): "Tracking Identifier",
    ("112040", "DCM"): "Tracking Unique Identifier",
    ("121005", "DCM"): "Observer Type",
    ("121007", "DCM"): "Device",
    ("121012", "DCM"): "Device Observer UID",
    ("121013", "DCM"): "Device Observer Name",
    ("121014", "DCM"): "Device Observer Manufacturer",
    ("121015", "DCM"): "Device Observer Model Name",
    ("121016", "DCM"): "Device Observer Serial Number",
    ("121049", "DCM"): "Language of Content Item and Descendants",
    ("121058", "DCM"): "Procedure reported",
    ("121071", "DCM"): "Finding",
    ("121106", "DCM"): "Comment",
    ("121112", "DCM"): "Source of Measurement",
    ("121139", "DCM"): "Modality",
    ("123110", "DCM"): "Artificial Intelligence",
    ("125007", "DCM"): "Measurement Group",
    ("126000", "DCM"): "Imaging Measurement Report",
    ("126010", "DCM"): "Imaging Measurements",
    ("126200", "DCM"): "Image Library Group",
    ("130401", "DCM"): "Visual explanation",
    ("233604007", "SCT"): "Pneumonia",
    ("260753009", "SCT"): "Source",
    ("272519000", "SCT"): "Absent",
    ("363698007", "SCT"): "Finding Site",
    ("373068000", "SCT"): "Undetermined",
    ("39607008", "SCT"): "Lung",
    ("52101004", "SCT"): "Present",
    REASON[:2]: REASON[2],
    **{(code, DESIGNATOR): meaning for code, meaning in CODES.values()},
}
