"""From a model's answer, or the local provider's finished structure, to the structure that the client gets."""

import msgspec

from aif_ai.grounding import locate
from aif_ai.requests import Generation, StructureKind
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_granulator.granulation_order import GranulationOrder
from aif_granulator.model_answers import CourseAnswer, KeyPointAnswer, LessonAnswer, QuizAnswer, SectionAnswer

_SECTION_MINUTES = 3


def assemble(
    generation: Generation, kind: StructureKind, order: GranulationOrder, source: SourceDocument | None
) -> Course | Quiz:
    """The structure. A quote that the source does not contain leaves its point without a span."""
    match kind, generation.is_local:
        case StructureKind.COURSE, True:
            return msgspec.json.decode(generation.output, type=Course)
        case StructureKind.QUIZ, True:
            return msgspec.json.decode(generation.output, type=Quiz)
    made_by = f"{generation.provider}/{generation.model}"
    if kind is StructureKind.COURSE:
        return course_from(msgspec.json.decode(generation.output, type=CourseAnswer), order, source, made_by)
    return quiz_from(msgspec.json.decode(generation.output, type=QuizAnswer), order, source, made_by)


def course_from(answer: CourseAnswer, order: GranulationOrder, source: SourceDocument | None, made_by: str) -> Course:
    modules = tuple(
        Module(
            title=module.title,
            summary=module.summary,
            lessons=tuple(_lesson(lesson, order, source) for lesson in module.lessons),
        )
        for module in answer.modules
    )
    return Course(
        title=answer.title,
        description=answer.description,
        target_audience=order.target_audience,
        granularity_level=order.granularity_level,
        modules=modules,
        estimated_minutes=sum(lesson.estimated_minutes for module in modules for lesson in module.lessons),
        made_by=made_by,
    )


def quiz_from(answer: QuizAnswer, order: GranulationOrder, source: SourceDocument | None, made_by: str) -> Quiz:
    return Quiz(
        title=answer.title,
        description=answer.description,
        target_audience=order.target_audience,
        questions=tuple(
            Question(
                question=question.question,
                options=tuple(question.options),
                answer_index=question.answer_index,
                explanation=question.explanation,
                difficulty=question.difficulty,
                source=locate(question.quote, source) if source else None,
            )
            for question in answer.questions
        ),
        made_by=made_by,
    )


def _lesson(answer: LessonAnswer, order: GranulationOrder, source: SourceDocument | None) -> Lesson:
    return Lesson(
        title=answer.title,
        summary=answer.summary,
        key_points=_key_points(answer.key_points, source),
        objectives=tuple(answer.objectives),
        terms=tuple(answer.terms),
        estimated_minutes=answer.estimated_minutes,
        sections=tuple(_section(section, source) for section in answer.sections) if order.granularity_level > 3 else (),
    )


def _section(answer: SectionAnswer, source: SourceDocument | None) -> Lesson:
    return Lesson(
        title=answer.title,
        summary=answer.summary,
        key_points=_key_points(answer.key_points, source),
        estimated_minutes=_SECTION_MINUTES,
    )


def _key_points(answers: list[KeyPointAnswer], source: SourceDocument | None) -> tuple[KeyPoint, ...]:
    return tuple(KeyPoint(text=point.text, source=locate(point.quote, source) if source else None) for point in answers)
