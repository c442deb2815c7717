"""What a node says in DICOM JSON is read leniently, and what it does not say is not taken as said."""

import json
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_ai.answers import HttpAnswer, http_answer_to
from pacs_ai.dicomweb.multipart import Body, Part
from pacs_ai.dicomweb.statements import Statements, read_matches, read_statements

STORED = {"00081155": {"vr": "UI", "Value": ["1.2.1"]}}
FAILED = {"00081155": {"vr": "UI", "Value": ["1.2.2"]}, "00081197": {"vr": "US", "Value": [272]}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["00081199", "00081198", "Value", "x"]), inner),
)


def _response(**sequences: object) -> bytes:
    tags = {"stored": "00081199", "failed": "00081198"}
    return json.dumps({tags[name]: {"vr": "SQ", "Value": items} for name, items in sequences.items()}).encode()


def test_stored_and_failed_instances_are_told_apart() -> None:
    said = read_statements(_response(stored=[STORED], failed=[FAILED]))

    assert said == Statements(stored=frozenset({"1.2.1"}), failed={"1.2.2": 0x0110})


def test_an_instance_that_is_said_to_be_stored_and_failed_has_failed() -> None:
    assert read_statements(_response(stored=[FAILED], failed=[FAILED])).stored == frozenset()


@pytest.mark.parametrize("reason", [None, "soon", {}, [], float("nan"), float("inf")])
def test_a_failure_without_a_reason_is_a_processing_failure(reason: object) -> None:
    item = FAILED | {"00081197": {"vr": "US", "Value": [reason]}}

    assert read_statements(_response(failed=[item])).failed == {"1.2.2": 0x0110}


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"[1]", b"null", b"\xff", b"[" * 100_000, b'"1.2"'])
def test_what_is_no_dicom_json_says_nothing(body: bytes) -> None:
    assert read_statements(body) == Statements()
    assert read_matches(body) == (frozenset() if not body else None)


@settings(max_examples=30)
@given(JSON)
def test_no_json_breaks_the_reading(document: object) -> None:
    body = json.dumps(document).encode()

    assert "1.2" not in read_statements(body).stored
    read_matches(body)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=3))
def test_the_announced_length_of_a_body_is_its_length(contents: list[bytes]) -> None:
    parts = [Part(content=BytesIO(content), size=len(content)) for content in contents]
    body = Body(parts=parts, boundary="0123")

    pieces = list(body)

    assert sum(map(len, pieces)) == body.length
    assert max(map(len, pieces)) <= 1 << 16
    assert [content in b"".join(pieces) for content in contents] == [True] * len(contents)


def test_a_file_that_has_become_shorter_is_not_sent_as_whole() -> None:
    body = Body(parts=[Part(content=BytesIO(b"123"), size=4)], boundary="0123")

    with pytest.raises(OSError, match="shorter"):
        list(body)


def test_every_status_of_http_has_one_meaning() -> None:
    about = {status: http_answer_to(status) for status in range(200, 600)}

    assert {status for status, kind in about.items() if kind is HttpAnswer.EACH_INSTANCE} == {*range(200, 300), 409}
    assert {status for status, kind in about.items() if kind is HttpAnswer.NODE_REFUSES} >= {*range(300, 400), 404}
    assert about[401] is about[403] is about[503] is HttpAnswer.NODE_AWAY
    assert about[413] is about[415] is HttpAnswer.REQUEST_REFUSED
    assert about[500] is about[507] is HttpAnswer.REQUEST_FAILED
