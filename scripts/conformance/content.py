"""What a report says and in which codes."""

from pydicom.uid import BasicTextSRStorage

from pacs_ai.imaging.gate import MIN_SIDE
from pacs_ai.results.ladder import RUNGS, lowered
from pacs_ai.results.profile import MEANINGS, ROOT, Row
from pacs_ai.results.refusal_codes import CODES

from .examples import results
from .tables import table


def say_template() -> str:
    """The rows of our profile of TID 1500."""
    return table(("row", "relationship", "value type", "concept name", "how often", "value"), _template_rows(ROOT, 0))


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
    report = lowered(results(1)[1], BasicTextSRStorage)
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


def say_min_side() -> int:
    """The shortest side of an image that is read."""
    return MIN_SIDE


def say_refusals() -> str:
    """Our codes."""
    rows = [(code, meaning, f"`{reason}`") for reason, (code, meaning) in CODES.items()]
    return table(("code (99PACSAI)", "meaning", "in the audit log"), rows)
