"""English verbs of instructions, and what kind of step each makes."""

# Word lists read best as running text.
# ruff: noqa: SIM905

import re

from aif_contracts.workflows import StepType

_CALLS = """call send fetch post notify email mail message download upload retrieve publish query request submit invite schedule
    book pay charge refund push pull sync search look import export deliver forward reply subscribe get ask alert inform
    remind escalate order"""
_DECISIONS = """decide classify judge choose summarize summarise assess evaluate rate rank prioritize prioritise categorize
    categorise analyze analyse draft write translate explain recommend answer review identify interpret rephrase pick select
    describe suggest"""
_TRANSFORMS = """process extract calculate compute merge convert format sort filter group combine create build make generate
    update add remove delete count sum total parse clean normalize normalise validate verify check compare store save archive
    map join split aggregate rename copy move fill collect prepare compile read load log mark tag set reduce round enrich
    transform close open start stop put keep use attach append replace reconcile label assign record register list report"""
_ALSO_NOUNS = frozenset(
    """email mail message post call book charge query search schedule request order review rank rate format filter group sum
    total count log mark tag set list report import export record label copy map fill reply forward split round answer draft
    sort process update build archive push pull sync look invite alert load read store""".split()
)
"""Between an `and` and the next word they may name a thing, as in `phone and email`; only what follows tells."""
_IRREGULAR = {
    "sent": "send",
    "got": "get",
    "paid": "pay",
    "wrote": "write",
    "chosen": "choose",
    "made": "make",
    "built": "build",
}
_OBJECTS = frozenset(
    "the a an it them each every all any this that these those me us him her my our your their its to back out up".split()
)
_WORD = re.compile(r"[A-Za-z]+")


def _forms(verb: str) -> tuple[str, ...]:
    stem = verb.removesuffix("e")
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"
    hissing = "es" if verb.endswith(("sh", "ch", "s", "x")) else "s"
    doubled = verb + verb[-1]
    return verb, f"{verb}{hissing}", f"{stem}ed", f"{stem}ing", f"{doubled}ed", f"{doubled}ing"


def _kinds() -> dict[str, StepType]:
    lists = ((_CALLS, StepType.API_CALL), (_DECISIONS, StepType.LLM_DECISION), (_TRANSFORMS, StepType.TRANSFORM))
    known = {form: kind for verbs, kind in lists for verb in verbs.split() for form in _forms(verb)}
    return known | {form: known[verb] for form, verb in _IRREGULAR.items()}


_KINDS = _kinds()


def kind_of(word: str) -> StepType | None:
    """Of a verb in any of its forms; None for other words."""
    return _KINDS.get(word.lower())


def leading_kind(text: str) -> StepType | None:
    """Of the verb that a text begins with."""
    first = _WORD.match(text)
    return kind_of(first.group()) if first else None


def kind_within(text: str) -> StepType | None:
    """Of the first verb that a text has anywhere."""
    return next((kind for word in _WORD.findall(text) if (kind := kind_of(word)) is not None), None)


def goes_on_with_an_instruction(text: str) -> bool:
    """Whether what follows a comma or an `and` is told to be done, and no further thing or circumstance."""
    words = [word.lower() for word in _WORD.findall(text[:80])[:2]]
    if not words or kind_of(words[0]) is None:
        return False
    if words[0] not in _ALSO_NOUNS:
        return True
    return len(words) > 1 and words[1] in _OBJECTS
