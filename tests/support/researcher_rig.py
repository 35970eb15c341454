"""The researcher's action over the local provider or the provider double, outside any worker loop."""

from typing import Any

import msgspec

from aif_ai.call_policy import CallPolicy
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.openai_provider import OPENAI, OpenAiProvider
from aif_contracts.documents import SourceDocument
from aif_contracts.packets import PreviousAttempt
from aif_prices.book import PriceBook, shipped_prices
from aif_researcher.worker import researcher_spec
from aif_runtime.assignment import Outcome
from aif_runtime.clock import SystemClock
from aif_runtime.memory_blobs import MemoryBlobStore
from support.provider_double.server import ProviderDouble
from support.recording_assignment import RecordingAssignment


class ResearcherRig:
    def __init__(self, double: ProviderDouble | None = None, *, configurations: ClientConfigurations | None = None) -> None:
        self.blobs = MemoryBlobStore()
        self.assignment = RecordingAssignment()
        provider = (
            OpenAiProvider(name=OPENAI, models=("gpt-4o-mini",), api_key="sk-test", base_url=f"{double.url}/v1")
            if double
            else None
        )
        self.door = Door(
            providers=(provider,) if provider else (),
            prices=PriceBook(shipped_prices()),
            clock=SystemClock(),
            policy=CallPolicy(most_tries=1),
        )
        self.spec = researcher_spec(
            self.door, SystemClock(), source_budget_characters=200_000, slots=2, configurations=configurations
        )

    async def stored(self, source: SourceDocument) -> dict[str, Any]:
        """The reference to a stored source, as a stage's input carries it."""
        return dict(msgspec.to_builtins(await self.blobs.put("sources/client_1/s1", msgspec.json.encode(source))))

    async def run(self, *, previous: PreviousAttempt | None = None, **fields: Any) -> Outcome:
        """Research over these input fields; `assignment` remembers what it did."""
        self.assignment = RecordingAssignment(action="research_topic", input=fields, blobs=self.blobs, previous=previous)
        try:
            return await self.spec.actions["research_topic"].run(self.assignment)
        finally:
            await self.door.close()
