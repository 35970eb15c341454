"""The same door over each provider, pointed at the double, so that one suite asks the same of both."""

from collections.abc import Sequence

from msgspec import Struct

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.call_policy import CallPolicy
from aif_ai.door import Door
from aif_ai.openai_provider import OpenAiProvider
from aif_ai.provider import Provider
from aif_ai.requests import Capability, GenerationRequest, Message, Role
from aif_contracts.packets import Grant
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import SystemClock
from support.provider_double.bill import BillEntry
from support.provider_double.server import ProviderDouble
from support.recording_assignment import RecordingAssignment

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "points": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "note": {"type": "string"},
    },
    "required": ["title", "points"],
    "additionalProperties": False,
}


class Rig(Struct, frozen=True, kw_only=True):
    """One provider's door, and an attempt that uses it."""

    provider: str
    model: str
    door: Door
    assignment: RecordingAssignment
    ledger: AttemptLedger
    double: ProviderDouble

    @property
    def billed_usage(self) -> list[tuple[str, int, int]]:
        return [usage_of(entry) for entry in self.double.bill]

    @property
    def booked_usage(self) -> list[tuple[str | None, int, int]]:
        return [(c.response_id, c.tokens.prompt_tokens, c.tokens.completion_tokens) for c in self.assignment.calls]


def usage_of(entry: BillEntry) -> tuple[str, int, int]:
    return entry.response_id, entry.prompt_tokens, entry.output_tokens


def rig(
    provider: str,
    double: ProviderDouble,
    *,
    grant: Grant | None = None,
    free_models: Sequence[str] = (),
    model: str | None = None,
    call_timeout_seconds: float = 20.0,
    silence_seconds: float = 10.0,
) -> Rig:
    models = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-5-5", "openai_compatible": "local-model"}
    chosen = (models[provider],) if model is None else (model,)
    adapter: Provider
    if provider == "anthropic":
        adapter = AnthropicProvider(models=chosen, api_key="sk-ant-test", base_url=double.url, silence_seconds=silence_seconds)
    else:
        adapter = OpenAiProvider(
            name=provider,
            models=chosen,
            api_key="sk-test" if provider == "openai" else None,
            base_url=f"{double.url}/v1",
            silence_seconds=silence_seconds,
        )
    door = Door(
        providers=(adapter,),
        prices=PriceBook(shipped_prices(), free_models=free_models),
        clock=SystemClock(),
        policy=CallPolicy(call_timeout_seconds=call_timeout_seconds, most_tries=1),
    )
    assignment = RecordingAssignment(grant=grant)
    return Rig(
        provider=provider,
        model=chosen[0],
        door=door,
        assignment=assignment,
        ledger=AttemptLedger(assignment),
        double=double,
    )


def question(*, max_output_tokens: int = 2_000) -> GenerationRequest:
    return GenerationRequest(
        capability=Capability.LLM_GENERATION,
        action="ask",
        messages=(
            Message(role=Role.SYSTEM, text="Answer in JSON."),
            Message(role=Role.USER, text="List what a beginner has to know about keeping honey bees in a small garden."),
        ),
        max_output_tokens=max_output_tokens,
        schema_name="points",
        schema=SCHEMA,
    )
