"""The actions `transcription` and `transcription_diarization`: a recording in, a transcript out."""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.door import Door
from aif_ai.failures import AudioUnreadable
from aif_ai.local.speech.audio import Recording
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.requests import AudioInput, Capability, GenerationRequest
from aif_analyst import quality
from aif_analyst.audio_order import read_audio_order
from aif_contracts.analysis import Transcript
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock


class Transcribing:
    """Stateless between assignments."""

    def __init__(self, *, door: Door, clock: Clock, runner: SpeechRunner) -> None:
        self._door = door
        self._clock = clock
        self._runner = runner

    async def transcription(self, assignment: Assignment) -> Outcome:
        return await self._transcribed(assignment, Capability.TRANSCRIPTION)

    async def transcription_diarization(self, assignment: Assignment) -> Outcome:
        return await self._transcribed(assignment, Capability.TRANSCRIPTION_DIARIZATION)

    async def _transcribed(self, assignment: Assignment, capability: Capability) -> Outcome:
        order = read_audio_order(assignment.input)
        await assignment.progress(2, "fetching the recording")
        began = self._clock.monotonic()
        content = await assignment.blobs.get(order.source)
        assignment.spent_on("storage", self._clock.monotonic() - began)
        recording = await self._examined(content, order.source.media_type, assignment)
        await assignment.progress(10, f"transcribing {recording.duration_ms / 1_000:.1f} s of sound")
        request = GenerationRequest(
            capability=capability,
            action=assignment.action,
            input=AudioInput(
                data=content,
                media_type=order.source.media_type,
                diarize=capability is Capability.TRANSCRIPTION_DIARIZATION,
                language=order.language,
                duration_ms=recording.duration_ms,
            ),
        )
        generation = await generate_for(assignment, self._door, request)
        made_by = f"{generation.provider}/{generation.model}"
        transcript = msgspec.structs.replace(msgspec.json.decode(generation.output, type=Transcript), made_by=made_by)
        return Outcome(
            output=transcript,
            quality_score=quality.of_transcript(transcript),
            element_count=len(transcript.turns),
            provider=generation.provider,
            model=generation.model,
            summary=f"{len(transcript.turns)} turns, {len(transcript.text.split())} words by {made_by}",
        )

    async def _examined(self, content: bytes, media_type: str, assignment: Assignment) -> Recording:
        """Before anybody is paid for listening to what is no sound."""
        began = self._clock.monotonic()
        try:
            return await self._runner.examine(content, media_type)
        except AudioUnreadable as unreadable:
            raise WorkFailure(unreadable.code, unreadable.message, retryable=False) from unreadable
        finally:
            assignment.spent_on("validation", self._clock.monotonic() - began)
