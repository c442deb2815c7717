"""A PACS that is away for two days, by a clock that the test moves, and comes back with little room at a time.

WEEKEND_STUDIES says how many studies are read meanwhile (1,000).
"""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pacs_ai_storage.records import DeliveryState

from tests.fakes import Clock
from tests.integration.away import RETRY, Absence
from tests.integration.peers import connection_refused, listening

pytestmark = pytest.mark.timeout(3600)
STUDIES = int(os.environ.get("WEEKEND_STUDIES", "1000"))
WEEKEND = timedelta(hours=48)
PRIORITIES = ("ROUTINE", "ROUTINE", "HIGH", "ROUTINE", "STAT")


@connection_refused
def test_after_a_weekend_everything_arrives_and_the_urgent_first(tmp_path: Path) -> None:
    clock = Clock()
    absence = Absence(tmp_path, clock)
    began = clock()
    for number in range(STUDIES):
        absence.read(number, PRIORITIES[number % len(PRIORITIES)])
        while clock() < began + WEEKEND * (number + 1) / STUDIES:
            absence.deliver()
            clock.pass_by(300)

    with listening(absence.archive):
        clock.pass_by(RETRY.longest.total_seconds())
        begun = time.monotonic()
        while absence.deliver():
            pass
        seconds = time.monotonic() - begun

    print(f"\nweekend: {STUDIES} results {STUDIES / seconds:.0f} a second after {absence.tries()} tries")
    assert absence.archive.instances == absence.in_order
    assert absence.states() == {DeliveryState.ACCEPTED}
    absence.database.close()
