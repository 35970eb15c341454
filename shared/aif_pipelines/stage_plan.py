"""One stage with all its texts compiled."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from aif_pipelines.added_stages import AddedStage
from aif_pipelines.definition import AddStage, Rule, Stage
from aif_pipelines.expressions import Expression, compile_expression
from aif_pipelines.failures import LanguageInvalid
from aif_pipelines.mistakes import Mistake
from aif_pipelines.output_checks import OutputCheck
from aif_pipelines.paths import FIGURES
from aif_pipelines.templates import Template, compile_template

SHARED_ROOTS = frozenset({"params", "budget", "execution"})
COMPENSATION_PREFIX = "compensate_"


class RulePlan(Struct, frozen=True, kw_only=True):
    rule: Rule
    condition: Expression
    added: "StagePlan | None" = None
    """The stage that an add_stage rule adds."""


class StagePlan(Struct, frozen=True, kw_only=True):
    stage: Stage
    input: Template
    when: Expression | None
    needs: frozenset[str]
    """Stages read by `input` and `when`; one that a rule may add under its own id."""
    judged_with: frozenset[str]
    """Stages read by the rules' conditions, the stage itself and added ones among them when they read them."""
    shared: frozenset[str]
    """Which of `params`, `budget` and `execution` are read by `input` and `when`."""
    input_is_repeatable: bool
    """Whether `input` comes out the same whenever it is made: it reads parameters and what outputs hold, and no figures, which
    may still change when a call's cost becomes known."""
    requires: frozenset[frozenset[str]]
    """Without an output of one stage of each of these groups `input` has no value; other `needs` may have been skipped or have
    failed."""
    depends_on: frozenset[str]
    """Stages that must have ended before this one is ready: those declared and those needed.

    Only stages of the pipeline: the owner in place of an added one, because who waits for the owner waits for what it adds.
    """
    dependents: tuple[str, ...]
    """Stages that wait for this one, in the order of the plan."""
    rules: tuple[RulePlan, ...]
    compensation: Template | None
    """Input of the compensation; None when there is none."""
    output_check: OutputCheck | None
    output_names: tuple[str, ...]
    """Deliverables that this stage's output becomes."""


class CompiledStage(Struct, frozen=True, kw_only=True):
    """A stage plan and where in the document each thing that was read stands."""

    plan: StagePlan
    path: str
    reads: tuple[tuple[str, str], ...]
    """(stage id, path of the text that reads it), for `input`, `when` and conditions."""


class StageCompiler:
    """Compiles stages and collects what does not compile."""

    def __init__(self, output_names: Mapping[str, tuple[str, ...]], added: Mapping[str, AddedStage]) -> None:
        self._output_names = output_names
        self._added = added
        self.mistakes: list[Mistake] = []

    def compile(self, stage: Stage, path: str) -> CompiledStage:
        template = self._template(stage.input, f"{path}.input")
        when = self._expression(stage.when, f"{path}.when") if stage.when is not None else None
        rules = tuple(self._rule(rule, f"{path}.rules[{index}]") for index, rule in enumerate(stage.rules))
        compensation = self._template(stage.compensate.input, f"{path}.compensate.input") if stage.compensate else None
        conditions = tuple(self._conditions(when, rules, path))
        read_by_input = {reference.root: f"{path}.input{at}" for reference, at in reversed(template.places.items())}
        read_by_conditions = [(name, place) for place, text in conditions for name in sorted(_roots_of(text))]
        reads = tuple(read for read in [*read_by_input.items(), *read_by_conditions] if read[0] not in SHARED_ROOTS)
        judged_with = _roots_of(*(rule.condition for rule in rules)) - SHARED_ROOTS
        prepared_with = _roots_of(template) if when is None else _roots_of(template, when)
        needs = prepared_with - SHARED_ROOTS
        owner = self._real(stage.id) - {stage.id}
        plan = StagePlan(
            stage=stage,
            input=template,
            when=when,
            needs=needs,
            judged_with=judged_with,
            shared=prepared_with & SHARED_ROOTS,
            input_is_repeatable=_is_repeatable(template),
            requires=frozenset(_required(template)),
            depends_on=owner | (self._real(*needs, *judged_with, *stage.depends_on) - {stage.id}),
            dependents=(),
            rules=rules,
            compensation=compensation,
            output_check=self._output_check(stage, path),
            output_names=self._output_names.get(stage.id, ()),
        )
        return CompiledStage(plan=plan, path=path, reads=reads)

    def _real(self, *names: str) -> frozenset[str]:
        """The stages, those of the pipeline in place of those that they may add."""
        return frozenset(self._added[name].root if name in self._added else name for name in names)

    def _output_check(self, stage: Stage, path: str) -> OutputCheck | None:
        if stage.output_validation is None:
            return None
        check, mistakes = OutputCheck.compile(stage.output_validation, f"{path}.output_validation")
        self.mistakes += mistakes
        return check

    def _rule(self, rule: Rule, path: str) -> RulePlan:
        added = self.compile(rule.stage, f"{path}.stage").plan if isinstance(rule, AddStage) else None
        return RulePlan(rule=rule, condition=self._expression(rule.condition, f"{path}.condition"), added=added)

    def _conditions(self, when: Expression | None, rules: tuple[RulePlan, ...], path: str) -> Iterator[tuple[str, Expression]]:
        if when is not None:
            yield f"{path}.when", when
        for index, rule in enumerate(rules):
            yield f"{path}.rules[{index}].condition", rule.condition

    def _template(self, value: object, path: str) -> Template:
        try:
            return compile_template(value)
        except LanguageInvalid as failure:
            self.mistakes.append(failure.mistake(path))
            return compile_template(None)

    def _expression(self, text: str, path: str) -> Expression:
        try:
            return compile_expression(text)
        except LanguageInvalid as failure:
            self.mistakes.append(failure.mistake(path))
            return compile_expression("false")


def compensation_id(stage_id: str) -> str:
    """The id under which the compensation of a stage runs."""
    return f"{COMPENSATION_PREFIX}{stage_id}"


def compensation_plan(plan: StagePlan) -> StagePlan | None:
    """What undoes the stage, as a stage of its own; None when nothing does."""
    undo = plan.stage.compensate
    if undo is None or plan.compensation is None:
        return None
    return StagePlan(
        stage=Stage(id=compensation_id(plan.stage.id), worker=undo.worker, action=undo.action, input=undo.input),
        input=plan.compensation,
        when=None,
        needs=_roots_of(plan.compensation) - SHARED_ROOTS,
        judged_with=frozenset(),
        shared=_roots_of(plan.compensation) & SHARED_ROOTS,
        # What it reads may be undone meanwhile.
        input_is_repeatable=False,
        requires=frozenset(),
        depends_on=frozenset(),
        dependents=(),
        rules=(),
        compensation=None,
        output_check=None,
        output_names=(),
    )


def _required(template: Template) -> Iterator[frozenset[str]]:
    for alternatives in template.required:
        names = frozenset(path.root for path in alternatives)
        if not names & SHARED_ROOTS:
            yield names


def _roots_of(*texts: Template | Expression) -> frozenset[str]:
    return frozenset(reference.root for text in texts for reference in text.references)


def _is_repeatable(template: Template) -> bool:
    return all(
        path.root == "params" or (path.root not in SHARED_ROOTS and FIGURES.isdisjoint(path.segments[:1]))
        for path in template.references
    )
