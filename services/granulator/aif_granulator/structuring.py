"""The actions `structure_course` and `structure_quiz`: an order in, a checked structure out."""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.client_wishes import client_wishes
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.earlier_attempt import earlier_attempt
from aif_ai.requests import Capability, Generation, GenerationRequest, StructureKind, StructuringTask
from aif_ai.source_reading import read_source
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, Quiz
from aif_granulator.assembling import assemble, course_from, quiz_from
from aif_granulator.elements import element_count, key_points_of, lessons_of
from aif_granulator.granulation_order import GranulationOrder, read_order
from aif_granulator.material import Material, course_material, findings_material
from aif_granulator.model_answers import CourseAnswer, QuizAnswer, answer_schema
from aif_granulator.prompts import messages_for
from aif_granulator.quality import measure
from aif_granulator.rules import complaints
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_MOST_OUTPUT_TOKENS = {1: 4_000, 2: 6_000, 3: 12_000, 4: 20_000, 5: 32_000}
_TOKENS_PER_QUESTION = 400
_TOKENS_OF_A_QUIZ = 1_500


class Structuring:
    """Makes structures of both kinds; stateless between assignments."""

    def __init__(
        self, *, door: Door, clock: Clock, source_budget_characters: int, configurations: ClientConfigurations
    ) -> None:
        self._door = door
        self._configurations = configurations
        self._clock = clock
        self._source_budget_characters = source_budget_characters

    async def structure_course(self, assignment: Assignment) -> Outcome:
        return await self._structure(StructureKind.COURSE, assignment)

    async def structure_quiz(self, assignment: Assignment) -> Outcome:
        return await self._structure(StructureKind.QUIZ, assignment)

    async def _structure(self, kind: StructureKind, assignment: Assignment) -> Outcome:
        order = read_order(assignment.input, kind)
        material = await self._material(order, assignment)
        await assignment.progress(10, f"structuring the {kind.value}")
        generation = await self._generate(kind, order, material, assignment)
        await assignment.progress(88, "checking the structure")
        return await self._checked(generation, kind, order, material, assignment)

    async def _material(self, order: GranulationOrder, assignment: Assignment) -> Material | None:
        """What the order gives to work from, the most finished first; None for a topic alone."""
        source = None
        if order.source is not None:
            await assignment.progress(2, "reading the source")
            source = await read_source(order.source, assignment, self._clock)
        if order.course is not None:
            return await run_in_thread(course_material, order.course, source)
        if source is not None:
            return Material(document=source)
        if order.context:
            return await run_in_thread(findings_material, order.topic, order.context)
        return None

    async def _generate(
        self, kind: StructureKind, order: GranulationOrder, material: Material | None, assignment: Assignment
    ) -> Generation:
        to_quote = _to_quote(material, is_local=False)
        request = GenerationRequest(
            capability=Capability.STRUCTURING,
            action=assignment.action,
            messages=await run_in_thread(
                messages_for,
                kind,
                order,
                material,
                wishes=await self._wishes(assignment),
                earlier=await earlier_attempt(assignment),
                budget_characters=self._source_budget_characters,
            )
            if self._door.models
            else (),
            max_output_tokens=_output_tokens(kind, order),
            schema_name=kind.value,
            schema=answer_schema(kind),
            check=lambda output: complaints(_drafted(output, kind, order, to_quote), order, to_quote),
            input=StructuringTask(
                kind=kind,
                target_audience=order.target_audience,
                source=material.document if material else None,
                source_is=material.called if material else "source",
                topic=order.topic,
                granularity_level=order.granularity_level,
                question_count=order.question_count,
            ),
        )
        return await generate_for(assignment, self._door, request)

    async def _wishes(self, assignment: Assignment) -> str | None:
        """What the model is told about the client, in the workspace that the order names."""
        context = assignment.context
        return client_wishes(await self._configurations.of(context.client_id, context.workspace_id))

    async def _checked(
        self,
        generation: Generation,
        kind: StructureKind,
        order: GranulationOrder,
        material: Material | None,
        assignment: Assignment,
    ) -> Outcome:
        began = self._clock.monotonic()
        proof = _to_quote(material, is_local=generation.is_local)
        structure = await run_in_thread(assemble, generation, kind, order, proof)
        broken = await run_in_thread(complaints, structure, order, proof)
        quality = await run_in_thread(measure, structure, order.question_count, proof)
        carried = await run_in_thread(material.carried, structure) if material else structure
        assignment.spent_on("validation", self._clock.monotonic() - began)
        if broken:
            raise WorkFailure("validation_failed", f"the structure breaks a rule: {broken[0]}", retryable=False)
        return Outcome(
            output=carried,
            quality_score=quality.score,
            element_count=element_count(structure),
            provider=generation.provider,
            model=generation.model,
            summary=_summary(structure),
        )


def _to_quote(material: Material | None, *, is_local: bool) -> SourceDocument | None:
    """The text that has to prove what is made; None when nothing binds a model. The local provider can only quote."""
    return material.document if material is not None and (material.is_whole or is_local) else None


def _output_tokens(kind: StructureKind, order: GranulationOrder) -> int:
    if kind is StructureKind.COURSE:
        return _MOST_OUTPUT_TOKENS[order.granularity_level]
    return _TOKENS_OF_A_QUIZ + _TOKENS_PER_QUESTION * order.question_count


def _drafted(output: bytes, kind: StructureKind, order: GranulationOrder, source: SourceDocument | None) -> Course | Quiz:
    if kind is StructureKind.COURSE:
        return course_from(msgspec.json.decode(output, type=CourseAnswer), order, source, "")
    return quiz_from(msgspec.json.decode(output, type=QuizAnswer), order, source, "")


def _summary(structure: Course | Quiz) -> str:
    if isinstance(structure, Quiz):
        return f"{len(structure.questions)} questions by {structure.made_by}"
    lessons, points = sum(1 for _ in lessons_of(structure)), sum(1 for _ in key_points_of(structure))
    return f"{len(structure.modules)} modules, {lessons} lessons, {points} key points by {structure.made_by}"
