"""The analyst's actions over the local providers and, where a test gives one, one of its own, outside any worker loop."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aif_ai.call_policy import CallPolicy
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.local.assembly import local_providers
from aif_ai.local.speech.provider import LocalSpeech, SpeechLimits
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.provider import Provider
from aif_analyst.worker import analyst_spec
from aif_contracts.packets import Grant
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.assignment import Outcome
from aif_runtime.clock import SystemClock
from aif_runtime.memory_blobs import MemoryBlobStore
from support.recording_assignment import RecordingAssignment


class AnalystRig:
    def __init__(
        self,
        providers: Sequence[Provider] = (),
        *,
        budget_characters: int = 200_000,
        grant: Grant | None = None,
        policy: CallPolicy | None = None,
        configurations: ClientConfigurations | None = None,
    ) -> None:
        self._grant = grant
        self.blobs = MemoryBlobStore()
        self.assignment = RecordingAssignment()
        runner = SpeechRunner()
        speech = LocalSpeech(runner, whisper_model_dir=None, limits=SpeechLimits())
        self.door = Door(
            providers=(*providers, *local_providers(speech)),
            prices=PriceBook(shipped_prices(), free_models=("teacher-1",)),
            clock=SystemClock(),
            policy=policy,
        )
        self.spec = analyst_spec(
            self.door,
            SystemClock(),
            runner,
            budget_characters=budget_characters,
            slots=2,
            configurations=configurations,
        )

    async def stored(self, content: bytes, media_type: str) -> dict[str, Any]:
        """The reference to a stored blob, as a stage's input carries it."""
        ref = await self.blobs.put("sources/client_1/s1", content, media_type=media_type)
        return dict(msgspec.to_builtins(ref))

    async def run(self, action: str, **fields: Any) -> Outcome:
        """`assignment` remembers what the action did."""
        self.assignment = RecordingAssignment(action=action, input=fields, blobs=self.blobs, grant=self._grant)
        return await self.spec.actions[action].run(self.assignment)
