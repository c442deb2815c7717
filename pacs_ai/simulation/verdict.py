"""What a trial comes to: what was pushed, held against what came back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby

from pacs_ai.dimse.archive import OfferedResult

from .pusher import Push

_TRANSIENT = 0xA700


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Seconds; None where nothing was measured."""

    median: float | None = None
    p95: float | None = None
    longest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Instances pushed and what was answered, results that came, and what should not be.

    Lost is an instance that was answered with success and of which no report came; doubled is a result beside another
    that says the same and does not replace it. A result that was sent again under its own UID is no double: every PACS
    knows it for the same. Late are studies whose report came after the limit. What came back is None where nobody
    watched.
    """

    seed: int
    studies: int
    sent: int
    accepted: int
    refused: dict[str, int]
    unanswered: int
    answers: Latencies
    why_unanswered: dict[str, int] = field(default_factory=dict)
    reports: int | None = None
    captures: int | None = None
    turned_away: dict[str, int] | None = None
    sent_again: int | None = None
    lost: tuple[str, ...] | None = None
    doubled: tuple[str, ...] | None = None
    late: int | None = None
    results: Latencies | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or doubled, as far as anybody watched."""
        return not self.lost and not self.doubled

    def document(self) -> dict[str, object]:
        """The same for scripts."""
        return {**asdict(self), "holds": self.holds}


def judge(
    pushes: Sequence[Push], offered: Sequence[OfferedResult] | None, *, seed: int, late_seconds: float
) -> Verdict:
    """The verdict on what was pushed; `offered` is what the stand-in PACS was sent, None where there was none."""
    refused = Counter(f"0x{push.status:04X}" for push in pushes if not push.is_accepted and push.status is not None)
    pushed = Verdict(
        seed=seed,
        studies=len({push.study_instance_uid for push in pushes}),
        sent=len(pushes),
        accepted=sum(push.is_accepted for push in pushes),
        refused=dict(refused),
        unanswered=sum(push.status is None for push in pushes),
        answers=latencies(push.seconds for push in pushes if push.status is not None),
        why_unanswered=dict(Counter(push.why_unanswered for push in pushes if push.why_unanswered).most_common()),
    )
    if offered is None:
        return pushed
    return _with_results(
        pushed, pushes, _of_studies(offered, {push.study_instance_uid for push in pushes}), late_seconds
    )


def unreported(pushes: Sequence[Push], offered: Sequence[OfferedResult]) -> tuple[str, ...]:
    """The accepted instances of which no report came, nor was one refused for good by the PACS itself."""
    told = {
        instance
        for item in offered
        if item.is_report and (item.is_kept or _is_turned_away(item))
        for instance in item.about
    }
    return tuple(push.sop_instance_uid for push in pushes if push.is_accepted and push.sop_instance_uid not in told)


def latencies(seconds: Iterable[float]) -> Latencies:
    """Median, 95th percentile (nearest rank) and longest."""
    ordered = sorted(seconds)
    if not ordered:
        return Latencies()
    ranks = [min(len(ordered) - 1, int(len(ordered) * share)) for share in (0.5, 0.95)]
    median, p95 = (round(ordered[rank], 3) for rank in ranks)
    return Latencies(median=median, p95=p95, longest=round(ordered[-1], 3))


def _of_studies(offered: Iterable[OfferedResult], studies: set[str]) -> list[OfferedResult]:
    return [item for item in offered if item.study_instance_uid in studies]


def _is_turned_away(item: OfferedResult) -> bool:
    return item.status is not None and not item.is_kept and item.status not in (0x0000, _TRANSIENT)


def _with_results(
    pushed: Verdict, pushes: Sequence[Push], offered: Sequence[OfferedResult], late_seconds: float
) -> Verdict:
    kept = [item for item in offered if item.is_kept]
    distinct = {item.sop_instance_uid: item for item in reversed(kept)}
    waits = _waits(pushes, distinct.values())
    return replace(
        pushed,
        reports=sum(item.is_report for item in distinct.values()),
        captures=sum(not item.is_report for item in distinct.values()),
        turned_away=dict(Counter(f"0x{item.status:04X}" for item in offered if item.status)),
        sent_again=len(kept) - len(distinct),
        lost=unreported(pushes, offered),
        doubled=_doubled(list(distinct.values())),
        late=sum(wait > late_seconds for wait in waits),
        results=latencies(waits),
    )


def _waits(pushes: Sequence[Push], kept: Iterable[OfferedResult]) -> list[float]:
    """For each study, the seconds from its last accepted instance to its first report."""
    reported: dict[str, float] = {}
    for item in kept:
        if item.is_report:
            reported[item.study_instance_uid] = min(item.at, reported.get(item.study_instance_uid, item.at))
    pushed: dict[str, float] = {}
    for push in pushes:
        if push.is_accepted:
            pushed[push.study_instance_uid] = max(push.at, pushed.get(push.study_instance_uid, push.at))
    return [max(0.0, reported[study] - at) for study, at in pushed.items() if study in reported]


def _doubled(kept: list[OfferedResult]) -> tuple[str, ...]:
    """The results beyond the first that say the same: reports of a study that none replaces, captures of an image."""
    replaced = {uid for item in kept for uid in item.replaces}
    standing = [item for item in kept if item.sop_instance_uid not in replaced]
    ordered = sorted(standing, key=lambda item: (_subject(item), item.at))
    groups = [list(group) for _, group in groupby(ordered, key=_subject)]
    return tuple(item.sop_instance_uid for group in groups for item in group[1:])


def _subject(item: OfferedResult) -> tuple[bool, str, tuple[str, ...]]:
    return item.is_report, item.study_instance_uid, () if item.is_report else tuple(sorted(item.about))
