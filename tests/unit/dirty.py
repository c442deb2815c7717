"""Headers as devices, burners and migrations leave them: what is wrong, and what is to be said of it."""

from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from tests.builders import part10

from .making import header_of_bytes, make_film

# Explicit VR Little Endian: these have two reserved bytes and a length of four (PS3.5 7.1.2).
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
_LATIN_1, _UTF_8 = "Müller^Jürgen".encode("latin-1"), "Müller^Jürgen".encode()
_KANJI = b"Yamada^Tarou=" + b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
_CYRILLIC = "Люксембург^Роза".encode("iso8859-5")
_GB18030 = "Wang^XiaoDong=王^小东".encode("gb18030")
_GB2312 = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirty:
    """Elements as their bytes stand in the file (VR and bytes; None takes one out), and the repairs in words.

    dicom3tools gives up on a file that is not `whole`.
    """

    elements: dict[str, tuple[str, bytes] | bytes | None]
    repairs: tuple[str, ...] = ()
    name: str | None = None
    whole: bool = True


def _charset(term: bytes | None, name: bytes, *repairs: str, shown: str | None = None) -> Dirty:
    return Dirty(
        elements={"SpecificCharacterSet": term, "PatientName": name, "ReferringPhysicianName": b""},
        repairs=repairs,
        name=shown,
    )


def _one(keyword: str, content: bytes | tuple[str, bytes], *repairs: str, whole: bool = True) -> Dirty:
    said = tuple(f"{keyword} {repair}" for repair in repairs)
    return Dirty(elements={keyword: content}, repairs=said, whole=whole)


def _in_arabic(keyword: str, content: str, repair: str) -> Dirty:
    """Digits of the Arabic script, in UTF-8."""
    digits = content.translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
    return Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 192", keyword: digits.encode()}, repairs=(f"{keyword} {repair}",)
    )


def _sequence(content: bytes) -> tuple[str, bytes]:
    """One item of a sequence with these bytes."""
    return "SQ", b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content


def _item(**elements: bytes | tuple[str, bytes]) -> tuple[str, bytes]:
    """One item of a sequence with these elements, in the order of their tags."""
    content = b""
    for keyword in sorted(elements, key=Tag):
        stands = elements[keyword]
        vr, value = stands if isinstance(stands, tuple) else (dictionary_VR(keyword), stands)
        content += _element(Tag(keyword), vr, value)
    return _sequence(content)


def _element(tag: BaseTag, vr: str, value: bytes) -> bytes:
    start = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + vr.encode()
    padded = value + b" " * (len(value) % 2)
    length = b"\0\0" + len(padded).to_bytes(4, "little") if vr in _LONG else len(padded).to_bytes(2, "little")
    return start + length + padded


def _own(declared: str) -> dict[str, tuple[str, bytes] | bytes | None]:
    """A procedure with a character set of its own."""
    meaning = "Tórax".encode("latin-1" if declared == "ISO_IR 100" else "utf-8")
    item = _item(
        SpecificCharacterSet=declared.encode(),
        CodeValue=b"399208008",
        CodingSchemeDesignator=b"SCT",
        CodeMeaning=meaning,
    )
    return {"ProcedureCodeSequence": item}


_TYPE_2 = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
DIRTY: dict[str, Dirty] = {
    "all that is required is missing": Dirty(
        elements=dict.fromkeys(_TYPE_2), repairs=tuple(f"{keyword} added empty: missing" for keyword in _TYPE_2)
    ),
    "all that is required is empty": Dirty(elements=dict.fromkeys(_TYPE_2, b"")),
    "sex U": _one("PatientSex", b"U ", "emptied: not one of M, F, O"),
    "sex in words": _one("PatientSex", b"male", "emptied: not one of M, F, O"),
    "two sexes": _one("PatientSex", b"M\\F ", "emptied: not one of M, F, O"),
    "birth date with dashes": _one("PatientBirthDate", b"2022-02-03", "emptied: no valid DA"),
    "birth date of no calendar": _one("PatientBirthDate", b"20221345", "emptied: no valid DA"),
    "study date in words": _one("StudyDate", b"yesterday ", "emptied: no valid DA"),
    "study time with colons": _one("StudyTime", b"25:61:99", "emptied: no valid TM"),
    "birth date of the 31st of February": _one("PatientBirthDate", b"20220231", "emptied: no valid DA"),
    "study date of the year 1": _one("StudyDate", b"00010101", "emptied: no valid DA"),
    "study date that is a range": _one("StudyDate", b"20200101-20200202", "emptied: no valid DA"),
    "two study dates": _one("StudyDate", b"20200101\\20200102", "emptied: more than one value"),
    "study time that is a range": _one("StudyTime", b"101500-111500", "emptied: no valid TM"),
    "two empty study dates": _one("StudyDate", b"\\ ", "emptied: more than one value"),
    "two empty ages": _one("PatientAge", b"\\ ", "left out: more than one value"),
    "two study times": _one("StudyTime", b"101500\\101501", "emptied: more than one value"),
    "study time to the minute": _one("StudyTime", b"1015"),
    "study date with spaces behind it": _one("StudyDate", b"20260105  "),
    "two ages": _one("PatientAge", b"003Y\\004Y", "left out: more than one value"),
    "two weights": _one("PatientWeight", b"15\\16", "left out: more than one value"),
    "two referring physicians": _one("ReferringPhysicianName", b"Doe^J\\Roe^K", "emptied: more than one value"),
    "referring physician of four groups": _one("ReferringPhysicianName", b"A=B=C=D", "emptied: no valid PN"),
    "referring physician of six components": _one(
        "ReferringPhysicianName", b"Doe^J^K^Dr^MD^PhD", "emptied: no valid PN"
    ),
    "physician of six components in the second group": _one(
        "PhysiciansOfRecord", b"Doe^J=A^B^C^D^E^F", "left out: no valid PN"
    ),
    "physicians of record": _one("PhysiciansOfRecord", b"Doe^J\\Roe^K"),
    "time zone beyond the earth": _one("TimezoneOffsetFromUTC", b"+9999", "left out: not an offset like +0100"),
    "description with a backslash": _one("StudyDescription", b"CHEST\\PA", "left out: more than one value"),
    "description of two lines": _one("StudyDescription", b"CHEST\r\nPA", "left out: a control character"),
    "description with a tabulator": _one("StudyDescription", b"CHEST\tPA", "left out: a control character"),
    "comment of two lines": _one("PatientComments", b"calm\tand\r\nwell"),
    "comment with a control character": _one("PatientComments", b"calm\x0b", "left out: a control character"),
    "animal": Dirty(elements={"PatientSpeciesDescription": b"Canis lupus", "ResponsiblePerson": b"Owner^A"}),
    "age without unit": _one("PatientAge", b"58", "left out: no valid AS"),
    "age without zeros": _one("PatientAge", b"5Y", "left out: no valid AS"),
    "size in words": _one("PatientSize", b"tall", "left out: no valid DS"),
    "size in Arabic digits": _in_arabic("PatientSize", "1.02", "left out: no valid DS"),
    "weight in Arabic digits": _in_arabic("PatientWeight", "15", "left out: no valid DS"),
    "study date in Arabic digits": _in_arabic("StudyDate", "20260105", "emptied: no valid DA"),
    "time zone in Arabic digits": _in_arabic("TimezoneOffsetFromUTC", "+0300", "left out: not an offset like +0100"),
    "weight as a number": _one("PatientWeight", ("US", b"\x10\x00"), "left out: VR US, not DS"),
    "size under UN": _one("PatientSize", ("UN", b"1.02")),
    "time zone in words": _one("TimezoneOffsetFromUTC", b"Berlin", "left out: not an offset like +0100"),
    "description too long": _one("StudyDescription", b"chest " * 20, "left out: no valid LO"),
    "description under the wrong VR": _one("StudyDescription", ("DS", b"1.5 "), "left out: VR DS, not LO"),
    "patient ID too long": _one("PatientID", b"P" * 80),
    "patient ID with a backslash": _one("PatientID", b"PID\\0001 "),
    "patient ID with a control character": _one("PatientID", b"PID\x0700001"),
    "patient ID with spaces behind it": _one("PatientID", b"PID-0001    "),
    "patient ID under SH": _one("PatientID", ("SH", b"PID-0001"), "rewritten: VR SH, not LO"),
    "patient ID under UN": _one("PatientID", ("UN", b"PID-0001")),
    "patient ID as bytes": _one("PatientID", ("OB", b"PID-0001"), "rewritten: VR OB, not LO", whole=False),
    "patient ID as a number": _one("PatientID", ("US", b"\x10\x00"), "rewritten: VR US, not LO", whole=False),
    "patient ID as a sequence": _one("PatientID", ("SQ", b""), "emptied: a sequence", whole=False),
    "issuer too long": _one("IssuerOfPatientID", b"I" * 70),
    "accession number too long": _one("AccessionNumber", b"A" * 30),
    "study ID too long": _one("StudyID", b"S" * 20),
    "name of one part too long": _one("PatientName", b"N" * 70),
    "name of five parts": _one("PatientName", b"Garcia^Maria^Luisa^Dra.^MD"),
    "name of seven parts": _one("PatientName", b"A^B^C^D^E^F^G "),
    "study UID with zeros in front": _one("StudyInstanceUID", b"1.2.840.0099.007"),
    "study UID with letters": _one("StudyInstanceUID", b"1.2.840.study.7 "),
    "study UID too long": _one("StudyInstanceUID", b"1.2." + b"7" * 70),
    "private elements": Dirty(elements={}),
    "procedure that ends too early": _one(
        "ProcedureCodeSequence",
        _sequence(b"\x08\x00\x00\x01SH\x06\x00BRO"),
        "left out: an item has no CodeMeaning",
        whole=False,
    ),
    "procedure with a code too long": _one(
        "ProcedureCodeSequence",
        _sequence(b"\x08\x00\x00\x01SH\x12\x00" + b"C" * 18 + b"\x08\x00\x04\x01LO\x06\x00Thorax"),
        "left out: no valid SH",
    ),
    "procedure with a long code": _one(
        "ProcedureCodeSequence",
        _item(LongCodeValue=b"12345678901234567890", CodingSchemeDesignator=b"SCT", CodeMeaning=b"Thorax"),
    ),
    "procedure with a URN": _one("ProcedureCodeSequence", _item(URNCodeValue=b"urn:oid:1.2.3", CodeMeaning=b"Thorax")),
    "two procedures in one item": _one(
        "ProcedureCodeSequence",
        _item(CodeValue=b"BRO\\X", CodingSchemeDesignator=b"SCT", CodeMeaning=b"Thorax"),
        "left out: more than one value",
    ),
    "study referred to by two UIDs": _one(
        "ReferencedStudySequence",
        _item(ReferencedSOPClassUID=b"1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=b"1.2.3\\1.2.4"),
        "left out: more than one value",
    ),
    "procedure with a context group and no mapping resource": _one(
        "ProcedureCodeSequence",
        _item(CodeValue=b"399208008", CodingSchemeDesignator=b"SCT", CodeMeaning=b"Thorax", ContextIdentifier=b"4009"),
        "rewritten: an incomplete context group of a code is left out",
    ),
    "procedure with a mapping resource and no context group": _one(
        "ProcedureCodeSequence",
        _item(
            CodeValue=b"399208008",
            CodingSchemeDesignator=b"SCT",
            CodeMeaning=b"Thorax",
            MappingResource=b"DCMR",
            ContextGroupVersion=b"20030108",
        ),
        "rewritten: an incomplete context group of a code is left out",
    ),
    "procedure with the version of a context group that is not extended": _one(
        "ProcedureCodeSequence",
        _item(
            CodeValue=b"399208008",
            CodingSchemeDesignator=b"SCT",
            CodeMeaning=b"Thorax",
            ContextIdentifier=b"4009",
            MappingResource=b"DCMR",
            ContextGroupVersion=b"20030108",
            ContextGroupExtensionFlag=b"N",
            ContextGroupLocalVersion=b"20030108",
            ContextGroupExtensionCreatorUID=b"1.2.3",
        ),
        "rewritten: an incomplete context group of a code is left out",
    ),
    "procedure with a context group": _one(
        "ProcedureCodeSequence",
        _item(
            CodeValue=b"399208008",
            CodingSchemeDesignator=b"SCT",
            CodeMeaning=b"Thorax",
            ContextIdentifier=b"4009",
            MappingResource=b"DCMR",
            ContextGroupVersion=b"20030108",
        ),
    ),
    "issuer of the accession number without its type": _one(
        "IssuerOfAccessionNumberSequence",
        _item(UniversalEntityID=b"1.2.3"),
        "left out: an item has no UniversalEntityIDType",
    ),
    "two issuers of the accession number": _one(
        "IssuerOfAccessionNumberSequence",
        ("SQ", _item(LocalNamespaceEntityID=b"HERE")[1] * 2),
        "left out: more than one item",
    ),
    "jurisdiction without its scheme": _one(
        "IssuerOfPatientIDQualifiersSequence",
        _item(AssigningJurisdictionCodeSequence=_item(CodeValue=b"DE", CodeMeaning=b"Germany")),
        "left out: an item has no CodingSchemeDesignator or URNCodeValue",
    ),
    "other ID whose issuer has no type": _one(
        "OtherPatientIDsSequence",
        _item(
            PatientID=b"OTHER1",
            TypeOfPatientID=b"TEXT",
            IssuerOfPatientIDQualifiersSequence=_item(UniversalEntityID=b"1.2.3"),
        ),
        "left out: an item has no UniversalEntityIDType",
    ),
    "procedure with a scheme too long": _one(
        "ProcedureCodeSequence",
        _item(CodeValue=b"BRO", CodingSchemeDesignator=b"S" * 17, CodeMeaning=b"Thorax"),
        "left out: no valid SH",
    ),
    "procedure with a meaning too long": _one(
        "ProcedureCodeSequence",
        _item(CodeValue=b"399208008", CodingSchemeDesignator=b"SCT", CodeMeaning=b"M" * 70),
        "left out: no valid LO",
    ),
    "procedure in UTF-8 without a character set": Dirty(
        elements={
            "SpecificCharacterSet": None,
            "ProcedureCodeSequence": _item(
                CodeValue=b"399208008", CodingSchemeDesignator=b"SCT", CodeMeaning="Tórax".encode()
            ),
        },
        repairs=("SpecificCharacterSet rewritten: none is declared; they fit ISO_IR 192",),
    ),
    "procedure in UTF-8 within Latin-1": Dirty(elements={"SpecificCharacterSet": b"ISO_IR 100", **_own("ISO_IR 192")}),
    "procedure in Latin-1 within UTF-8": Dirty(elements={"SpecificCharacterSet": b"ISO_IR 192", **_own("ISO_IR 100")}),
    "procedure in Latin-1 within ASCII": Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 6", **_own("ISO_IR 100")},
        repairs=("SpecificCharacterSet rewritten: the texts are not of the declared one; they fit ISO_IR 192",),
    ),
    "procedure in Latin-1 within Cyrillic": Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 144", **_own("ISO_IR 100")},
        repairs=("ProcedureCodeSequence left out: an item in another character set",),
    ),
    "procedure whose items are garbage": _one(
        "ProcedureCodeSequence",
        ("SQ", b"\x01\x02\x03\x04\x05\x06"),
        "left out: cannot be read as SQ",
        whole=False,
    ),
    "procedure that is no sequence": _one("ProcedureCodeSequence", ("LO", b"chest "), "left out: cannot be read as SQ"),
    "procedure without a code": _one(
        "ProcedureCodeSequence",
        _sequence(b"\x08\x00\x04\x01LO\x06\x00Thorax"),
        "left out: an item has no CodeValue or LongCodeValue or URNCodeValue",
    ),
    "other ID of no type": _one(
        "OtherPatientIDsSequence",
        _sequence(b"\x10\x00\x20\x00LO\x06\x00OTHER1"),
        "left out: an item has no TypeOfPatientID",
    ),
    "orientation in words": _one("PatientOrientation", b"left\\foot ", "left out: not the terms of two directions"),
    "orientation to both sides": _one("PatientOrientation", b"LR\\AP", "left out: not the terms of two directions"),
    "orientation of one direction twice": _one(
        "PatientOrientation", b"L\\L ", "left out: not the terms of two directions"
    ),
    "orientation of a direction and its opposite": _one(
        "PatientOrientation", b"FL\\H ", "left out: not the terms of two directions"
    ),
    "oblique orientation": _one("PatientOrientation", b"LA\\FP"),
    "spacing in words": _one("ImagerPixelSpacing", b"wide\\high ", "left out: not two positive numbers"),
    "instance number in words": _one("InstanceNumber", b"seven ", "rewritten: no number"),
    "Latin-1 without a character set": _charset(
        None,
        _LATIN_1,
        "SpecificCharacterSet rewritten: none is declared; read as ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "UTF-8 without a character set": _charset(
        None, _UTF_8, "SpecificCharacterSet rewritten: none is declared; they fit ISO_IR 192", shown="Müller^Jürgen"
    ),
    "kanji without a character set": _charset(
        None,
        _KANJI,
        "SpecificCharacterSet rewritten: none is declared; they fit \\ISO 2022 IR 87",
        shown="Yamada^Tarou=山田^太郎",
    ),
    "Latin-1 declared as ASCII": _charset(
        b"ISO_IR 6",
        _LATIN_1,
        "SpecificCharacterSet rewritten: the texts are not of the declared one; read as ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "Latin-1 declared as UTF-8": _charset(
        b"ISO_IR 192",
        _LATIN_1,
        "SpecificCharacterSet rewritten: the texts are not of the declared one; read as ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "character set that does not exist": _charset(
        b"ISO_IR 999",
        _LATIN_1,
        "SpecificCharacterSet rewritten: the declared one is no defined term; read as ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "character set that is misspelt": _charset(
        b"iso-ir 144",
        _CYRILLIC,
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO_IR 144",
        shown="Люксембург^Роза",
    ),
    "Chinese with code extensions": Dirty(
        elements={
            "SpecificCharacterSet": b"\\ISO 2022 IR 58",
            "PatientName": _GB2312,
            "ReferringPhysicianName": _GB2312,
            "StudyDescription": b"\x1b$)A\xd5\xc5 CHEST",
        },
    ),
    "Chinese with code extensions that are not declared": _charset(
        None, _GB2312, "SpecificCharacterSet rewritten: none is declared; they fit \\ISO 2022 IR 58"
    ),
    "Latin-1 in the form of several": _charset(
        b"ISO_IR 6\\ISO_IR 100",
        b"M\x1b-A\xfcller",
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO 2022 IR 6\\ISO 2022 IR 100",
        shown="Müller",
    ),
    "Latin-1 in the form of several without an escape sequence": _charset(
        b"ISO_IR 6\\ISO_IR 100",
        _LATIN_1,
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "kanji beside Latin-1 without code extensions": _charset(
        b"ISO_IR 100\\ISO 2022 IR 87",
        _KANJI,
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO 2022 IR 100\\ISO 2022 IR 87",
        shown="Yamada^Tarou=山田^太郎",
    ),
    "Latin-1 twice": _charset(
        b"ISO_IR 100\\ISO_IR 100",
        _LATIN_1,
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO_IR 100",
        shown="Müller^Jürgen",
    ),
    "UTF-8 beside another set": _charset(
        b"ISO_IR 192\\ISO 2022 IR 87",
        _UTF_8,
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit ISO_IR 192",
        shown="Müller^Jürgen",
    ),
    "GBK with code extensions": _charset(
        b"ISO 2022 GBK",
        "Wang^XiaoDong=王^小东".encode("gbk"),
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit GBK",
        shown="Wang^XiaoDong=王^小东",
    ),
    "GB2312 by a term that is none": _charset(
        b"ISO 2022 58",
        "Wang^XiaoDong=王^小东".encode("gb2312"),
        "SpecificCharacterSet rewritten: the declared one is no defined term; they fit GBK",
        shown="Wang^XiaoDong=王^小东",
    ),
    "kanji": _charset(b"\\ISO 2022 IR 87", _KANJI, shown="Yamada^Tarou=山田^太郎"),
    "kanji whose escape sequence is broken": _charset(b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3E\x1b(Z^\x1b$"),
    "Cyrillic": _charset(b"ISO_IR 144", _CYRILLIC, shown="Люксембург^Роза"),
    "GB18030": _charset(b"GB18030 ", _GB18030, shown="Wang^XiaoDong=王^小东"),
    "Greek with a byte that is none": _charset(b"ISO_IR 126", b"\xc4\xe9\xff\xed "),
    "patient ID in Latin-1 declared as UTF-8": Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 192", "PatientName": b"Doe", "PatientID": b"PID-\xc4\xd6 "},
        repairs=("SpecificCharacterSet rewritten: the texts are not of the declared one; read as ISO_IR 100",),
    ),
    "description in Latin-1 declared as UTF-8": Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 192", "StudyDescription": b"Thorax-\xdcbersicht"},
        repairs=("SpecificCharacterSet rewritten: the texts are not of the declared one; read as ISO_IR 100",),
    ),
    "comment of garbage": Dirty(
        elements={"SpecificCharacterSet": b"ISO_IR 192", "PatientName": _UTF_8, "PatientComments": b"\xff\xfe\xfd "},
        repairs=("PatientComments left out: bytes that are not of the character set",),
        name="Müller^Jürgen",
    ),
}


# pydicom says so where an invalid UID is set or read; for `filterwarnings`.
UID_WARNINGS = (
    "ignore:Invalid value for VR UI",
    "ignore:The value length .74. exceeds the maximum length of 64 allowed for VR UI",
)


def make_dirty_film(name: str) -> bytes:
    """The film as a file, whose elements stand in it as no library would write them."""
    film = make_film(SpecificCharacterSet="ISO_IR 6", PatientName="Test^Paeron", ReferringPhysicianName="Doe^Jane")
    if name == "private elements":
        film.private_block(0x0011, "VENDOR", create=True).add_new(1, "LO", "secret")
    content = part10(film)
    for keyword, stands in DIRTY[name].elements.items():
        tag = Tag(keyword)
        vr, value = stands if isinstance(stands, tuple) else (dictionary_VR(tag), stands)
        content = _spliced(content, tag, b"" if value is None else _element(tag, vr, value))
    return content


def _spliced(content: bytes, tag: BaseTag, element: bytes) -> bytes:
    """The file with this element in the place of the one with that tag, or where one would stand."""
    header = header_of_bytes(content)
    starts = {found: _start(header, found) for found in header.keys()}  # noqa: SIM118 - iterating converts
    begin = min((start for found, start in starts.items() if found >= tag), default=len(content))
    end = min((start for found, start in starts.items() if found > tag), default=len(content))
    return content[:begin] + element + content[end:]


def _start(header: Dataset, tag: BaseTag) -> int:
    found = header.get_item(tag)
    value_at = found.value_tell if isinstance(found, RawDataElement) else found.file_tell
    return int(value_at) - (12 if found.VR in _LONG else 8)


def make_dirty_header(name: str) -> Dataset:
    """Its header as it is read from the file."""
    return header_of_bytes(make_dirty_film(name))
