"""The documents say what the program does."""

import re
from pathlib import Path

import typer
from pacs_ai_storage.records import StudyState

from pacs_ai.cli.app import app
from pacs_ai.findings import RefusalReason
from pacs_ai.inference.card import read_card

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_YET_GIVEN = {RefusalReason.OUT_OF_DISTRIBUTION}


def _commands(group: typer.main.TyperGroup, prefix: str) -> list[str]:
    names = []
    for name, command in group.commands.items():
        names += _commands(command, f"{prefix} {name}") if hasattr(command, "commands") else [f"{prefix} {name}"]
    return names


def test_every_command_is_in_the_readme() -> None:
    commands = _commands(typer.main.get_command(app), "pacs-ai")

    assert len(commands) >= 17
    assert [command for command in commands if f"`{command}" not in README] == []


def test_every_reason_that_can_be_given_is_in_the_readme() -> None:
    assert [reason for reason in RefusalReason if reason not in NOT_YET_GIVEN and f"`{reason}`" not in README] == []


def test_every_study_state_is_in_the_diagram() -> None:
    diagram = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert [state for state in StudyState if state not in diagram] == []


def test_the_figures_of_the_network_in_the_readme_are_those_of_its_card() -> None:
    test = read_card("").document["metrics"]["test"]
    figures = README.split("<!-- figures -->")[1].split("<!-- /figures -->")[0]

    said = [float(number) for number in re.findall(r"\d+\.\d+", figures)]

    expected = [
        test["auc"]["value"],
        test["auc"]["low"],
        test["auc"]["high"],
        test["sensitivity"]["value"] * 100,
        test["specificity"]["value"] * 100,
    ]
    assert said == [round(value, 3 if value < 1 else 1) for value in expected]


def test_what_the_detector_refuses_in_the_readme_is_what_its_card_says() -> None:
    refused = read_card("").document["detector"]["refused"]
    words = README.split("<!-- detector -->")[1].split("<!-- /detector -->")[0]

    said = [float(number) for number in re.findall(r"\d+\.\d+", words)]

    parts = ("test", "other patients not used for teaching")
    assert said == [round(refused[part]["share"] * 100, 1) for part in parts]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) >= 20
    assert [name for name in named if f"def {name}(" not in sources] == []


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
