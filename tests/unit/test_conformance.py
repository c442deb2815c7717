"""The conformance statement says what the code says."""

from pathlib import Path

import pytest
import write_conformance
from conformance import attributes

from pacs_ai.dimse.transport import Limits

from .making import make_film, make_header, make_results

ROOT = Path(__file__).parents[2]
STATEMENT = ROOT / "docs" / "conformance.md"


def test_the_statement_is_what_the_code_makes_of_it_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PACS_AI_DICOM__PORT", "104")
    said, made = STATEMENT.read_text(encoding="utf-8").splitlines(), write_conformance.document().splitlines()

    differing = [line for line in made if line not in set(said)] + [line for line in said if line not in set(made)]
    assert said == made, (
        "the code and docs/conformance.md differ; write it again with `.venv/bin/python scripts/write_conformance.py` "
        f"and read what has changed: {differing[:5]}"
    )


def test_the_port_waits_for_a_request_as_long_as_the_statement_says() -> None:
    (limit,) = [line for line in STATEMENT.read_text(encoding="utf-8").splitlines() if "(ARTIM too)" in line]

    assert limit.endswith(f" | {Limits().request_seconds:g} |")


@pytest.mark.parametrize(("section", "number"), [("7.1", 1), ("7.2", 0)], ids=["report", "capture"])
def test_every_attribute_of_a_result_is_in_its_table(section: str, number: int) -> None:
    written = make_results(make_header(make_film()))[number]
    table = STATEMENT.read_text(encoding="utf-8").split(f"### {section} ")[1].split("\n### ")[0]

    assert [element.name for element in written if f"| {element.tag} |" not in table] == []


def test_a_value_that_the_statement_calls_constant_is_that_of_another_result() -> None:
    capture, report = make_results(make_header(make_film()))
    tables = ((capture, attributes.say_capture()), (report, attributes.say_report()))

    for written, table in tables:
        rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
        constants = {row[1]: row[4].strip("`") for row in rows if row[4].startswith("`")}
        assert len(constants) > 5
        assert {
            str(element.tag): attributes.constant(element) for element in written if str(element.tag) in constants
        } == constants
