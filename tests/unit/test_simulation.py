"""What is invented for a trial, when it comes, and how what came back is judged."""

import itertools
from pathlib import Path
from statistics import mean

import pytest
import typer
from pydicom import dcmread
from typer.testing import CliRunner

from pacs_ai.cli.amounts import peer_of, per_second_of, seconds_of, size_of
from pacs_ai.cli.app import app
from pacs_ai.dimse.archive import Behaviour, OfferedResult, Trouble
from pacs_ai.errors import WrongUsage
from pacs_ai.samples import sample_paths
from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import InventedStudies, StudyShape
from pacs_ai.simulation.pusher import Push
from pacs_ai.simulation.verdict import Verdict, judge, latencies


def _push(instance: str, *, study: str = "1", status: int | None = 0x0000, at: float = 100.0) -> Push:
    return Push(
        study_instance_uid=study,
        sop_instance_uid=instance,
        status=status,
        is_accepted=status == 0x0000,
        seconds=0.01,
        at=at,
    )


def _result(
    uid: str,
    *about: str,
    is_report: bool = True,
    study: str = "1",
    at: float = 103.0,
    status: int | None = 0x0000,
    replaces: frozenset[str] = frozenset(),
) -> OfferedResult:
    return OfferedResult(
        at=at,
        status=status,
        is_kept=status == 0x0000,
        is_report=is_report,
        sop_class_uid="1.2",
        sop_instance_uid=uid,
        series_instance_uid=f"{study}.1",
        study_instance_uid=study,
        about=frozenset(about),
        replaces=replaces,
    )


def _judge(pushes: list[Push], *offered: OfferedResult) -> Verdict:
    return judge(pushes, offered, seed=1, late_seconds=5.0)


def test_steady_arrivals_come_by_chance_at_their_rate_and_the_same_for_the_same_seed() -> None:
    arrivals = Arrivals(per_second=2.0, seconds=1000.0)

    times = arrivals.times(7)

    assert times == arrivals.times(7) != arrivals.times(8)
    assert list(times) == sorted(times)
    assert times[-1] < 1000.0
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert 0.45 < mean(gaps) < 0.55
    assert max(gaps) > 2.0  # by chance, not by the clock
    assert len(Arrivals(per_second=2.0, studies=5).times(7)) == 5


def test_bursts_are_spread_evenly_over_the_duration() -> None:
    assert Arrivals(burst=3).times(1) == (0.0, 0.0, 0.0)
    assert Arrivals(burst=2, studies=5, seconds=30.0).times(1) == (0.0, 0.0, 10.0, 10.0, 20.0)


def test_invented_studies_are_the_same_for_the_same_seed_and_others_for_another(tmp_path: Path) -> None:
    shape = StudyShape(instances=3)
    first, again = InventedStudies(shape, 1).datasets(4), InventedStudies(shape, 1).datasets(4)
    other = InventedStudies(shape, 2).datasets(4)
    written = InventedStudies(shape, 1).write(4, tmp_path)

    assert [item.to_json() for item in first] == [item.to_json() for item in again]
    assert {item.StudyInstanceUID for item in first} == {written.study_instance_uid}
    assert len({item.SOPInstanceUID for item in (*first, *other)}) == 6
    assert len({item.PatientID for item in first}) == 1
    assert first[0].PatientID != other[0].PatientID
    kept = [dcmread(parcel.path) for parcel in written.parcels]
    assert [item.file_meta.MediaStorageSOPInstanceUID for item in kept] == [item.SOPInstanceUID for item in first]
    shipped = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in sample_paths()}
    assert not shipped & {item.SOPInstanceUID for item in kept}


def test_invented_films_have_the_size_and_the_refused_views_that_were_asked_for() -> None:
    (film,) = InventedStudies(StudyShape(size=(600, 520)), 1).datasets(0)
    (view,) = InventedStudies(StudyShape(refused_share=1.0), 1).datasets(0)

    assert film.pixel_array.shape == (600, 520)
    assert int(film.pixel_array.max()) > 2048
    assert (film.BitsStored, film.file_meta.TransferSyntaxUID.is_compressed) == (12, False)
    assert view.BodyPartExamined == "HAND" or view.ViewPosition == "LL"


def test_what_is_in_no_report_is_lost_and_what_was_not_accepted_is_not() -> None:
    pushes = [_push("1.1"), _push("1.2"), _push("2.1", study="2", status=0xA700), _push("3.1", study="3", status=None)]

    verdict = _judge(pushes, _result("9", "1.1"))

    assert (verdict.lost, verdict.doubled, verdict.holds) == (("1.2",), (), False)
    assert (verdict.sent, verdict.accepted, verdict.refused, verdict.unanswered) == (4, 2, {"0xA700": 1}, 1)
    assert _judge([_push("1.1")], _result("9", "1.1", status=0xA700)).lost == ("1.1",)
    assert _judge([_push("1.1")], _result("9", "1.1", status=None)).lost == ("1.1",)
    assert _judge([_push("1.1")], _result("9", "1.1", status=0xA900)).lost == ()


def test_two_reports_of_a_study_are_a_double_unless_one_replaces_the_other() -> None:
    first, second = _result("9", "1.1"), _result("8", "1.1", at=104.0)
    later = _result("7", "1.1", at=104.0, replaces=frozenset({"9"}))

    assert _judge([_push("1.1")], first, second).doubled == ("8",)
    assert _judge([_push("1.1")], first, later).doubled == ()


def test_two_captures_of_an_image_are_a_double_and_the_same_one_sent_again_is_none() -> None:
    report, capture = _result("9", "1.1"), _result("5", "1.1", is_report=False)

    again = _judge([_push("1.1")], report, capture, capture)
    double = _judge([_push("1.1")], report, capture, _result("6", "1.1", is_report=False, at=104.0))

    assert (again.doubled, again.sent_again, again.captures) == ((), 1, 1)
    assert (double.doubled, double.captures) == (("6",), 2)


def test_a_report_after_the_limit_is_late_counted_from_the_last_instance_of_its_study() -> None:
    pushes = [_push("1.1", at=100.0), _push("1.2", at=101.0), _push("2.1", study="2", at=101.0)]

    verdict = _judge(pushes, _result("9", "1.1", "1.2", at=106.0), _result("8", "2.1", study="2", at=107.0))

    assert verdict.late == 1
    assert verdict.results == latencies([5.0, 6.0])


def test_results_of_other_studies_are_not_of_this_trial() -> None:
    verdict = _judge([_push("1.1")], _result("9", "1.1"), _result("8", "7.1", study="7"))

    assert (verdict.reports, verdict.holds) == (1, True)


def test_troubles_are_met_in_their_order_then_none_and_only_by_their_share() -> None:
    behaviour = Behaviour(troubles=(Trouble.BUSY, Trouble.AWAY, Trouble.ABORT))
    some = Behaviour(troubles=(Trouble.BUSY,), share=0.3)

    assert [behaviour.trouble_of("1.2.3", number) for number in range(3)] == [Trouble.BUSY, Trouble.ABORT, None]
    met = sum(some.trouble_of(f"1.2.{number}", 0) is not None for number in range(1000))
    assert 250 < met < 350


def test_amounts_are_read_as_people_write_them() -> None:
    assert [seconds_of(words) for words in ("90", "90s", "5m", "1.5h")] == [90.0, 90.0, 300.0, 5400.0]
    assert [per_second_of(words) for words in ("3600/h", "30/m", "2/s")] == [1.0, 0.5, 2.0]
    assert size_of("2500x2048") == (2500, 2048)
    node = peer_of("PACS_AI@example.org:11112")
    assert (node.ae_title, node.host, node.port) == ("PACS_AI", "example.org", 11112)


@pytest.mark.parametrize("words", ["fast", "-1/h", "0/h", "400"])
def test_a_rate_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(typer.BadParameter, match="rate"):
        per_second_of(words)


@pytest.mark.parametrize("words", ["PACS_AI", "PACS_AI@host", "@host:1", "PACS_AI@host:99999", "A\\B@host:104"])
def test_a_peer_that_cannot_be_is_refused(words: str) -> None:
    with pytest.raises(typer.BadParameter, match="AE@host:port"):
        peer_of(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--burst", "1", "--rate", "1/s"], "exclude each other"),
        (["--archive-behaviour", "busy"], "--archive PORT"),
    ],
)
def test_options_of_simulate_that_do_not_go_together_are_refused(words: list[str], said: str) -> None:
    ended = CliRunner().invoke(app, ["simulate", "--to", "PACS_AI@host:104", *words])

    assert isinstance(ended.exception, WrongUsage)
    assert said in str(ended.exception)
