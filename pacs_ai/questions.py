"""What is asked of the audit log: options of the command line, of a kept query, and of questions that people ask."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pacs_ai_storage.audit import AuditFilter

from .errors import WrongUsage

_EVERY = 1_000_000
_EVENING, _MORNING = timedelta(hours=-6), timedelta(hours=8)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TIMES = ("since", "until")
_NAMED, _LIMIT = "named", "limit"
Options = Mapping[str, str | int | float]


class BuiltIn(StrEnum):
    """Questions that everybody asks; none of them can be replaced."""

    UNCONFIRMED_POSITIVES = "unconfirmed-positives"
    STUDY = "study"
    NOT_ANALYSED = "not-analysed"
    GIVEN_UP = "given-up"
    REFUSED_AT_THE_PORT = "refused-at-the-port"


IN_WORDS = {
    BuiltIn.UNCONFIRMED_POSITIVES: "positives of last night (18:00 to 8:00) that no node has confirmed",
    BuiltIn.STUDY: "everything that touched a study (--study or --accession)",
    BuiltIn.NOT_ANALYSED: "how many were not analysed, by reason and station",
    BuiltIn.GIVEN_UP: "deliveries that were given up",
    BuiltIn.REFUSED_AT_THE_PORT: "instances that were not taken in",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to look for, and in the way of which built-in question."""

    wanted: AuditFilter
    built_in: BuiltIn | None = None
    given: Options = field(default_factory=dict)


def question(given: AuditFilter, limit: int | None, named: str | None, saved: Mapping[str, Options]) -> Question:
    """The question that these options ask; they go before those of the kept query `named`.

    Raises WrongUsage where there is no question of that name, or nothing can ever answer it.
    """
    options = {**_options(given), **({_LIMIT: limit} if limit else {})}
    if named is not None and named in saved:
        options = {**saved[named], **options}
        named = str(options.pop(_NAMED, "")) or None
    elif named is not None and named not in set(BuiltIn):
        message = f"there is no query {named!r}; known: {', '.join([*BuiltIn, *sorted(saved)])}"
        raise WrongUsage(message)
    kept: Options = {**options, **({_NAMED: named} if named else {})}
    wanted = replace(_filter(options, given.patient_id), before=given.before)
    _must_be_possible(wanted)
    return Question(wanted=wanted, built_in=BuiltIn(named) if named else None, given=kept)


def must_be_in_order(since: datetime | None, until: datetime | None) -> None:
    """Raises WrongUsage where no time is between the two."""
    if since and until and since > until:
        message = f"since {since.isoformat()} is after until {until.isoformat()}: nothing is between them"
        raise WrongUsage(message)


def _must_be_possible(wanted: AuditFilter) -> None:
    must_be_in_order(wanted.since, wanted.until)
    least, greatest = wanted.least_probability, wanted.greatest_probability
    if least is not None and greatest is not None and least > greatest:
        message = f"the least probability, {least}, is above the greatest, {greatest}: nothing is between them"
        raise WrongUsage(message)


def may_be_saved(asked: Question, name: str) -> None:
    """Raises WrongUsage where the question names a patient, or its name is none."""
    if asked.wanted.patient_id:
        message = "a patient's ID is never kept: leave out --patient here, and give it beside --named"
        raise WrongUsage(message)
    if not _NAME.fullmatch(name) or name in set(BuiltIn):
        message = "a query has a name of its own, of small letters, digits and hyphens, 64 at most"
        raise WrongUsage(message)


def narrowed(asked: Question, now: datetime) -> AuditFilter:
    """What to look for at this time, local to this machine; raises WrongUsage where something is left out."""
    wanted = asked.wanted
    if asked.built_in is BuiltIn.UNCONFIRMED_POSITIVES:
        night = wanted if wanted.since or wanted.until else _last_night(wanted, now)
        return replace(_of(night, asked.built_in, action="read", outcome="positive"), is_unconfirmed=True)
    if asked.built_in is BuiltIn.GIVEN_UP:
        return _of(wanted, asked.built_in, outcome="given up")
    if asked.built_in is BuiltIn.REFUSED_AT_THE_PORT:
        return _of(wanted, asked.built_in, action="refuse-receive")
    if asked.built_in is BuiltIn.STUDY:
        if not wanted.study_instance_uid and not wanted.accession_number:
            message = "--named study needs --study or --accession"
            raise WrongUsage(message)
        return wanted if _LIMIT in asked.given else replace(wanted, limit=_EVERY)
    return wanted


def _of(wanted: AuditFilter, built_in: BuiltIn, **asks: Any) -> AuditFilter:  # noqa: ANN401 - values of the filter's own fields
    """What the question asks by itself; raises WrongUsage where an option asks for something else there."""
    for option, value in asks.items():
        if getattr(wanted, option) not in (None, value):
            message = f"--named {built_in} asks for {option} {value!r} itself: leave out --{option}"
            raise WrongUsage(message)
    return replace(wanted, **asks)


def _last_night(wanted: AuditFilter, now: datetime) -> AuditFilter:
    """From six in the evening of yesterday to eight of this morning, local time, also where the clock was changed."""
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return replace(wanted, since=(midnight + _EVENING).astimezone(), until=(midnight + _MORNING).astimezone())


def _options(given: AuditFilter) -> dict[str, str | int | float]:
    names = [item.name for item in fields(given) if item.name not in {"patient_id", _LIMIT, "is_unconfirmed", "before"}]
    found = {name: getattr(given, name) for name in names}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in found.items()
        if value is not None
    }


def _filter(options: Options, patient_id: str | None) -> AuditFilter:
    read: dict[str, Any] = dict(options)  # whatever JSON gave back; the names are those of the filter
    read |= {name: datetime.fromisoformat(read[name]) for name in _TIMES if name in read}
    return AuditFilter(patient_id=patient_id, **read)
