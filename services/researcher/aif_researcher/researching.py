"""The action `research_topic`: a topic or a source in, checked findings out."""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.client_wishes import client_wishes
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.earlier_attempt import earlier_attempt
from aif_ai.requests import Capability, Generation, GenerationRequest, StructureKind, StructuringTask
from aif_ai.source_reading import read_source
from aif_contracts.documents import SourceDocument
from aif_contracts.research import Research
from aif_researcher.model_answer import ResearchAnswer, answer_schema, research_from
from aif_researcher.prompts import messages_for
from aif_researcher.quality import measure
from aif_researcher.research_order import ResearchOrder, read_order
from aif_researcher.rules import complaints
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_MOST_OUTPUT_TOKENS = 8_000


class Researching:
    """Stateless between assignments."""

    def __init__(
        self, *, door: Door, clock: Clock, source_budget_characters: int, configurations: ClientConfigurations
    ) -> None:
        self._door = door
        self._configurations = configurations
        self._clock = clock
        self._source_budget_characters = source_budget_characters

    async def research_topic(self, assignment: Assignment) -> Outcome:
        order = read_order(assignment.input)
        source = None
        if order.source is not None:
            await assignment.progress(2, "reading the source")
            source = await read_source(order.source, assignment, self._clock)
        await assignment.progress(10, "researching the topic")
        generation = await self._generate(order, source, assignment)
        await assignment.progress(88, "checking the findings")
        return await self._checked(generation, order, source, assignment)

    async def _generate(self, order: ResearchOrder, source: SourceDocument | None, assignment: Assignment) -> Generation:
        request = GenerationRequest(
            capability=Capability.RESEARCH,
            action=assignment.action,
            messages=await run_in_thread(
                messages_for,
                order,
                source,
                wishes=await self._wishes(assignment),
                earlier=await earlier_attempt(assignment),
                budget_characters=self._source_budget_characters,
            )
            if self._door.models
            else (),
            max_output_tokens=_MOST_OUTPUT_TOKENS,
            schema_name="research",
            schema=answer_schema(),
            check=lambda output: complaints(_drafted(output, order, source), order, source),
            input=StructuringTask(
                kind=StructureKind.RESEARCH, target_audience=order.target_audience, source=source, topic=order.topic
            ),
        )
        return await generate_for(assignment, self._door, request)

    async def _wishes(self, assignment: Assignment) -> str | None:
        """What the model is told about the client, in the workspace that the order names."""
        context = assignment.context
        return client_wishes(await self._configurations.of(context.client_id, context.workspace_id))

    async def _checked(
        self, generation: Generation, order: ResearchOrder, source: SourceDocument | None, assignment: Assignment
    ) -> Outcome:
        began = self._clock.monotonic()
        research = await run_in_thread(_assembled, generation, order, source)
        broken = await run_in_thread(complaints, research, order, source)
        quality = await run_in_thread(measure, research, source)
        assignment.spent_on("validation", self._clock.monotonic() - began)
        if broken:
            raise WorkFailure("validation_failed", f"the findings break a rule: {broken[0]}", retryable=False)
        return Outcome(
            output=research,
            quality_score=quality.score,
            element_count=len(research.key_points) + len(research.subtopics),
            provider=generation.provider,
            model=generation.model,
            summary=f"{len(research.key_points)} key points, {len(research.subtopics)} subtopics by {research.made_by}",
        )


def _assembled(generation: Generation, order: ResearchOrder, source: SourceDocument | None) -> Research:
    if generation.is_local:
        return msgspec.json.decode(generation.output, type=Research)
    answer = msgspec.json.decode(generation.output, type=ResearchAnswer)
    return research_from(answer, order, source, provider=generation.provider, model=generation.model)


def _drafted(output: bytes, order: ResearchOrder, source: SourceDocument | None) -> Research:
    answer = msgspec.json.decode(output, type=ResearchAnswer)
    return research_from(answer, order, source, provider="", model="model")
