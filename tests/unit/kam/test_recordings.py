"""Recordings are told by their first bytes; names only contradict."""

import pytest
from msgspec.structs import replace

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.orders import TemplateView
from aif_kam.order_parameters import as_offered, check_wishes, wrong_kind
from aif_kam.sources.reading import FileToRead
from aif_kam.sources.recording import recording_type
from aif_kam.sources.unreadable import Unreadable
from aif_pipelines.builder import Pipeline
from aif_pipelines.library import builtin_pipelines
from support.sound import silence, wav

WAV = wav(silence(0.1))
FRAME_OF_LAYER_III = b"\xff\xfb\x90\x64"


def template(name: str) -> TemplateView:
    pipeline = next(pipeline for pipeline in builtin_pipelines() if pipeline.name == name)
    return TemplateView(
        name=name,
        version=pipeline.version,
        title=name,
        description="",
        structure_type=None,
        parameters=dict(pipeline.parameters),
        stages=(),
    )


def blob(media_type: str) -> BlobRef:
    return BlobRef(
        storage_type=StorageType.OBJECT, storage_key="sources/a/s", size_bytes=9, sha256="0" * 64, media_type=media_type
    )


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (WAV, "audio/wav"),
        (b"ID3\x04\x00" + bytes(20), "audio/mpeg"),
        (FRAME_OF_LAYER_III, "audio/mpeg"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
    ],
)
@pytest.mark.parametrize("file_name", [None, "call", "call.mp3", "CALL.WAV"])
def test_a_recording_is_what_its_first_bytes_say(content: bytes, media_type: str, file_name: str | None) -> None:
    assert recording_type(content, FileToRead(file_name=file_name)) == media_type


@pytest.mark.parametrize(
    "content",
    [
        b"# Bees",
        b"",
        b"ID3 tags explained",
        b"OggS is a container",
        b"fLaC they say",
        "Grüße".encode("utf-16"),
        b"\xff\xfe\x00\x00",
        b"\xef\xbb\xbfText",
        b"%PDF-1.7",
        b"RIFF is a format; WAVE too",
        b"the ftyp box",
    ],
)
def test_a_document_is_no_recording_whatever_it_begins_with(content: bytes) -> None:
    assert recording_type(content, FileToRead(file_name="notes.txt")) is None
    assert recording_type(content, FileToRead()) is None


def test_a_recording_that_is_called_a_document_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"called \.txt but its bytes are audio/wav") as refused:
        recording_type(WAV, FileToRead(file_name="notes.txt"))

    assert refused.value.code == "source_kind"


def test_a_document_that_is_called_a_recording_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"called \.mp3 but does not begin like a recording") as refused:
        recording_type(b"# Bees", FileToRead(file_name="bees.mp3"))

    assert refused.value.code == "source_broken_recording"


@pytest.mark.parametrize(
    ("name", "media_type", "message"),
    [
        ("transcription", "audio/flac", None),
        ("call_analysis", "application/json", "is no recording, and call_analysis works on recordings"),
        ("pii_detection", "application/json", None),
        ("content_granulation_course", "audio/wav", "is a recording, and content_granulation_course works on documents"),
    ],
)
def test_a_template_takes_recordings_or_documents(name: str, media_type: str, message: str | None) -> None:
    mistake = wrong_kind(template(name), blob(media_type), "parameters.source")

    assert (mistake.message if mistake else None) == message


@pytest.mark.parametrize("media_type", ["audio/wav", "application/json"])
def test_a_pipeline_that_declares_no_source_takes_recordings_and_documents(media_type: str) -> None:
    built = Pipeline("calls").step("hear").capability("transcription").done().build()
    view = replace(template("transcription"), name=built.name, parameters=dict(built.parameters))

    assert wrong_kind(view, blob(media_type), "parameters.source") is None
    assert check_wishes(view, {"source": "src_1"}, "parameters").mistakes == []


def test_what_works_on_recordings_is_offered_without_a_source_text() -> None:
    offered = as_offered(template("transcription")).parameters["properties"]

    assert offered["source"]["title"] == "Recording"
    assert "source_text" not in offered
    assert "source_text" in as_offered(template("pii_detection")).parameters["properties"]


def test_a_text_for_a_template_of_recordings_is_a_mistake_of_its_field() -> None:
    wishes = check_wishes(template("transcription"), {"source_text": "Hello."}, "parameters")

    assert [(mistake.field, mistake.message) for mistake in wishes.mistakes] == [
        ("parameters.source_text", "transcription works on recordings, not on text")
    ]


def test_the_other_parameters_are_checked_before_anybody_looks_for_the_recording() -> None:
    wishes = check_wishes(template("transcription"), {"source": "src_1", "language": "!"}, "parameters")

    assert [mistake.field for mistake in wishes.mistakes] == ["parameters.language"]


@pytest.mark.parametrize(
    ("name", "given", "field", "mend"),
    [
        ("call_analysis", {}, "parameters.source", "source_id of a recording"),
        ("pii_detection", {}, "parameters.source", "source_id of a document"),
        ("pii_detection", {"text": "Bees"}, "parameters.text", "source_text"),
    ],
)
def test_who_gives_no_source_is_told_what_a_client_can_give(name: str, given: dict[str, str], field: str, mend: str) -> None:
    mistakes = check_wishes(template(name), given, "parameters").mistakes

    assert mend in next(mistake.mend for mistake in mistakes if mistake.field == field)
    assert all("object" not in mistake.mend for mistake in mistakes)
