"""UIDs that say what an object says."""

from pydicom.uid import UID

from pacs_ai.results.uids import derive_uid


def test_the_same_parts_give_the_same_uid() -> None:
    assert derive_uid("report", "1.2.3", "model") == derive_uid("report", "1.2.3", "model")


def test_a_derived_uid_is_valid_and_made_of_a_uuid() -> None:
    derived = derive_uid("report", "1.2.3")

    assert isinstance(derived, UID)
    assert derived.is_valid
    assert derived.startswith("2.25.")
    assert len(derived) <= 64


def test_no_part_runs_into_the_next() -> None:
    derived = {
        derive_uid("report", "ab", "c"),
        derive_uid("report", "a", "bc"),
        derive_uid("report", "abc"),
        derive_uid("report", "abc", ""),
        derive_uid("reporta", "bc"),
        derive_uid("report", "1:a"),
    }

    assert len(derived) == 6


def test_another_kind_of_the_same_parts_has_another_uid() -> None:
    assert derive_uid("report", "1.2.3") != derive_uid("capture", "1.2.3")


def test_the_namespace_stays_for_ever() -> None:
    # A change here gives every object that was ever sent another UID.
    assert derive_uid("report", "1.2.3") == "2.25.339851210486629765115553489172623299056"
