"""The planner's action over the local rules and, where a test gives them, providers of its own, outside any worker loop."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aif_ai.call_policy import CallPolicy
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.local.workflow.provider import local_workflow
from aif_ai.model_switches import ModelSwitches
from aif_ai.provider import Provider
from aif_contracts.documents import SourceDocument
from aif_contracts.packets import Grant, PreviousAttempt
from aif_contracts.workflows import GeneratedWorkflow
from aif_planner.worker import generator_spec
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.assignment import Outcome
from aif_runtime.clock import SystemClock
from aif_runtime.memory_blobs import MemoryBlobStore
from support.recording_assignment import RecordingAssignment


class PlannerRig:
    def __init__(
        self,
        providers: Sequence[Provider] = (),
        *,
        budget_characters: int = 200_000,
        switches: ModelSwitches | None = None,
        configurations: ClientConfigurations | None = None,
    ) -> None:
        self.blobs = MemoryBlobStore()
        self.assignment = RecordingAssignment()
        self.door = Door(
            providers=(*providers, local_workflow()),
            prices=PriceBook(shipped_prices(), free_models=("teacher-1",)),
            clock=SystemClock(),
            policy=CallPolicy(most_tries=1),
            switches=switches,
        )
        self.spec = generator_spec(
            self.door, SystemClock(), budget_characters=budget_characters, slots=2, configurations=configurations
        )

    async def stored(self, text: str) -> dict[str, Any]:
        """The reference to a stored source of that text, as a stage's input carries it."""
        return await self.stored_document(SourceDocument(title="Task", text=text, blocks=(), media_type="text/plain"))

    async def stored_document(self, document: SourceDocument) -> dict[str, Any]:
        ref = await self.blobs.put("sources/client_1/s1", msgspec.json.encode(document))
        return dict(msgspec.to_builtins(ref))

    async def run(self, *, grant: Grant | None = None, previous: PreviousAttempt | None = None, **fields: Any) -> Outcome:
        """`assignment` remembers what the action did."""
        self.assignment = RecordingAssignment(
            action="generate_workflow", input=fields, blobs=self.blobs, grant=grant, previous=previous
        )
        return await self.spec.actions["generate_workflow"].run(self.assignment)

    async def made(self, **fields: Any) -> GeneratedWorkflow:
        output = (await self.run(**fields)).output
        assert isinstance(output, GeneratedWorkflow)
        return output
