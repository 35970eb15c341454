"""How good a workflow is, as one number from 0 to 1 that is computed and never guessed, rounded to 3 digits.

part      weight  what
told       0.50   sentences of the description that share a word of meaning with a step
unique     0.50   steps that repeat no other
"""

from collections.abc import Sequence

from aif_ai.extractive.sentences import split
from aif_ai.extractive.words import meaningful
from aif_ai.structure_measures import uniqueness
from aif_contracts.workflows import PilotStep


def of_workflow(steps: Sequence[PilotStep], description: str) -> float:
    texts = [f"{step.operation} {step.instruction or ''}" for step in steps]
    known = {word for text in texts for word in meaningful(text)}
    sentences = [frozenset(meaningful(description[start:end])) for start, end in split(description, 0, len(description))]
    telling = [words for words in sentences if words]
    told = sum(bool(words & known) for words in telling) / len(telling) if telling else 1.0
    return round(0.5 * told + 0.5 * uniqueness(texts), 3)
