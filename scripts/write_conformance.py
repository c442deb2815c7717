"""Write docs/conformance.md: the prose of conformance/statement.md with what the code itself says put in its places.

Run it with `.venv/bin/python scripts/write_conformance.py` after a change of what is negotiated, read or written.
"""

import re
from pathlib import Path

from conformance import attributes, content, networking

FOLDER = Path(__file__).parents[1]
TEMPLATE = FOLDER / "scripts" / "conformance" / "statement.md"
DOCUMENT = FOLDER / "docs" / "conformance.md"
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def document() -> str:
    """The statement as the code has it; KeyError when the prose asks for something that there is not."""
    places = {
        name: make
        for module in (networking, attributes, content)
        for name, make in vars(module).items()
        if name.startswith("say_")
    }
    asked = set(_PLACE.findall(TEMPLATE.read_text(encoding="utf-8")))
    unused = {name.removeprefix("say_") for name in places} - asked
    if unused:
        message = f"{TEMPLATE.name} has no place for {', '.join(sorted(unused))}"
        raise KeyError(message)
    return _PLACE.sub(lambda match: str(places[f"say_{match[1]}"]()), TEMPLATE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"{DOCUMENT.relative_to(FOLDER)} written")
