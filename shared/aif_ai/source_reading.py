"""Read the source document that a stage's input refers to."""

import msgspec

from aif_contracts.blobs import BlobRef
from aif_contracts.documents import SourceDocument
from aif_runtime.assignment import Assignment, WorkFailure
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread


async def read_source(ref: BlobRef, assignment: Assignment, clock: Clock) -> SourceDocument:
    """Raises WorkFailure `invalid_source` for a blob that is no source document, or one whose blocks leave its text."""
    if ref.media_type.startswith("audio/"):
        message = f"source is a recording ({ref.media_type}), and this stage works on documents: order it with one"
        raise WorkFailure("invalid_source", message, retryable=False)
    began = clock.monotonic()
    content = await assignment.blobs.get(ref)
    assignment.spent_on("storage", clock.monotonic() - began)
    try:
        source = await run_in_thread(msgspec.json.decode, content, type=SourceDocument)
    except msgspec.DecodeError as wrong:
        raise WorkFailure("invalid_source", f"the blob in source is no source document: {wrong}", retryable=False) from wrong
    _refuse_broken(source)
    return source


def _refuse_broken(source: SourceDocument) -> None:
    """Spans are promised to be checkable, so blocks must lie inside the text and follow one another."""
    position = 0
    for number, block in enumerate(source.blocks):
        if not position <= block.start <= block.end <= len(source.text):
            raise WorkFailure(
                "invalid_source",
                f"blocks[{number}] of the source covers {block.start} to {block.end}, which overlaps or leaves the text",
                retryable=False,
            )
        position = block.end
