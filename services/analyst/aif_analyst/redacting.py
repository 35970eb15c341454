"""The action `pii_redaction`: a text in, the same text without personal data out.

Rules on this machine always go first. A language model, where the order wants one, is shown what they have left, so that no
number, address or key goes to a provider; it names persons, places and organisations, which rules cannot know.
"""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.door import Door
from aif_ai.local.pii.detection import USUAL, find
from aif_ai.local.pii.finding import Finding
from aif_ai.local.pii.redacting import places_of, redact
from aif_ai.requests import Capability, Generation, GenerationRequest, TextInput
from aif_analyst import quality
from aif_analyst.name_search import NamesAnswer, findings_of, left_out_of, name_request
from aif_analyst.text_order import RedactionOrder, TextAtHand, read_order, text_at_hand
from aif_contracts.analysis import PiiKind, Redaction
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_NAMED_BY_MODELS = (PiiKind.PERSON, PiiKind.PLACE, PiiKind.ORGANISATION)
_NOTE_WITH_MODEL = "Rules found what has a shape or a checksum, a language model names; neither is sure to find all."


class Redacting:
    """Stateless between assignments."""

    def __init__(self, *, door: Door, clock: Clock, budget_characters: int) -> None:
        self._door = door
        self._clock = clock
        self._budget_characters = budget_characters

    async def pii_redaction(self, assignment: Assignment) -> Outcome:
        order = read_order(assignment.input, RedactionOrder)
        at_hand = await text_at_hand(order, assignment, self._clock)
        kinds = order.kinds or (*USUAL, *(_NAMED_BY_MODELS[1:] if order.use_model else ()))
        await assignment.progress(10, "looking for personal data")
        by_rules = await generate_for(assignment, self._door, _by_rules(at_hand, order, kinds, assignment.action))
        redaction = msgspec.json.decode(by_rules.output, type=Redaction)
        last = by_rules
        if order.use_model:
            await assignment.progress(40, "looking for names")
            redaction, last = await self._without_names(redaction, at_hand, order, kinds, assignment)
        await assignment.progress(90, "searching once more")
        began = self._clock.monotonic()
        left_over = await run_in_thread(_left_over, redaction, kinds, at_hand.language)
        assignment.spent_on("validation", self._clock.monotonic() - began)
        return Outcome(
            output=redaction,
            quality_score=quality.of_redaction(redaction, left_over),
            element_count=len(redaction.entities),
            provider=last.provider,
            model=last.model,
            summary=f"{len(redaction.entities)} findings in {redaction.characters} characters by {redaction.made_by}",
        )

    async def _without_names(
        self,
        redaction: Redaction,
        at_hand: TextAtHand,
        order: RedactionOrder,
        kinds: tuple[PiiKind, ...],
        assignment: Assignment,
    ) -> tuple[Redaction, Generation]:
        wanted = tuple(kind for kind in kinds if kind in _NAMED_BY_MODELS)
        if len(redaction.text) > self._budget_characters:
            raise WorkFailure(
                "invalid_input",
                f"the text is longer than the {self._budget_characters:,} characters that a model is shown: split it, leave "
                "useModel out or raise AIF_SOURCE_BUDGET_CHARACTERS",
                retryable=False,
            )
        generation = await generate_for(assignment, self._door, name_request(redaction.text, wanted, assignment.action))
        answer = msgspec.json.decode(generation.output, type=NamesAnswer)
        made_by = f"{generation.provider}/{generation.model}"
        named = await run_in_thread(findings_of, answer, redaction.text, wanted, f"model:{generation.model}")
        places = places_of(redaction.entities)
        known = [
            Finding(kind=each.kind, start=each.source.start, end=each.source.end, found_by=each.found_by)
            for each in redaction.entities
        ]
        moved = [
            msgspec.structs.replace(each, start=places.origin(each.start), end=places.origin(each.end, to_end=True))
            for each in named
        ]
        whole = await run_in_thread(
            redact,
            at_hand.text,
            [*known, *moved],
            turns=at_hand.turns,
            looked_for=kinds,
            numbered=order.numbered,
            note=_note(left_out_of(answer, redaction.text)),
            made_by=f"{redaction.made_by}, {made_by}",
        )
        return whole, generation


def _note(left_out: int) -> str:
    if left_out == 0:
        return _NOTE_WITH_MODEL
    what = (
        "1 name of the model does not stand in the text and was"
        if left_out == 1
        else (f"{left_out} names of the model do not stand in the text and were")
    )
    return f"{_NOTE_WITH_MODEL} {what} left out: somebody may look whether a name is written otherwise there."


def _by_rules(at_hand: TextAtHand, order: RedactionOrder, kinds: tuple[PiiKind, ...], action: str) -> GenerationRequest:
    options = {"kinds": kinds, "numbered": order.numbered, "turns": at_hand.turns}
    return GenerationRequest(
        capability=Capability.PII_REDACTION,
        action=action,
        input=TextInput(text=at_hand.text, language=at_hand.language, options=msgspec.to_builtins(options)),
    )


def _left_over(redaction: Redaction, kinds: tuple[PiiKind, ...], language: str | None) -> int:
    """Findings in the redacted text, but for those that are its marks."""
    marks = {(entity.span.start, entity.span.end) for entity in redaction.entities}
    return sum(
        not any(start <= found.start and found.end <= end for start, end in marks)
        for found in find(redaction.text, kinds, language, lambda: None)
    )
