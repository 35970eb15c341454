"""Recordings that tests make themselves: something like a voice, silence, and both on channels of their own.

The voice is a row of vowels, each a sum of harmonics with two formants and a beginning and an end. A recogniser takes it for
speech; what it makes of it is its own affair.
"""

import io
import wave
from array import array
from math import exp, pi, sin

RATE = 16_000
_VOWELS = ((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840))
_LOUDEST = 9_000


def silence(seconds: float) -> "array[int]":
    return array("h", bytes(2 * round(seconds * RATE)))


def voice(seconds: float, *, pitch: int = 120) -> "array[int]":
    """Four syllables a second."""
    syllable = RATE // 4
    samples = array("h")
    cycles = {formants: _cycle(pitch, formants) for formants in _VOWELS}
    for number in range(round(seconds * 4)):
        cycle = cycles[_VOWELS[number % len(_VOWELS)]]
        for i in range(syllable):
            rise_and_fall = sin(pi * i / syllable) ** 0.5
            samples.append(round(_LOUDEST * rise_and_fall * cycle[i % len(cycle)]))
    return samples


def wav(*channels: "array[int]") -> bytes:
    """A WAV file; shorter channels end in silence."""
    length = max(map(len, channels))
    mixed = array("h", bytes(2 * length * len(channels)))
    for number, channel in enumerate(channels):
        mixed[number :: len(channels)] = channel + array("h", bytes(2 * (length - len(channel))))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(mixed.tobytes())
    return file.getvalue()


def _cycle(pitch: int, formants: tuple[int, int]) -> list[float]:
    """One period of the voice, its highest point at 1."""
    length = RATE // pitch
    weights = [
        (harmonic, sum(exp(-(((harmonic * pitch - formant) / 120) ** 2)) for formant in formants) + 0.05 / harmonic)
        for harmonic in range(1, 3_500 // pitch)
    ]
    period = [sum(weight * sin(2 * pi * harmonic * i / length) for harmonic, weight in weights) for i in range(length)]
    highest = max(map(abs, period))
    return [value / highest for value in period]
