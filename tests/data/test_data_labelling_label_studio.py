"""Label Studio's JSON: what goes out comes back the same, and what others exported is read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.labelling import Annotation, Queue
from everloop.core.tables import Column
from everloop.data.labelling import media
from everloop.data.labelling.label_studio import ROW, Said, config, read, tasks

QUEUES = {
    "choice": Queue(name="sms", dataset="d", snapshot="s", target="label", choices=("spam", "ham")),
    "number": Queue(name="sms", dataset="d", snapshot="s", target="label", kind="number"),
    "text": Queue(name="sms", dataset="d", snapshot="s", target="label", kind="text"),
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "choice": st.sampled_from(["spam", "ham"]),
    "number": st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    "text": st.text(min_size=1),
}
cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8) | st.datetimes()


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Queue, list[tuple[str, dict[str, Any]]], dict[str, list[Annotation]]]:
    """A queue, its rows, and one answer a person and row at most: what the desk lets happen."""
    kind = draw(st.sampled_from(sorted(QUEUES)))
    rows = [
        (f"row-{at:016x}", draw(st.dictionaries(st.text(min_size=1, max_size=6), cells, max_size=3)))
        for at in range(draw(st.integers(1, 4)))
    ]
    made: dict[str, list[Annotation]] = {}
    seq = 0
    for row, _ in rows:
        for person in draw(st.lists(st.sampled_from(["ann", "bob@example.org", "Zoë"]), unique=True)):
            seq += 1
            action = draw(st.sampled_from(["label", "skip", "accept"]))
            made.setdefault(row, []).append(
                Annotation(
                    queue="sms", seq=seq, row=row, person=person, action=action, value=None if action == "skip" else draw(VALUES[kind]),  # type: ignore[arg-type]
                    reason=draw(st.text(max_size=5)), seconds=draw(st.none() | st.floats(0, 1e6)), at=draw(st.integers(0, 2**31)) + 0.25, token=f"t{seq}",
                )
            )  # fmt: skip
    return QUEUES[kind], rows, made


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_what_goes_out_comes_back(world: tuple[Queue, list[tuple[str, dict[str, Any]]], dict[str, list[Annotation]]]) -> None:
    queue, rows, said = world
    document = json.loads(json.dumps(tasks(queue, rows, said), ensure_ascii=True))
    back = read(document, queue)
    told = [(one.row, one.person, one.action, one.value, one.reason, one.seconds, one.at) for one in back]
    assert told == [
        (one.row, one.person, one.action, one.value, one.reason, one.seconds, one.at) for row, _ in rows for one in said.get(row, [])
    ]
    assert len({one.token for one in back}) == len(back)
    assert [one.token for one in read(document, queue)] == [one.token for one in back]


def test_what_was_taken_back_does_not_go_out() -> None:
    made = [
        Annotation(queue="sms", seq=1, row="row-1", person="ann", action="label", value="spam", at=1.0, token="a"),
        Annotation(queue="sms", seq=2, row="row-1", person="ann", action="undo", at=2.0, token="b", undoes=1),
    ]
    assert tasks(QUEUES["choice"], [("row-1", {"text": "x"})], {"row-1": made})[0]["annotations"] == []


def test_cells_go_out_as_json_that_label_studio_shows() -> None:
    fields = {"at": datetime(2026, 1, 2), "png": b"\x89PNG\r\n\x1a\n", "odd": float("nan"), "list": [1, b"x"]}
    data = tasks(QUEUES["choice"], [("row-1", fields)], {})[0]["data"]
    assert data["at"] == "2026-01-02T00:00:00"
    assert data["png"].startswith("data:image/png;base64,iVBOR")
    assert (data["odd"], data["list"][0], data[ROW]) == (None, 1, "row-1")


def export(annotation: dict[str, Any], data: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [{"id": 7, "data": data or {"text": "win money"}, "annotations": [annotation], "predictions": []}]


def choice(*words: str) -> list[dict[str, Any]]:
    return [{"id": "x1", "from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": list(words)}}]


def test_an_export_of_label_studio_itself() -> None:
    """As its documentation shows it: people by number, ids, times with a zone, tasks that know nothing of us."""
    document = export(
        {"id": 1001, "result": choice("spam"), "was_cancelled": False, "ground_truth": False, "created_at": "2021-03-09T22:16:08.728353Z",
         "lead_time": 4.288, "result_count": 0, "task": 7, "completed_by": 10}
    )  # fmt: skip
    (said,) = read(document, QUEUES["choice"])
    token = said.token
    assert said == Said(
        row="", data={"text": "win money"}, person="label-studio-user-10", action="label", value="spam", seconds=4.288, at=1615328168.728353, token=token
    )  # fmt: skip


@pytest.mark.parametrize(
    ("by", "person"),
    [
        ({"email": "a@b.c", "id": 3}, "a@b.c"),
        ({"id": 3}, "label-studio-user-3"),
        ("ann", "ann"),
        (None, "label-studio"),
        (4, "label-studio-user-4"),
    ],
)
def test_who_it_was(by: object, person: str) -> None:
    assert read(export({"result": choice("spam"), "completed_by": by}), QUEUES["choice"])[0].person == person


def test_a_skip_and_other_regions_beside_ours() -> None:
    skipped = read(export({"was_cancelled": True, "result": []}), QUEUES["choice"])
    assert (skipped[0].action, skipped[0].value) == ("skip", None)
    box = {"type": "rectanglelabels", "from_name": "b", "to_name": "i", "value": {"x": 1}}
    assert read(export({"result": [box, *choice("ham")]}), QUEUES["choice"])[0].value == "ham"
    lines = [{"type": "textarea", "value": {"text": ["one", "two"]}}]
    assert read(export({"result": lines}), QUEUES["text"])[0].value == "one\ntwo"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "an object"),
        ("x", "a text"),
        (None, "null"),
        ([1], "Task 1 of the export has no data"),
        ([{"data": [], "annotations": []}], "Task 1"),
        ([{"data": {}, "annotations": {}}], "not a list"),
        ([{"data": {}, "annotations": ["x"]}], "Annotation 1 of task 1 is a text"),
        (export({"result": []}), "has 0 regions of type 'choices' .it has nothing."),
        (export({"result": choice("a") + choice("b")}), "has 2 regions"),
        (export({"result": choice("a", "b")}), "needs one choice"),
        (export({"result": [{"type": "number", "value": {"number": 1}}]}), "it has number"),
        (export({"result": [{"type": "choices", "value": None}]}), "needs one choice"),
        (export({"result": "x"}), "has 0 regions"),
        (export({"result": choice("spam"), "created_at": "yesterday"}), "no ISO 8601 time"),
    ],
)
def test_what_is_no_such_export_is_refused_with_its_place(document: object, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read(document, QUEUES["choice"])


@pytest.mark.parametrize("kind", sorted(QUEUES))
def test_the_configuration_is_xml_that_names_every_field_and_choice(kind: str) -> None:
    queue = msgspec.structs.replace(QUEUES[kind], instruction='Is it "spam" & <b>bad</b>?')
    columns = (Column("a&b", "text"), Column("photo", "bytes"), Column("label", "text"))
    view = ElementTree.fromstring(config(queue, columns))
    tags = [child.tag for child in view]
    assert tags == ["Header", "Text", "Image", {"choice": "Choices", "number": "Number", "text": "TextArea"}[kind]]
    assert view[0].get("value") == queue.instruction
    assert (view[1].get("name"), view[1].get("value")) == ("a&b", "$a&b")
    assert view[3].get("toName") == "a&b"
    if kind == "choice":
        assert [one.get("value") for one in view[3]] == ["spam", "ham"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n..", "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a", "image/gif"), (b"RIFF\0\0\0\0WAVEfmt", "audio/wav"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"), (b"OggS", "audio/ogg"), (b"ID3\x03", "audio/mpeg"), (b"RIFF\0\0\0\0AVI ", media.UNKNOWN), (b"", media.UNKNOWN),
        (b"<svg onload=alert(1)>", media.UNKNOWN), (b"<html><script>", media.UNKNOWN), (b"%PDF-1.7", media.UNKNOWN),
    ],
)  # fmt: skip
def test_bytes_are_what_they_begin_like_and_never_something_with_a_script(content: bytes, kind: str) -> None:
    assert media.type_of(content) == kind
