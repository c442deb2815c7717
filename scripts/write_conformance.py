"""Write docs/conformance.md: the prose of scripts/conformance.md with what the code itself says put in its places.

Run it with `.venv/bin/python scripts/write_conformance.py` after a change of what is negotiated, read or written.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_description, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)
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
from pacs_ai.findings import Classification, HeatMap, ModelIdentity, Reading, Refusal, RefusalReason
from pacs_ai.imaging.gate import MIN_SIDE
from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Author, Edition, ReadImage, RefusedImage
from pacs_ai.results.ladder import RUNGS, lowered
from pacs_ai.results.profile import MEANINGS, ROOT, Row
from pacs_ai.results.refusal_codes import CODES
from pacs_ai.results.report import build_report
from pacs_ai.results.source import IDENTITY, TAKEN_OVER
from pacs_ai.settings import Settings, WebNode

FOLDER = Path(__file__).parents[1]
TEMPLATE = FOLDER / "scripts" / "conformance.md"
DOCUMENT = FOLDER / "docs" / "conformance.md"
_PLACE = re.compile(r"\{\{(\w+)\}\}")

_STATUSES = {
    StoreStatus.SUCCESS: "The instance is durable on disk and in the ledger; one that is already there is kept once",
    StoreStatus.OUT_OF_RESOURCES: "The disk is below its reserve or full, the database does not answer, or the "
    "instance is larger than `dicom.max_message_mb`; send again",
    StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS: "SOP Class UID of data set and command differ; nothing is kept",
    StoreStatus.CANNOT_UNDERSTAND: "The data set cannot be parsed, a UID is missing or is none, or SOP Instance UID of "
    "data set and command differ; nothing is kept",
}
_READ_FROM_SOURCE = re.compile(
    r'(?:text|texts|number|numbers|items)\((?:source|header|image\.header|first|instance), "(\w+)"'
)

_RESULTS = ("results/source.py", "results/report.py", "results/capture.py")


def document() -> str:
    """The statement as the code has it; KeyError when the prose asks for something that there is not."""
    places = {name: make for name, make in globals().items() if name.startswith("say_")}
    asked = set(_PLACE.findall(TEMPLATE.read_text(encoding="utf-8")))
    unused = {name.removeprefix("say_") for name in places} - asked
    if unused:
        message = f"{TEMPLATE.name} has no place for {', '.join(sorted(unused))}"
        raise KeyError(message)
    return _PLACE.sub(lambda match: str(places[f"say_{match[1]}"]()), TEMPLATE.read_text(encoding="utf-8"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


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
    return _table(("", "value"), rows)


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
    return _table(("time limit, seconds", "as SCU", "as SCP"), shown)


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
    return _table(("transfer syntax", "UID", *sets), rows)


def _place(syntax: str, syntaxes: Sequence[str]) -> int | str:
    return syntaxes.index(syntax) + 1 if syntax in syntaxes else ""


def say_accepted() -> str:
    """Every presentation context that is accepted."""
    names = {syntaxes: name for name, syntaxes in _sets().items()}
    rows = [
        (UID(context.abstract_syntax).name, f"`{context.abstract_syntax}`", names[tuple(context.transfer_syntax)])
        for context in _ae().supported_contexts
    ]
    return _table(("SOP class", "UID", "transfer syntaxes"), rows)


def say_proposed() -> str:
    """Every presentation context that is proposed for results."""
    rows = [
        (kind, place, UID(sop_class).name, f"`{sop_class}`", UID(syntax).name, f"`{syntax}`")
        for kind, forms in FORMS.items()
        for place, (sop_class, syntax) in enumerate(forms, 1)
    ]
    return _table(("object", "preference", "SOP class", "UID", "transfer syntax", "UID of it"), rows)


def say_store_statuses() -> str:
    """The answers to C-STORE; KeyError for a status without a line."""
    names = [status.name.replace("_", " ").capitalize().replace("sop class", "SOP class") for status in StoreStatus]
    rows = [(f"0x{status:04X}", name, _STATUSES[status]) for name, status in zip(names, StoreStatus, strict=True)]
    return _table(("status", "meaning", "behaviour"), rows)


_ABOUT_HTTP = {
    HttpAnswer.EACH_INSTANCE: "an instance that is not named, nor found by QIDO-RS, is tried again as in 3.3",
    HttpAnswer.NODE_AWAY: "everything waits for the node, for as long as Retry-After says (an hour at most)",
    HttpAnswer.NODE_REFUSES: "given up at once: there is no such service there; redirections are not followed",
    HttpAnswer.REQUEST_REFUSED: "each instance is sent alone; one that is refused then is given up",
    HttpAnswer.REQUEST_FAILED: "each instance is sent alone; one that fails then is tried again",
}


def say_http_statuses() -> str:
    """What the statuses of STOW-RS mean; KeyError for a kind without a line."""
    kinds = {kind: [status.value for status in HTTPStatus if http_answer_to(status) is kind] for kind in HttpAnswer}
    rows = [
        (", ".join(str(status) for status in statuses if status >= 200), _ABOUT_HTTP[kind])
        for kind, statuses in kinds.items()
    ]
    rows.append(("no connection", "everything waits for the node"))
    rows.append(("no answer in time", "the instances of the request, and those behind them, are tried again"))
    return _table(("status", "behaviour"), rows)


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
    return _table(("setting", "default"), rows)


def _shown(value: object) -> str:
    return "any" if value == [] else f"{value:g}" if isinstance(value, float) else str(value)


def say_min_side() -> int:
    """The shortest side of an image that is read."""
    return MIN_SIDE


def say_refusals() -> str:
    """Our codes."""
    rows = [(code, meaning, f"`{reason}`") for reason, (code, meaning) in CODES.items()]
    return _table(("code (99PACSAI)", "meaning", "in the audit log"), rows)


def say_used() -> str:
    """The attributes that the code of each step names."""
    named = {
        "receiving": _named("dimse/listener.py"),
        "deciding what is read": _named("imaging/gate.py", "header.py"),
        "decoding and display": _named("imaging/pixels.py", "imaging/decoders.py"),
        "results": [*TAKEN_OVER, *_matches(_READ_FROM_SOURCE, *_RESULTS)],
    }
    steps: dict[str, list[str]] = {}
    for step, keywords in named.items():
        for keyword in keywords:
            if step not in steps.setdefault(keyword, []):
                steps[keyword].append(step)
    rows = [(_tag(keyword), _name(keyword), ", ".join(steps[keyword])) for keyword in sorted(steps, key=_number)]
    return _table(("tag", "attribute", "used for"), rows)


def _named(*modules: str) -> list[str]:
    return [
        found
        for found in _matches(re.compile(r'["\.]([A-Z]\w+)\b'), *modules)
        if tag_for_keyword(found) is not None and (tag_for_keyword(found) or 0) >= 0x00080000
    ]


def _matches(pattern: re.Pattern[str], *modules: str) -> list[str]:
    sources = [(FOLDER / "pacs_ai" / module).read_text(encoding="utf-8") for module in modules]
    return [found for source in sources for found in pattern.findall(source)]


def _number(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def _tag(keyword: str) -> str:
    return str(Tag(_number(keyword)))


def _name(keyword: str) -> str:
    return dictionary_description(_number(keyword))


def say_verbatim() -> str:
    """What is taken over even where it is invalid."""
    return ", ".join(_name(keyword) for keyword in IDENTITY)


def say_report() -> str:
    """The attributes of a report."""
    return _produced(lambda number: _results(number)[1])


def say_capture() -> str:
    """The attributes of a capture."""
    return _produced(lambda number: _results(number)[0])


def _produced(build: Callable[[int], Dataset]) -> str:
    """Every attribute of two objects made of different images: what is equal in both is a constant of ours."""
    first, second = build(1), build(2)
    rows = [(str(element.tag), element.name, element.VR, _value(element, second)) for element in first]
    return _table(("tag", "attribute", "VR", "value"), rows)


def _value(element: DataElement, other: Dataset) -> str:
    if element.keyword in TAKEN_OVER or element.keyword == "SpecificCharacterSet":
        return "of the source"
    if element.VR == "SQ":
        return "see the text" if len(element.value) else "empty"
    if element.keyword == "PixelData":
        return "the picture"
    if element.tag in other and other[element.tag].value == element.value:
        return "empty" if element.is_empty else f"`{_constant(element)}`"
    return "differs from object to object"


def _constant(element: DataElement) -> str:
    value = element.value
    return "\\".join(map(str, value)) if element.VM > 1 else str(value)


def _results(number: int) -> tuple[Dataset, Dataset]:
    """Capture and report of a positive and of a refused image; what can differ, differs with the number."""
    author = Author(
        model=ModelIdentity(name=f"network-{number}", version=f"{number}.0", sha256=f"{number}" * 64),
        threshold=0.1 * number,
        software_version=f"0.0.{number}",
    )
    when = datetime(2026, number, number, number, number, number)  # noqa: DTZ001 - DICOM dates have no zone
    heat_map = HeatMap(values=np.ones((14, 14), np.float32))
    said = Classification(probability=0.9 + number / 100, threshold=author.threshold)
    shape = (700 + 50 * number, 700 + 20 * number)
    image = ReadImage(
        header=_source(number),
        reading=Reading(classification=said, heat_map=heat_map),
        display=np.full(shape, 90 * number, np.uint8),
    )
    refusal = Refusal(reason=RefusalReason.NOT_FRONTAL, detail="The view is LL.")
    refused = RefusedImage(header=_source(number + 10), refusal=refusal)
    capture = build_capture(image, author, "positive", when)
    return capture, build_report([(image, capture)], author, Edition(revision=number, when=when), refused=[refused])


def _source(number: int) -> Dataset:
    source = Dataset()
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.SOPClassUID = DigitalXRayImageStorageForPresentation
    source.SOPInstanceUID, source.SeriesInstanceUID = f"1.2.{number}", f"1.2.3.{number}"
    source.Modality, source.InstanceNumber = "DX", number
    source.Rows, source.Columns = 1000 + number, 800 + number
    source.PatientOrientation = ["L", "F"] if number == 1 else ["R", "F"]
    source.PixelSpacing = source.ImagerPixelSpacing = [0.1 * number, 0.1 * number]
    for keyword in TAKEN_OVER:
        setattr(source, keyword, _example(dictionary_VR(_number(keyword))))
    source.PatientSex, source.TimezoneOffsetFromUTC = "O", "+0100"
    source.StudyInstanceUID = f"1.2.3.4.{number % 10}"
    source.SpecificCharacterSet = "ISO_IR 192"
    return source


def _example(vr: str) -> object:
    examples = {"DA": "20260101", "TM": "101500", "AS": "003Y", "DS": "1", "UI": "1.2", "CS": "TEXT"}
    if vr == "SQ":
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "399208008", "SCT", "Plain chest X-ray"
        item.PatientID, item.TypeOfPatientID, item.LocalNamespaceEntityID = "X", "TEXT", "X"
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2"
        return [item]
    return examples.get(vr, "X")


def say_template() -> str:
    """The rows of our profile of TID 1500."""
    return _table(("row", "relationship", "value type", "concept name", "how often", "value"), _template_rows(ROOT, 0))


def _template_rows(row: Row, depth: int) -> list[tuple[str, ...]]:
    most = "n" if row.most > 10 else str(row.most)
    often = str(row.least) if str(row.least) == most else f"{row.least}-{most}"
    values = [_code(code) for code in sorted(row.values or ())]
    if len(values) > 4:
        values = ["a reason, see Codes"]
    if row.unit:
        values.append(f"in {_code(row.unit)}")
    if row.template:
        values.append(f"TID {row.template}")
    this = (">" * depth or "root", row.relation, row.type, _code(row.name), often, "; ".join(values))
    return [this, *(line for child in row.rows for line in _template_rows(child, depth + 1))]


def _code(code: tuple[str, str]) -> str:
    return f'({code[0]}, {code[1]}, "{MEANINGS[code]}")'


def say_words() -> str:
    """What Basic Text SR says of a read and of a refused image."""
    report = lowered(_results(1)[1], BasicTextSRStorage)
    sentences = [
        item.TextValue
        for section in report.ContentSequence
        if section.ValueType == "CONTAINER"
        for item in section.ContentSequence
        if item.ValueType == "TEXT"
    ]
    return "\n".join(f"> {sentence}\n>" for sentence in sentences).removesuffix("\n>")


def say_ladder() -> str:
    """The SR classes, the highest first."""
    return ", ".join(rung.name.removesuffix(" Storage") for rung in RUNGS)


def say_schemes() -> str:
    """The coding schemes of all codes that are written."""
    schemes = sorted({scheme for _, scheme in MEANINGS} | {"LN"})
    return ", ".join(schemes)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"{DOCUMENT.relative_to(FOLDER)} written")
