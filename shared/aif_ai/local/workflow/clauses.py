"""What one instruction consists of: under which condition it stands, and the things to do, one by one."""

import re

from msgspec import Struct

from aif_ai.local.workflow.instructions import without_lead_in
from aif_ai.local.workflow.verbs import goes_on_with_an_instruction

_OPENING = re.compile(
    r"(?P<branch>if|unless|in case)\b|(?P<trigger>when|whenever|once|as soon as|every time|each time)\b", re.IGNORECASE
)
_OTHERWISE = re.compile(r"(?:otherwise|or else|else)\b[,:]?\s*|if not(?:[,:]\s*|\s+then\s+)", re.IGNORECASE)
_IF_SO = re.compile(
    r"if (?:(?:so|yes)\b[,:]?\s*(?:then\s+)?|(?:it is|it does|they are|they do|that is the case)(?:[,:]\s*|\s+then\s+))",
    re.IGNORECASE,
)
_CHECKS = re.compile(r"(?:check|verify|test|see|find out|determine|make sure|ensure)\s+(?:if|whether|that)\b", re.IGNORECASE)
_TRAILING = re.compile(r",?\s(?=(?:if|when|whenever|unless|once|as soon as|in case)\s)", re.IGNORECASE)
_ASKS = re.compile(r"\b(?:decide|choose|judge|ask|know|tell|see|check|verify|determine)$", re.IGNORECASE)
_JOINT = re.compile(r"\s*;\s*(?:and\s+)?(?:then\s+)?|,?\s+(?:and\s+)?then\s+|,?\s+and\s+|,\s+", re.IGNORECASE)
_AFTER_A_CONDITION = re.compile(r"\s*[,:]\s+(?:then\s+)?|\s+then\s+", re.IGNORECASE)


class Clause(Struct, frozen=True, kw_only=True):
    """One thing to do."""

    text: str
    condition: str = ""
    """Under which it alone stands."""


class Instruction(Struct, frozen=True, kw_only=True):
    condition: str = ""
    """Under which all of it stands; empty for none."""
    is_trigger: bool = False
    """The condition begins what is told, and what is told after it belongs to it, too."""
    answers_check: bool | None = None
    """It stands under the condition told before: True where that holds, False where it does not. None: it does not."""
    clauses: tuple[Clause, ...] = ()


def read_instruction(text: str, *, divide: bool) -> Instruction:
    """`divide` makes a clause of each thing that is to be done; else all of them are one."""
    if so := _IF_SO.match(text):
        return Instruction(answers_check=True, clauses=_clauses(text[so.end() :], divide=divide))
    if otherwise := _OTHERWISE.match(text):
        return Instruction(answers_check=False, clauses=_clauses(text[otherwise.end() :], divide=divide))
    opening = _OPENING.match(text)
    if opening is None:
        if _CHECKS.match(text):
            return Instruction(condition=text)
        return Instruction(clauses=_clauses(text, divide=divide))
    condition, rest = _apart(text)
    return Instruction(
        condition=condition, is_trigger=opening.group("trigger") is not None, clauses=_clauses(rest, divide=divide)
    )


def _apart(text: str) -> tuple[str, str]:
    """A condition, and what is to be done under it. Commas within the condition are no end of it."""
    ends = list(_AFTER_A_CONDITION.finditer(text))
    if not ends:
        return text, ""
    end = next((each for each in ends if goes_on_with_an_instruction(without_lead_in(text[each.end() :]))), ends[0])
    return text[: end.start()], text[end.end() :]


def _clauses(text: str, *, divide: bool) -> tuple[Clause, ...]:
    found: list[Clause] = []
    begin = 0
    for joint in _JOINT.finditer(text) if divide else ():
        if joint.start() > begin and goes_on_with_an_instruction(without_lead_in(text[joint.end() :])):
            found.append(_clause(text[begin : joint.start()]))
            begin = joint.end()
    if text[begin:].strip():
        found.append(_clause(text[begin:]))
    return tuple(found)


def _clause(text: str) -> Clause:
    text = without_lead_in(text)
    trailing = _TRAILING.search(text)
    if trailing is None or _ASKS.search(text[: trailing.start()]):
        return Clause(text=text)
    return Clause(text=text[: trailing.start()], condition=text[trailing.end() :])
