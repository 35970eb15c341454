"""The extractive provider behind the port: courses, quizzes and research from a source text, without a model."""

import asyncio

from aif_ai.extractive.provider import MODEL, NAME, ExtractiveProvider
from aif_ai.failures import InvalidRequest
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, StructuringTask
from aif_contracts.packets import QualityTier


class LocalStructuring:
    """Never follows a language model that failed: what it makes is of another kind, so it only serves where none may."""

    def __init__(self) -> None:
        self.name = NAME
        self.offers = tuple(
            Offer(capability=capability, models=(MODEL,), quality=QualityTier.ECONOMY, local=True, last_resort=True)
            for capability in (Capability.STRUCTURING, Capability.RESEARCH)
        )
        self._extractive = ExtractiveProvider()

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        if not isinstance(call.input, StructuringTask):
            raise InvalidRequest(f"{self.name} works on a structuring task, not on {type(call.input).__name__}")
        loop = asyncio.get_running_loop()

        def tell(share: float, doing: str) -> None:
            asyncio.run_coroutine_threadsafe(heard.comes_on(share, doing), loop)

        made = await self._extractive.structure(call.input, tell)
        return Answer(text=made.decode(), finished=True)

    async def close(self) -> None:
        """It holds nothing."""
