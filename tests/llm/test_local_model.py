"""The door over a real model behind a real OpenAI-compatible server. Its answers are worthless; how they come is not."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.door import Door
from aif_ai.failures import AuthenticationFailed, InvalidRequest, OutputTruncated
from aif_ai.openai_provider import COMPATIBLE, OpenAiProvider
from aif_ai.requests import Capability, GenerationRequest, Message, Role
from aif_contracts.metering import CallOutcome
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import SystemClock
from support.recording_assignment import RecordingAssignment
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "smollm2"
API_KEY = "sk-local"
QUESTION = "Name the colour of the sky on a clear day."
BEE = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["black", "yellow", "blue"]},
        "legs": {"type": "integer", "minimum": 0, "maximum": 9},
        "flies": {"type": "boolean"},
    },
    "required": ["colour", "legs", "flies"],
    "additionalProperties": False,
}


class Rig:
    """A door with this model alone, an attempt, and the server's own view."""

    def __init__(self, url: str, *, api_key: str = API_KEY) -> None:
        provider = OpenAiProvider(name=COMPATIBLE, models=(MODEL,), api_key=api_key, base_url=f"{url}/v1")
        self.door = Door(providers=[provider], prices=PriceBook(shipped_prices(), free_models=(MODEL,)), clock=SystemClock())
        self.assignment = RecordingAssignment()
        self._http = httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=30)

    async def __aenter__(self) -> "Rig":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.door.close()
        await self._http.aclose()

    async def ask(self, text: str = QUESTION, *, schema: dict[str, Any] | None = None, max_output_tokens: int = 200) -> bytes:
        request = GenerationRequest(
            capability=Capability.LLM_GENERATION,
            action="ask",
            messages=(Message(role=Role.USER, text=text),),
            max_output_tokens=max_output_tokens,
            schema=schema,
        )
        return (await self.door.generate(request, AttemptLedger(self.assignment))).output

    async def tokens_of_prompt(self, text: str) -> int:
        """By the server's own template and tokenizer, which the completion does not go through."""
        templated = await self._posted("/apply-template", {"messages": [{"role": "user", "content": text}]})
        return await self.tokens_of(templated["prompt"])

    async def tokens_of(self, text: str) -> int:
        said = await self._posted("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        return len(said["tokens"])

    async def busy_slots(self) -> int:
        slots = (await self._http.get("/slots")).raise_for_status().json()
        return sum(slot["is_processing"] for slot in slots)

    async def _posted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._http.post(path, json=body)).raise_for_status().json()
        return answer


async def test_the_usage_that_is_booked_is_the_tokenizers_count(model_url: str) -> None:
    async with Rig(model_url) as rig:
        output = await rig.ask()

        [call] = rig.assignment.calls
        assert call.outcome is CallOutcome.ANSWERED
        assert call.tokens.prompt_tokens == await rig.tokens_of_prompt(QUESTION)
        # The token that ends the answer is counted and not shown.
        assert call.tokens.completion_tokens == await rig.tokens_of(output.decode()) + 1
        assert call.tokens.total_tokens == call.tokens.prompt_tokens + call.tokens.completion_tokens
        assert (call.cost_usd, call.provider, call.model) == ("0", COMPATIBLE, MODEL)
        assert call.response_id is not None


async def test_an_answer_keeps_the_schema_that_was_asked_for(model_url: str) -> None:
    async with Rig(model_url) as rig:
        answer = json.loads(await rig.ask("Describe a bee.", schema=BEE))

        assert set(answer) == {"colour", "legs", "flies"}
        assert answer["colour"] in ("black", "yellow", "blue")
        assert [call.outcome for call in rig.assignment.calls] == [CallOutcome.ANSWERED]


async def test_an_answer_that_reaches_its_limit_is_truncated_and_counted_to_the_token(model_url: str) -> None:
    async with Rig(model_url) as rig:
        with pytest.raises(OutputTruncated):
            await rig.ask("Tell a long story about bees.", max_output_tokens=12)

        [call] = rig.assignment.calls
        assert (call.outcome, call.tokens.completion_tokens) == (CallOutcome.TRUNCATED, 12)


async def test_cancelling_stops_the_generation_in_the_server(model_url: str) -> None:
    async with Rig(model_url) as rig:
        asking = asyncio.create_task(rig.ask("Tell a very long story about bees.", max_output_tokens=900))
        await eventually(lambda: rig.assignment.messages, 30, what="the model writes")
        assert await rig.busy_slots() == 1

        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        async def idle() -> bool:
            return await rig.busy_slots() == 0

        await eventually(idle, 3, what="the server stops writing")
        [call] = rig.assignment.calls
        assert call.error == "cancelled"


async def test_a_wrong_key_is_refused(model_url: str) -> None:
    async with Rig(model_url, api_key="sk-other") as rig:
        with pytest.raises(AuthenticationFailed):
            await rig.ask()

        [call] = rig.assignment.calls
        assert (call.outcome, call.cost_usd, call.error) == (CallOutcome.FAILED, "0", "authentication")


async def test_a_prompt_beyond_the_context_is_a_typed_failure(model_url: str) -> None:
    async with Rig(model_url) as rig:
        with pytest.raises(InvalidRequest) as caught:
            await rig.ask("bees " * 3_000)

        assert "context" in caught.value.message
        assert rig.assignment.calls[0].outcome is CallOutcome.FAILED
