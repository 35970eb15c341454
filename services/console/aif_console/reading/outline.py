"""A structure for a reader: a course and research as outlines, a quiz with its keys; analyses and workflows have files of
their own."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.analysis import rendered_redaction, rendered_sentiment, rendered_summary, rendered_transcript
from aif_console.reading.hanging import Hanging
from aif_console.reading.plain_text import counted, plain
from aif_console.reading.workflows import rendered_workflow
from aif_contracts.analysis import Redaction, SentimentAnalysis, Summary, Transcript
from aif_contracts.research import Research
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_contracts.workflows import GeneratedWorkflow

STEP = 3


class _Kind(Struct, frozen=True):
    structure_type: str | None = None


def rendered_structure(structure: bytes) -> RenderableType:
    """A structure for a reader; one of a kind that is not known here as its JSON."""
    try:
        match msgspec.json.decode(structure, type=_Kind).structure_type:
            case "course":
                return rendered_course(msgspec.json.decode(structure, type=Course))
            case "quiz":
                return rendered_quiz(msgspec.json.decode(structure, type=Quiz))
            case "research":
                return rendered_research(msgspec.json.decode(structure, type=Research))
            case "transcript":
                return rendered_transcript(msgspec.json.decode(structure, type=Transcript))
            case "redaction":
                return rendered_redaction(msgspec.json.decode(structure, type=Redaction))
            case "sentiment":
                return rendered_sentiment(msgspec.json.decode(structure, type=SentimentAnalysis))
            case "summary":
                return rendered_summary(msgspec.json.decode(structure, type=Summary))
            case "workflow":
                return rendered_workflow(msgspec.json.decode(structure, type=GeneratedWorkflow))
    except msgspec.ValidationError:
        # Made by a newer factory: its fields say more than we know how to print.
        pass
    return Text(msgspec.json.format(structure).decode())


def rendered_course(course: Course) -> RenderableType:
    lines: list[RenderableType] = [
        Text(plain(course.title), style="bold underline"),
        Text(plain(course.description)),
        Text(
            f"For {plain(course.target_audience)}. {_minutes(course.estimated_minutes)}, granularity {course.granularity_level}"
            f"{_made_by(course.made_by)}",
            style="dim",
        ),
    ]
    for number, module in enumerate(course.modules, 1):
        lines += _module(number, module)
    return Group(*lines)


def rendered_quiz(quiz: Quiz) -> RenderableType:
    lines: list[RenderableType] = [
        Text(plain(quiz.title), style="bold underline"),
        Text(plain(quiz.description)),
        Text(
            f"For {plain(quiz.target_audience)}. {counted(len(quiz.questions), 'question')}{_made_by(quiz.made_by)}",
            style="dim",
        ),
    ]
    for number, question in enumerate(quiz.questions, 1):
        lines += _question(number, question)
    return Group(*lines)


def rendered_research(research: Research) -> RenderableType:
    """Its summary, its outline, and what it rests on; the weightiest points stand below their subtopics."""
    lines: list[RenderableType] = [
        Text(plain(research.topic), style="bold underline"),
        Text(plain(research.research_summary)),
        Text(
            f"{counted(len(research.key_points), 'key point')}, {counted(len(research.subtopics), 'subtopic')}"
            f"{_made_by(research.made_by)}",
            style="dim",
        ),
    ]
    for number, subtopic in enumerate(research.subtopics, 1):
        lines += [Text(""), Text(f"{number}  {plain(subtopic.title)}", style="bold"), *_points(subtopic.key_points, STEP)]
    if not research.subtopics:
        lines += _points(research.key_points, STEP)
    lines.append(Text(""))
    for origin in research.sources:
        lines.append(Hanging(Text(plain(f"{origin.title}. {origin.note}"), style="dim"), marker="From "))
    return Group(*lines)


def _module(number: int, module: Module) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(""), Text(f"{number}  {plain(module.title)}", style="bold")]
    for position, lesson in enumerate(module.lessons, 1):
        lines += _lesson(f"{number}.{position}", lesson, STEP)
    return lines


def _lesson(number: str, lesson: Lesson, indent: int) -> list[RenderableType]:
    head = Text.assemble((plain(lesson.title), "cyan"), (f"  {_minutes(lesson.estimated_minutes)}", "dim"))
    lines: list[RenderableType] = [Hanging(head, indent=indent, marker=f"{number}  ")]
    lines += _points(lesson.key_points, indent + STEP)
    for position, section in enumerate(lesson.sections, 1):
        lines += _lesson(f"{number}.{position}", section, indent + STEP)
    return lines


def _points(points: Sequence[KeyPoint], indent: int) -> list[RenderableType]:
    return [Hanging(Text(plain(point.text)), indent=indent, marker="- ") for point in points]


def _question(number: int, question: Question) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(""),
        Hanging(
            Text.assemble((plain(question.question), "bold"), (f"  {plain(question.difficulty)}", "dim")), marker=f"{number}. "
        ),
    ]
    for position, option in enumerate(question.options):
        is_key = position == question.answer_index
        mark, style = ("*", "green") if is_key else (" ", "")
        letter = chr(ord("a") + position)
        lines.append(Hanging(Text(plain(option), style=style), indent=STEP, marker=Text(f"{mark} {letter}) ", style=style)))
    lines.append(Hanging(Text(plain(question.explanation), style="dim"), indent=2 * STEP + 2))
    return lines


def _minutes(minutes: int) -> str:
    return counted(minutes, "minute")


def _made_by(maker: str) -> str:
    return f", made by {plain(maker)}" if maker else ""
