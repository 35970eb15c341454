"""A language model that answers what a test tells it, and remembers what it was asked."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability
from aif_contracts.metering import Tokens


class ScriptedModel:
    """Each answer is a JSON value; the last one is given again and again. Its model `teacher-1` has to be declared free."""

    name = "scripted"
    offers = (Offer(capability=Capability.LLM_GENERATION, models=("teacher-1",)),)

    def __init__(self, *answers: Any) -> None:
        self._answers: Sequence[Any] = answers
        self.asked: list[str] = []
        """The prompts, all messages of a call in one text."""

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        self.asked.append("\n".join(message.text for message in call.messages))
        trace.sent = True
        trace.tokens = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15)
        value = self._answers[min(len(self.asked), len(self._answers)) - 1]
        return Answer(text=msgspec.json.encode(value).decode())

    async def close(self) -> None:
        """Nothing is open."""
