"""What is counted, in the text format of Prometheus: no UID, no patient and no AE title is a label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pacs_ai_storage.database import Database, LedgerUnavailable
from pacs_ai_storage.figures import Figures, figures
from pacs_ai_storage.instances import InstanceStore
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pacs_ai.tally import BUCKETS, Tallied, Tally


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measures(Collector):
    """Ledger and disk as they are when somebody asks, and what this service has counted since it began."""

    database: Database
    store: InstanceStore
    tally: Tally
    now: Callable[[], datetime]

    def collect(self) -> Iterator[Metric]:
        """Every family, anew each time."""
        yield from _tallied(self.tally.so_far())
        yield GaugeMetricFamily("pacs_ai_disk_free_bytes", "Free bytes above the reserve", value=self._free_bytes())
        found = self._figures()
        yield GaugeMetricFamily("pacs_ai_ledger_up", "Whether the ledger answers", value=int(found is not None))
        if found is not None:
            yield from _families(found)

    def _free_bytes(self) -> float:
        try:
            return self.store.free_bytes()
        except OSError:
            return float("nan")

    def _figures(self) -> Figures | None:
        try:
            with self.database.read() as connection:
                return figures(connection, self.now())
        except LedgerUnavailable:
            return None

    def text(self) -> bytes:
        """All of it as text."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


def _tallied(tallied: Tallied) -> Iterator[Metric]:
    received = tallied.answers.get(0x0000, 0)
    yield CounterMetricFamily("pacs_ai_instances_received", "C-STORE answered with success", value=received)
    refused = CounterMetricFamily("pacs_ai_instances_refused", "C-STORE answered otherwise", labels=["status"])
    for status in sorted(tallied.answers.keys() - {0x0000}):
        refused.add_metric([f"0x{status:04X}"], tallied.answers[status])
    yield refused
    bounds = [*map(str, BUCKETS), "+Inf"]
    yield HistogramMetricFamily(
        "pacs_ai_reading_seconds",
        "From the claim of a study to its results",
        buckets=list(zip(bounds, tallied.readings, strict=True)),
        sum_value=tallied.reading_seconds,
    )


def _families(found: Figures) -> Iterator[Metric]:
    studies = GaugeMetricFamily("pacs_ai_studies", "Studies by state", labels=["state"])
    for state, number in found.studies.items():
        studies.add_metric([state], number)
    deliveries = GaugeMetricFamily("pacs_ai_deliveries", "Objects by node and state", labels=["node", "state"])
    for labels, number in found.deliveries.items():
        deliveries.add_metric(list(labels), number)
    waiting = GaugeMetricFamily(
        "pacs_ai_delivery_queue_age_seconds", "Age of the oldest delivery that is open", labels=["node"]
    )
    for node, seconds in found.delivery_age.items():
        waiting.add_metric([node], seconds)
    yield from (studies, deliveries, waiting)
    yield GaugeMetricFamily(
        "pacs_ai_reading_queue_age_seconds", "Age of the oldest study that is not read", value=found.reading_age
    )
