"""Readings made again from the kept instances: the same, or what differs and since when."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pacs_ai_storage.instances import Condition, InstanceStore
from pacs_ai_storage.records import InstanceOutcome, KeptReading, Setup, SetupChange, StoredInstance
from pacs_ai_storage.views import StudyView

from .judging import JudgedInstance, judge
from .opening import InstanceFile
from .process import InstanceReading, Reader, outcome_of
from .provenance import SOFTWARE, evidence_text, flattened

TOLERANCE = 1e-6
INSTANCE = "instance"
_DERIVED = {"settings_sha256"}  # each setting is compared by its name


class Verdict(StrEnum):
    """What a replay came to."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_KEPT = "not kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`since` is when a service first read with what is in use now; None where none has, or nothing in the log says."""

    what: str
    then: object
    now: object
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The newest reading of an instance beside the one made now; `now` is None when the instance is not kept.

    Other versions of libraries stand in `software`: they are told, and are no difference as long as the same is said.
    """

    kept: KeptReading
    verdict: Verdict
    now: InstanceOutcome | None
    differences: tuple[Difference, ...]
    software: tuple[Difference, ...] = ()


def replay_study(
    view: StudyView, reader: Reader, store: InstanceStore, changes: Sequence[SetupChange]
) -> list[Replayed]:
    """One for each instance that was read or refused, by the network and settings of the reader; nothing is changed."""
    newest = {kept.said.sop_instance_uid: kept for kept in view.readings}
    instances = {instance.sop_instance_uid: instance for instance in view.instances}
    found = {uid: _condition(instances.get(uid), store) for uid in newest}
    # In the order in which they were read: of two patients in a study, the one who came first is read.
    files = [
        InstanceFile(path=store.locate(instance.file), sop_instance_uid=uid, when=instance.received_at)
        for uid, instance in instances.items()
        if found.get(uid) is Condition.INTACT
    ]
    judged = {
        item.opened.file.sop_instance_uid: item
        for item in judge(files, reader.classifier, reader.opening, reader.stopwatch)
    }
    return [
        _compare(kept, judged[uid], reader, changes)
        if uid in judged
        else _not_kept(kept, found[uid], instances.get(uid))
        for uid, kept in newest.items()
    ]


def _condition(instance: StoredInstance | None, store: InstanceStore) -> Condition:
    return Condition.GONE if instance is None else store.condition(instance.file)


def _not_kept(kept: KeptReading, condition: Condition, instance: StoredInstance | None) -> Replayed:
    since = instance.gone_at if instance is not None and condition is Condition.GONE else None
    difference = Difference(what=INSTANCE, then=Condition.INTACT, now=condition, since=since)
    return Replayed(kept=kept, verdict=Verdict.NOT_KEPT, now=None, differences=(difference,))


def _compare(kept: KeptReading, judged: JudgedInstance, reader: Reader, changes: Sequence[SetupChange]) -> Replayed:
    now = _outcome(judged, reader)
    tools = _tools(kept, reader.setup, changes)
    software = tuple(found for found in tools if found.what.startswith(SOFTWARE))
    changed = tuple(found for found in tools if not found.what.startswith(SOFTWARE))
    since = min((found.since for found in tools if found.since is not None), default=None)
    said = _said(kept.said, now, since)
    differences = (*said, *(_shown(kept.said, now, since) if said else ()), *changed)
    verdict = Verdict.DIFFERS if differences else Verdict.SAME
    return Replayed(kept=kept, verdict=verdict, now=now, differences=differences, software=software)


def _outcome(judged: JudgedInstance, reader: Reader) -> InstanceOutcome:
    is_read = judged.reading is not None and judged.refusal is None
    reading = InstanceReading(
        file=judged.opened.file,
        classification=judged.reading.classification if judged.reading and is_read else None,
        refusal=judged.refusal,
        setup_sha256=reader.setup.sha256,
        evidence=evidence_text(judged),
    )
    return outcome_of(reading, reader.author)


def _said(then: InstanceOutcome, now: InstanceOutcome, since: datetime | None) -> list[Difference]:
    pairs = {
        "outcome": (then.outcome, now.outcome),
        "reason": (then.reason, now.reason),
        "probability": (then.probability, now.probability),
    }
    return [
        Difference(what=what, then=before, now=after, since=since)
        for what, (before, after) in pairs.items()
        if not _is_same(before, after)
    ]


def _is_same(then: object, now: object) -> bool:
    if isinstance(then, float) and isinstance(now, float):
        return abs(then - now) <= TOLERANCE
    return then == now


def _shown(then: InstanceOutcome, now: InstanceOutcome, since: datetime | None) -> list[Difference]:
    """Whether the network saw other pixels: it parts a change of pixels from one of the network."""
    before, after = (json.loads(said.evidence or "{}").get("model_input_sha256") for said in (then, now))
    if before is None or after is None or before == after:
        return []
    return [Difference(what="model_input_sha256", then=before, now=after, since=since)]


def _tools(kept: KeptReading, setup: Setup, changes: Sequence[SetupChange]) -> list[Difference]:
    after = flattened(setup)
    before = _of_an_earlier_version(kept.said, after) if kept.setup is None else flattened(kept.setup)
    return [
        Difference(
            what=what, then=before.get(what), now=after.get(what), since=_since(what, after.get(what), kept, changes)
        )
        for what in sorted((before.keys() | after.keys()) - _DERIVED)
        if not _is_same(before.get(what), after.get(what))
    ]


def _of_an_earlier_version(said: InstanceOutcome, after: Mapping[str, object]) -> dict[str, object]:
    """What was kept before setups were: the network and its operating point; of the rest nothing is known."""
    known = {
        "model.name": said.model_name,
        "model.version": said.model_version,
        "model.sha256": said.model_sha256,
        "settings.model.threshold": said.threshold,
    }
    return {**after, **{what: value for what, value in known.items() if value is not None}}


def _since(what: str, value: object, kept: KeptReading, changes: Sequence[SetupChange]) -> datetime | None:
    later = (change for change in changes if change.at > kept.read_at)
    return next((change.at for change in later if _is_same(flattened(change.setup).get(what), value)), None)
