"""Decodes recordings to what recognisers hear: 16,000 samples a second, 16 bits, one or two channels.

The demuxer is named and never guessed: a guess could take the bytes for a play list and go and fetch what it names.
"""

import io
from array import array
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from aif_ai.failures import AudioUnreadable

SAMPLES_PER_SECOND = 16_000
LONGEST_MS = 4 * 3_600_000
_FEWEST_SAMPLES_PER_SECOND = 4_000
"""Speech cannot be understood from fewer; and a header that claims one a second makes hours of sound out of a few bytes."""
_DEMUXERS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mp4": "mov",
}
MEDIA_TYPES = tuple(_DEMUXERS)
_EVERY = 101
"""Of the samples, one in so many is compared between the channels."""
_CHANNELS_DIFFER = 0.1
"""From this share of the loudness on the difference of two channels is more than a place in a room."""


class Recording(Struct, frozen=True, kw_only=True):
    duration_ms: int
    channels: int
    """1 or 2: two only where the channels have different content, as telephone systems record calls."""


def examine(content: bytes, media_type: str) -> Recording:
    """Decodes all of it once. Raises AudioUnreadable."""
    samples = loud = apart = 0
    for block in _decoded(content, media_type, channels=2):
        samples += len(block) // 2
        if samples * 1_000 // SAMPLES_PER_SECOND > LONGEST_MS:
            raise AudioUnreadable(f"the audio is longer than {LONGEST_MS // 3_600_000} hours: split it and order each part")
        for left, right in zip(block[0 :: 2 * _EVERY], block[1 :: 2 * _EVERY], strict=True):
            loud += abs(left) + abs(right)
            apart += abs(left - right)
    if not samples:
        raise AudioUnreadable("there is no sound in the audio file: send one with at least some speech")
    differ = loud > 0 and apart / loud > _CHANNELS_DIFFER
    return Recording(duration_ms=samples * 1_000 // SAMPLES_PER_SECOND, channels=2 if differ else 1)


def heard(content: bytes, media_type: str, *, channels: int) -> Iterator[tuple["array[int]", ...]]:
    """Block by block, the samples of each channel; two channels become one by mixing. Raises AudioUnreadable."""
    for block in _decoded(content, media_type, channels=channels):
        yield tuple(block[channel::channels] for channel in range(channels))


def _decoded(content: bytes, media_type: str, *, channels: int) -> Iterator["array[int]"]:
    """Samples of all channels, one after the other in each instant."""
    import av

    demuxer = _DEMUXERS.get(media_type)
    if demuxer is None:
        raise AudioUnreadable(f"{media_type or 'no media type'} is not read here: send {', '.join(MEDIA_TYPES)}")
    resampler = av.AudioResampler(format="s16", layout="stereo" if channels == 2 else "mono", rate=SAMPLES_PER_SECOND)
    try:
        with av.open(io.BytesIO(content), mode="r", format=demuxer) as container:
            if not container.streams.audio:
                raise AudioUnreadable("the file holds no audio track: send one with sound")
            for frame in container.decode(container.streams.audio[0]):
                if frame.sample_rate < _FEWEST_SAMPLES_PER_SECOND:
                    raise AudioUnreadable(
                        f"the audio has {frame.sample_rate} samples a second, too few for speech: save it again with at least "
                        f"{_FEWEST_SAMPLES_PER_SECOND}"
                    )
                for resampled in resampler.resample(frame):
                    yield _samples(resampled, channels)
            for resampled in resampler.resample(None):
                yield _samples(resampled, channels)
    except (av.FFmpegError, ValueError) as broken:
        finding = broken.strerror if isinstance(broken, av.FFmpegError) else str(broken)
        raise AudioUnreadable(f"the audio cannot be decoded ({finding}): save it again, or as WAV") from broken


def _samples(frame: Any, channels: int) -> "array[int]":
    # The plane is padded at its end.
    return array("h", bytes(frame.planes[0])[: frame.samples * channels * 2])
