"""A library that is kept out of one import."""

import subprocess
import sys

import pytest

from pacs_ai.inference.absence import absent

OPEN_A_NETWORK = """
import importlib.util, sys
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import open_network
open_network(read_card(""))
print(sorted({"matplotlib", "sklearn"} & set(sys.modules)))
assert all(importlib.util.find_spec(name) for name in ("matplotlib", "sklearn"))
"""


def test_a_package_cannot_be_imported_within_the_block_and_can_after_it() -> None:
    sys.modules.pop("this", None)

    with absent("this"), pytest.raises(ImportError):
        import this  # noqa: F401, PLC0415 - the import is what is tried

    assert "this" not in sys.modules


def test_a_package_that_is_there_stays() -> None:
    with absent("pytest"):
        assert sys.modules["pytest"] is pytest

    assert sys.modules["pytest"] is pytest


def test_a_network_is_opened_without_the_libraries_of_training_which_can_be_imported_later() -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_A_NETWORK], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr[-2000:]
