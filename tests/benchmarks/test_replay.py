"""Fifty studies read by a running service with the embedded network, and read again by `audit replay`."""

import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import keras
import pytest
from pacs_ai_training.card import rewrite_card

from pacs_ai.inference.card import EMBEDDED, read_card
from tests.acceptance.peers import COMMAND, Serve, run_command, wait_until
from tests.builders import make_instance, part10, sample_film

COUNT = 50


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    return Serve(tmp_path)


def _other_network(folder: Path) -> Path:
    shutil.copytree(EMBEDDED, folder)
    card = read_card(folder)
    network = keras.saving.load_model(card.weights, compile=False)
    network.layers[-1].bias.assign(network.layers[-1].bias + 0.05)
    network.save(card.weights)
    sha256 = hashlib.sha256(card.weights.read_bytes()).hexdigest()
    return rewrite_card(folder, card.document | {"version": "1.1.1", "sha256": sha256}).parent


def _replay(serve: Serve, **environment: str) -> tuple[int, list[dict[str, Any]], float]:
    words = [*COMMAND, "audit", "replay", "--all-since", "2026-01-01", "-c", str(serve.config), "--json"]
    begun = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment or None)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], time.monotonic() - begun


def test_fifty_studies_are_the_same_and_after_a_change_of_network_all_are_named(serve: Serve, tmp_path: Path) -> None:
    for number in range(COUNT):
        film = make_instance(stored=sample_film(number, 1400 + 8 * number, 1200))
        (tmp_path / f"{number}.dcm").write_bytes(part10(film))
    serve.start()
    run_command("send", "127.0.0.1", str(serve.port), "-aec", "PACS_AI", *map(str, tmp_path.glob("*.dcm")))
    wait_until(lambda: len(serve.ask("audit", "query", "--action", "finish", "--limit", "100")) == COUNT, seconds=120)
    serve.stop()

    code, same, seconds = _replay(serve)
    other = str(_other_network(tmp_path / "other"))
    changed_code, changed, _ = _replay(serve, PACS_AI_MODEL__PATH=other)

    probabilities = [line["probability"] for line in same if line["probability"]["then"] is not None]
    furthest = max(abs(said["then"] - said["now"]) for said in probabilities)
    print(f"\nreplay: {len(same)} studies in {seconds:.0f} s, {len(probabilities)} read, furthest apart {furthest:.1e}")
    assert (code, {line["verdict"] for line in same}, len(same)) == (0, {"same"}, COUNT)
    named = [{found["what"] for found in line["differences"]} for line in changed]
    assert (changed_code, len(named)) == (1, COUNT)
    assert all({"model.sha256", "model.version"} <= found for found in named)
    print(
        f"after a change of network {len(named)} named, {sum('probability' in found for found in named)} by probability"
    )
