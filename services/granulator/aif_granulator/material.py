"""What a structure is made of, as one document: a source, the text of a course, or the findings of a research.

A course and findings are themselves taken from a source, mostly. They are laid out as a document of their own, from which
both a model and the local provider can quote, and each piece of it remembers where it comes from. What was made of the
document is then carried over: its spans become places in the source again, and questions name the lesson they are about.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from aif_ai.extractive.sentences import split
from aif_ai.grounding import locate
from aif_contracts.documents import Block, BlockKind, SourceDocument, Span
from aif_contracts.research import Research
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_granulator.elements import key_points_of

_DEEPEST_HEADING = 6


class _Place(Struct, frozen=True):
    """Where in a course a piece stands."""

    module: str | None = None
    lesson: str | None = None


class _Piece(Struct, frozen=True, kw_only=True):
    block: Block
    origin: Span | None
    """Where the source says it."""
    place: _Place


class Material(Struct, frozen=True, kw_only=True):
    document: SourceDocument
    called: str = "source"
    """A reader's word for it."""
    is_whole: bool = True
    """False for findings: they are where a model begins, and no bound to what it may say."""
    pieces: tuple[_Piece, ...] = ()
    """Of the document in reading order; none for a source itself, whose spans are right already."""

    def carried(self, structure: Course | Quiz) -> Course | Quiz:
        """The structure with spans in the source in place of spans in `document`."""
        if not self.pieces:
            return structure
        carrier = _Carrier(self.pieces)
        if isinstance(structure, Course):
            return msgspec.structs.replace(structure, modules=tuple(carrier.module(module) for module in structure.modules))
        return msgspec.structs.replace(structure, questions=tuple(carrier.question(q) for q in structure.questions))


def course_material(course: Course, source: SourceDocument | None) -> Material:
    """The course as text. With its source at hand, what its summaries say is found there too."""
    layout = _Layout(key_points_of(course), source)
    for module in course.modules:
        layout.head(module.title, 1, _Place(module.title))
        for lesson in module.lessons:
            layout.lesson(lesson, 2, _Place(module.title, lesson.title))
        layout.say(module.summary, _Place(module.title))
    return layout.material(course.title, called="course", is_whole=True)


def findings_material(topic: str | None, findings: Research | Sequence[KeyPoint]) -> Material:
    """An outline with its points when there is one, and the points that stand in none of its parts."""
    title = topic or (findings.topic if isinstance(findings, Research) else findings[0].text)
    points = findings.key_points if isinstance(findings, Research) else findings
    subtopics = findings.subtopics if isinstance(findings, Research) else ()
    layout = _Layout([*points, *(point for subtopic in subtopics for point in subtopic.key_points)], None)
    for subtopic in subtopics:
        layout.head(subtopic.title, 1, _Place())
        for text in (subtopic.summary, *(point.text for point in subtopic.key_points)):
            layout.say(text, _Place())
    for point in points:
        layout.say(point.text, _Place())
    return layout.material(title, called="source", is_whole=False)


class _Layout:
    """Grows a document piece by piece; what was said before is not said again."""

    def __init__(self, points: Iterable[KeyPoint], source: SourceDocument | None) -> None:
        self._proofs = {point.text: point.source for point in points if point.source is not None}
        self._source = source
        self._pieces: list[_Piece] = []
        self._texts: list[str] = []
        self._length = 0
        self._said: set[str] = set()

    def lesson(self, lesson: Lesson, level: int, place: _Place) -> None:
        self.head(lesson.title, level, place)
        for text in (lesson.summary, *(point.text for point in lesson.key_points)):
            self.say(text, place)
        for section in lesson.sections:
            self.lesson(section, min(level + 1, _DEEPEST_HEADING), place)

    def head(self, title: str, level: int, place: _Place) -> None:
        self._append(BlockKind.HEADING, title, level, None, place)

    def say(self, text: str, place: _Place) -> None:
        # A point with a proof stays whole, because the proof is of all of it.
        pieces = [text] if text in self._proofs else [text[start:end] for start, end in split(text, 0, len(text))]
        for piece in pieces:
            if piece not in self._said:
                self._said.add(piece)
                self._append(BlockKind.PARAGRAPH, piece, 0, self._origin(piece), place)

    def material(self, title: str, *, called: str, is_whole: bool) -> Material:
        document = SourceDocument(
            title=title,
            text="".join(self._texts),
            blocks=tuple(piece.block for piece in self._pieces),
            media_type="text/plain",
        )
        return Material(document=document, called=called, is_whole=is_whole, pieces=tuple(self._pieces))

    def _origin(self, piece: str) -> Span | None:
        proof = self._proofs.get(piece)
        if proof is None and self._source is not None:
            return locate(piece, self._source)
        return proof

    def _append(self, kind: BlockKind, text: str, level: int, origin: Span | None, place: _Place) -> None:
        block = Block(kind=kind, start=self._length, end=self._length + len(text), level=level)
        self._pieces.append(_Piece(block=block, origin=origin, place=place))
        self._texts.append(f"{text}\n\n")
        self._length += len(text) + 2


class _Carrier:
    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self._starts = [piece.block.start for piece in pieces]

    def module(self, module: Module) -> Module:
        lessons = tuple(self.lesson(lesson) for lesson in module.lessons)
        return msgspec.structs.replace(module, lessons=lessons, source=self.span(module.source))

    def lesson(self, lesson: Lesson) -> Lesson:
        return msgspec.structs.replace(
            lesson,
            key_points=tuple(KeyPoint(text=point.text, source=self.span(point.source)) for point in lesson.key_points),
            source=self.span(lesson.source),
            sections=tuple(self.lesson(section) for section in lesson.sections),
        )

    def question(self, question: Question) -> Question:
        if question.source is None:
            return question
        place = self._touched(question.source)[0].place
        return msgspec.structs.replace(question, source=self.span(question.source), module=place.module, lesson=place.lesson)

    def span(self, span: Span | None) -> Span | None:
        """Exact inside a piece that the source says in as many characters, else all that the touched pieces come from."""
        if span is None:
            return None
        touched = self._touched(span)
        block, origin = touched[0].block, touched[0].origin
        if len(touched) == 1 and origin is not None and origin.end - origin.start == block.end - block.start:
            shift = origin.start - block.start
            return Span(start=span.start + shift, end=span.end + shift)
        origins = [piece.origin for piece in touched if piece.origin is not None]
        if not origins:
            return None
        return Span(start=min(o.start for o in origins), end=max(o.end for o in origins))

    def _touched(self, span: Span) -> Sequence[_Piece]:
        return self._pieces[bisect_right(self._starts, span.start) - 1 : bisect_right(self._starts, span.end - 1)]
