"""Policies as the settings describe them."""

from datetime import timedelta

from .findings import PriorityLevel
from .settings import Settings
from .worklist import PriorityPolicy


def priority_policy(settings: Settings) -> PriorityPolicy:
    """The policy that the settings describe."""
    return PriorityPolicy(
        stat_probability=settings.worklist.stat_probability,
        limits={
            PriorityLevel.STAT: timedelta(minutes=settings.worklist.stat_minutes),
            PriorityLevel.HIGH: timedelta(minutes=settings.worklist.high_minutes),
            PriorityLevel.ROUTINE: timedelta(minutes=settings.worklist.routine_minutes),
        },
    )
