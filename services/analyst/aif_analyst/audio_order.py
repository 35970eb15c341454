"""What an order about a recording says: the stage's input, checked."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from aif_ai.local.speech.audio import MEDIA_TYPES
from aif_analyst.text_order import Language
from aif_contracts.blobs import BlobRef
from aif_runtime.assignment import WorkFailure

LARGEST_BYTES = 50 * 1024 * 1024


class AudioOrder(Struct, frozen=True, kw_only=True):
    source: BlobRef
    """The recording as it was uploaded."""
    language: Language | None = None
    """None to let the recogniser find out."""


def read_audio_order(fields: Mapping[str, Any]) -> AudioOrder:
    """The order in a stage's input. Raises WorkFailure `invalid_input`, `invalid_audio`."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        order = msgspec.convert(given, AudioOrder)
    except msgspec.ValidationError as wrong:
        raise WorkFailure("invalid_input", f"the stage's input does not fit: {wrong}", retryable=False) from wrong
    if order.source.media_type not in MEDIA_TYPES:
        raise WorkFailure(
            "invalid_audio",
            f"source is {order.source.media_type}, not a recording: upload a WAV, MP3, OGG, FLAC or M4A file as source",
            retryable=False,
        )
    if order.source.size_bytes > LARGEST_BYTES:
        raise WorkFailure(
            "invalid_audio", f"source has more than {LARGEST_BYTES // 2**20} MiB: split it or compress it", retryable=False
        )
    return order
