"""The action `summarization`: a text in, what matters of it in a few sentences out."""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.client_wishes import client_wishes
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.earlier_attempt import earlier_attempt
from aif_ai.requests import Capability, GenerationRequest, Message, TextInput
from aif_analyst import quality
from aif_analyst.summary_prompt import (
    MOST_OUTPUT_TOKENS,
    SummaryAnswer,
    complaints,
    summary_from,
    summary_messages,
    summary_schema,
)
from aif_analyst.text_order import SummaryOrder, TextAtHand, read_order, text_at_hand
from aif_contracts.analysis import Summary
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread


class Summarizing:
    """Stateless between assignments."""

    def __init__(self, *, door: Door, clock: Clock, budget_characters: int, configurations: ClientConfigurations) -> None:
        self._door = door
        self._configurations = configurations
        self._clock = clock
        self._budget_characters = budget_characters

    async def summarization(self, assignment: Assignment) -> Outcome:
        order = read_order(assignment.input, SummaryOrder)
        at_hand = await text_at_hand(order, assignment, self._clock)
        await assignment.progress(10, "summarizing")
        request = GenerationRequest(
            capability=Capability.SUMMARIZATION,
            action=assignment.action,
            messages=await self._messages(at_hand, order, assignment),
            max_output_tokens=MOST_OUTPUT_TOKENS,
            schema_name="summary",
            schema=summary_schema(),
            check=lambda output: complaints(output, order.max_sentences),
            input=TextInput(
                text=at_hand.text,
                language=at_hand.language,
                options={"max_sentences": order.max_sentences, "turns": msgspec.to_builtins(at_hand.turns)},
            ),
        )
        generation = await generate_for(assignment, self._door, request)
        if generation.is_local:
            summary = msgspec.json.decode(generation.output, type=Summary)
        else:
            answer = msgspec.json.decode(generation.output, type=SummaryAnswer)
            made_by = f"{generation.provider}/{generation.model}"
            summary = await run_in_thread(summary_from, answer, at_hand.text, made_by=made_by)
        return Outcome(
            output=summary,
            quality_score=await run_in_thread(quality.of_summary, summary, at_hand.text),
            element_count=len(summary.sentences),
            provider=generation.provider,
            model=generation.model,
            summary=f"{summary.words} of {summary.source_words} words by {summary.made_by}",
        )

    async def _messages(self, at_hand: TextAtHand, order: SummaryOrder, assignment: Assignment) -> tuple[Message, ...]:
        if not self._door.language_models or not at_hand.text.strip():
            return ()
        return await run_in_thread(
            summary_messages,
            at_hand.text,
            order.max_sentences,
            wishes=await self._wishes(assignment),
            earlier=await earlier_attempt(assignment),
            budget_characters=self._budget_characters,
        )

    async def _wishes(self, assignment: Assignment) -> str | None:
        """What the model is told about the client, in the workspace that the order names."""
        context = assignment.context
        return client_wishes(await self._configurations.of(context.client_id, context.workspace_id))
