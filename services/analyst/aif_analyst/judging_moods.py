"""The action `sentiment_analysis`: a text in, its mood as a whole, by sentence, by turn and by speaker out."""

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.door import Door
from aif_ai.extractive.sentences import Sentence
from aif_ai.local.passages import Passage, passages_of, sentences_in
from aif_ai.requests import Capability, GenerationRequest, TextInput
from aif_analyst import quality
from aif_analyst.sentiment_prompt import (
    TOKENS_FOR_A_SENTENCE,
    ScoresAnswer,
    analysis_from,
    complaints,
    scores_schema,
    sentiment_messages,
)
from aif_analyst.text_order import TextAtHand, TextOrder, read_order, text_at_hand
from aif_contracts.analysis import SentimentAnalysis
from aif_runtime.assignment import Assignment, Outcome
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_MOST_SENTENCES = 300
"""For a model, in one answer. Longer texts are judged by the local word list, which is never tired."""


class JudgingMoods:
    """Stateless between assignments."""

    def __init__(self, *, door: Door, clock: Clock, budget_characters: int) -> None:
        self._door = door
        self._clock = clock
        self._budget_characters = budget_characters

    async def sentiment_analysis(self, assignment: Assignment) -> Outcome:
        at_hand = await text_at_hand(read_order(assignment.input, TextOrder), assignment, self._clock)
        await assignment.progress(10, "judging the mood")
        passages, sentences = await run_in_thread(_divided, at_hand)
        generation = await generate_for(assignment, self._door, self._request(at_hand, passages, sentences, assignment.action))
        if generation.is_local:
            analysis = msgspec.json.decode(generation.output, type=SentimentAnalysis)
        else:
            analysis = analysis_from(
                msgspec.json.decode(generation.output, type=ScoresAnswer),
                sentences,
                passages,
                turns=len(at_hand.turns),
                made_by=f"{generation.provider}/{generation.model}",
            )
        return Outcome(
            output=analysis,
            quality_score=quality.of_sentiment(analysis, at_hand.text),
            element_count=len(analysis.parts),
            provider=generation.provider,
            model=generation.model,
            summary=f"{analysis.overall.label} over {len(analysis.parts)} sentences by {analysis.made_by}",
        )

    def _request(
        self, at_hand: TextAtHand, passages: list[Passage], sentences: list[Sentence], action: str
    ) -> GenerationRequest:
        fits = len(at_hand.text) <= self._budget_characters and 0 < len(sentences) <= _MOST_SENTENCES
        return GenerationRequest(
            capability=Capability.SENTIMENT_ANALYSIS,
            action=action,
            messages=sentiment_messages(sentences, passages) if fits and self._door.language_models else (),
            max_output_tokens=200 + TOKENS_FOR_A_SENTENCE * len(sentences),
            schema_name="scores",
            schema=scores_schema(),
            check=lambda output: complaints(output, len(sentences)),
            input=TextInput(
                text=at_hand.text,
                language=at_hand.language,
                options={"turns": msgspec.to_builtins(at_hand.turns)},
            ),
        )


def _divided(at_hand: TextAtHand) -> tuple[list[Passage], list[Sentence]]:
    passages = passages_of(at_hand.text, at_hand.turns)
    return passages, sentences_in(at_hand.text, passages)
