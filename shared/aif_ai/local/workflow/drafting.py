"""Steps out of instructions, in their order, each upon the one before; branches upon their condition.

What comes after an `if` with its consequence goes on from before it, because it is done either way; what comes after a
`when` belongs to it.
"""

from collections.abc import Sequence

from aif_ai.extractive.words import meaningful
from aif_ai.failures import InvalidRequest
from aif_ai.local.workflow.clauses import Clause, Instruction
from aif_ai.local.workflow.verbs import kind_within, leading_kind
from aif_contracts.workflows import PilotStep, StepType

_LONGEST_OPERATION = 500
_LONGEST_INSTRUCTION = 2_000
_SHORTEST_NAME = 4
"""Characters of a part of a service's name by which it is known in a text."""


class Drafting:
    """Takes one instruction after the other; `steps` are those so far."""

    def __init__(self, *, operations: Sequence[str], services: Sequence[str]) -> None:
        """Without operations a step says what it does in the words of the text."""
        self.steps: list[PilotStep] = []
        self._operations = [(name, frozenset(meaningful(_spaced(name)))) for name in operations]
        self._services = [(name, _known_by(name)) for name in services]
        self._last: str | None = None
        """What is done either way goes on from here."""
        self._check: str | None = None
        """The condition that an `otherwise` belongs to."""
        self._before_check: str | None = None

    def take(self, instruction: Instruction) -> None:
        """Raises InvalidRequest for something to do that none of the allowed operations fits."""
        if instruction.answers_check is not None and self._check is not None:
            self._branch(instruction, holds=instruction.answers_check)
        elif instruction.condition:
            self._conditional(instruction)
        else:
            self._last = self._chain(instruction.clauses, upon=self._last)
            self._check = None

    def _conditional(self, instruction: Instruction) -> None:
        self._before_check = self._last
        self._check = self._add(instruction.condition, StepType.CONDITIONAL, upon=self._last)
        end = self._chain(instruction.clauses, upon=self._check)
        if instruction.is_trigger or not instruction.clauses:
            self._last = end

    def _branch(self, instruction: Instruction, *, holds: bool) -> None:
        upon = self._check
        if not holds:
            condition = next(step for step in self.steps if step.id == self._check)
            negated = f"Otherwise, where this does not hold: {_lowered(_told(condition))}"
            upon = self._add(negated, StepType.CONDITIONAL, upon=self._before_check)
        self._chain(instruction.clauses, upon=upon)
        self._last = self._before_check

    def _chain(self, clauses: Sequence[Clause], *, upon: str | None) -> str | None:
        """The last step that is done either way."""
        for clause in clauses:
            kind = self._kind(clause.text)
            if clause.condition:
                self._add(clause.text, kind, upon=self._add(clause.condition, StepType.CONDITIONAL, upon=upon))
            else:
                upon = self._add(clause.text, kind, upon=upon)
        return upon

    def _kind(self, text: str) -> StepType:
        leading = leading_kind(text)
        kind = leading or kind_within(text) or StepType.TRANSFORM
        return StepType.API_CALL if kind is StepType.TRANSFORM and self._service(text) else kind

    def _add(self, text: str, kind: StepType, *, upon: str | None) -> str:
        text = _tidied(text)
        operation = self._operation(text, kind)
        step = PilotStep(
            id=f"step_{len(self.steps) + 1}",
            operation=operation,
            step_type=kind,
            depends_on=(upon,) if upon else (),
            service=self._service(text) if kind is StepType.API_CALL else None,
            instruction=None if operation == text else text[:_LONGEST_INSTRUCTION],
        )
        self.steps.append(step)
        return step.id

    def _operation(self, text: str, kind: StepType) -> str:
        if not self._operations:
            return text if len(text) <= _LONGEST_OPERATION else f"{text[: _LONGEST_OPERATION - 1]}…"
        words = frozenset(meaningful(text))
        name, own = max(self._operations, key=lambda each: len(each[1] & words))
        if not own & words:
            raise InvalidRequest(
                f"none of the allowed operations fits {text[:100]!r}: name one in allowedOperations that shares a word with "
                "it, or say it otherwise"
            )
        return name

    def _service(self, text: str) -> str | None:
        lowered = text.lower()
        return next((name for name, signs in self._services if any(sign in lowered for sign in signs)), None)


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _known_by(service: str) -> tuple[str, ...]:
    """What a text calls a service: its whole name, or the last part of it, singular or plural, as the mail of google-mail."""
    whole = _spaced(service.lower())
    last = whole.split()[-1].removesuffix("s") if whole.split() else ""
    return tuple(sign for sign in (whole, service.lower(), last) if len(sign) >= _SHORTEST_NAME)


def _tidied(text: str) -> str:
    text = " ".join(text.split()).rstrip(".!;:,")
    return text[:1].upper() + text[1:]


def _told(step: PilotStep) -> str:
    return step.instruction or step.operation


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
