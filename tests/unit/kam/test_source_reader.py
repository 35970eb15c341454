"""The reading process: whatever a document does to it, the gateway gets an answer."""

import tempfile

import msgspec
import pytest

from aif_contracts.documents import SourceDocument
from aif_kam.failures import InvalidInput
from aif_kam.source_reader import ReadFile, SourceReader
from aif_kam.sources.reading import FileToRead


async def read_file(reader: SourceReader, content: bytes, name: str) -> ReadFile:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        file.seek(0)
        return await reader.read(file, len(content), FileToRead(file_name=name))


async def test_a_document_comes_back_with_its_figures() -> None:
    read = await read_file(SourceReader(), b"# Bees\n\nThey fly.\n", "bees.md")

    assert (read.summary.title, read.summary.words, read.summary.headings, read.summary.characters) == ("Bees", 3, 1, 15)
    assert msgspec.json.decode(read.document, type=SourceDocument).text == "Bees\n\nThey fly."


async def test_a_refusal_names_the_field_that_the_caller_used() -> None:
    with pytest.raises(InvalidInput) as refused:
        await SourceReader().read_texts([""], ["parameters.source_text"], together="parameters.source_text")

    assert refused.value.code == "source_empty"
    assert refused.value.mistakes[0].field == "parameters.source_text"


async def test_a_reading_that_takes_too_long_is_ended() -> None:
    with pytest.raises(InvalidInput) as refused:
        await read_file(SourceReader(wall_seconds=0.001), b"# Bees", "bees.md")

    assert refused.value.code == "source_too_costly"


@pytest.mark.parametrize("limits", [{"memory_bytes": 256 * 1024 * 1024}, {"cpu_seconds": 1}])
async def test_a_document_that_eats_memory_or_processor_ends_its_own_process_only(limits: dict[str, int]) -> None:
    reader = SourceReader(**limits)
    bomb = b"<p>" + b"<b>" * 8_000_000

    with pytest.raises(InvalidInput) as refused:
        await read_file(reader, bomb, "bomb.html")

    assert refused.value.code == "source_too_costly"
    assert (await read_file(SourceReader(), b"# Fine", "fine.md")).summary.title == "Fine"


async def test_words_are_counted_where_no_spaces_are_written() -> None:
    read = await read_file(SourceReader(), "蜜蜂是昆虫。蜂王产卵2000粒。".encode(), "bees.txt")

    assert read.summary.words == 3 + 2 + 1 + 1
