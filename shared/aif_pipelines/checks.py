"""What is wrong with a pipeline, known without running it.

The checks go on after a mistake, so that an author sees all of them at once; only a document whose shape is wrong
ends early.
"""

import datetime
import decimal
import itertools
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from aif_pipelines.definition import AddStage, Pipeline, SkipStage, Stage
from aif_pipelines.expressions import Expression, compile_expression
from aif_pipelines.failures import LanguageInvalid, PathInvalid
from aif_pipelines.graph import ancestors, find_cycle
from aif_pipelines.kinds import (
    BUDGET_SCHEMA,
    CAPABILITIES_SCHEMA,
    EXECUTION_SCHEMA,
    Roots,
    kind_mistakes,
    parameters_schema,
    path_kinds,
    stage_schema,
)
from aif_pipelines.mistakes import Mistake, did_you_mean
from aif_pipelines.schemas import schema_mistakes
from aif_pipelines.shape import Shape
from aif_pipelines.stage_plan import CompiledStage, StageCompiler, StagePlan
from aif_pipelines.templates import Template
from aif_pipelines.tokens import CONSTANTS, WORD_OPERATORS

MAX_GROWN_STAGES = 40
"""Stages of one execution, added ones included."""

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII
)
_RESERVED: Final = frozenset({"params", "budget", "execution", "capabilities", *WORD_OPERATORS, *CONSTANTS})

KnownActions = Mapping[str, frozenset[str]]
"""The actions of each live worker."""


class Examination(Struct, frozen=True, kw_only=True):
    """A pipeline compiled as far as it could be, and every mistake in it."""

    stages: tuple[CompiledStage, ...]
    refusals: tuple[Expression, ...]
    mistakes: tuple[Mistake, ...]


def check_pipeline(pipeline: Pipeline, known_actions: KnownActions | None = None) -> list[Mistake]:
    """Every mistake in the definition; empty when it can be run. Without `known_actions`, workers are not checked."""
    return list(examine(pipeline, known_actions).mistakes)


def examine(pipeline: Pipeline, known_actions: KnownActions | None = None) -> Examination:
    shape = Shape()
    # Structs made in Python were never validated, so they take the same way as documents.
    shape.check(msgspec.to_builtins(pipeline, builtin_types=_KEPT_TYPES), Pipeline)
    if shape.mistakes:
        return Examination(stages=(), refusals=(), mistakes=tuple(shape.mistakes))
    return _Examiner(pipeline, known_actions).examine()


# msgspec would write these as text; a definition that holds one must be refused, not changed.
_KEPT_TYPES: Final = (
    bytes,
    bytearray,
    decimal.Decimal,
    uuid.UUID,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)


class _Examiner:
    def __init__(self, pipeline: Pipeline, known_actions: KnownActions | None) -> None:
        self._pipeline = pipeline
        self._known_actions = known_actions
        self._mistakes: list[Mistake] = []

    def examine(self) -> Examination:
        pipeline = self._pipeline
        self._check_version()
        self._mistakes += self._parameter_schema_mistakes()
        compiler = StageCompiler(_output_names(pipeline))
        stages = tuple(compiler.compile(stage, f"stages[{index}]") for index, stage in enumerate(pipeline.stages))
        self._mistakes += compiler.mistakes
        self._check_ids()
        for path, stage in _all_stages(pipeline):
            self._check_work(stage, path)
            self._check_times(stage, path)
        self._check_graph(stages)
        self._check_outputs()
        self._check_growth()
        refusals = tuple(self._refusals())
        return Examination(stages=stages, refusals=refusals, mistakes=tuple(self._mistakes))

    def _wrong(self, path: str, message: str, mend: str) -> None:
        self._mistakes.append(Mistake(path=path, message=message, mend=mend))

    def _check_version(self) -> None:
        if not _SEMVER.fullmatch(self._pipeline.version):
            self._wrong(
                "version",
                f"{self._pipeline.version[:40]!r} is not a semantic version",
                "Write three numbers, as in 1.0.0, in quotes.",
            )

    def _parameter_schema_mistakes(self) -> list[Mistake]:
        schema = self._pipeline.parameters
        if schema.get("type") != "object":
            return [
                Mistake(
                    path="parameters.type",
                    message="the parameters' schema must describe an object",
                    mend="Write type: object and the parameters under properties.",
                )
            ]
        return schema_mistakes(schema, "parameters")

    def _check_ids(self) -> None:
        seen: dict[str, str] = {}
        for path, stage in _all_stages(self._pipeline):
            if stage.id in _RESERVED:
                self._wrong(f"{path}.id", f"{stage.id} is a word of the language", "Choose another id.")
            if stage.id in seen:
                self._wrong(f"{path}.id", f"{stage.id} is already the id of {seen[stage.id]}", "Choose another id.")
            seen.setdefault(stage.id, path)

    def _check_work(self, stage: Stage, path: str) -> None:
        if stage.capability is None:
            if stage.worker is None:
                mend = "Write worker and action, or capability."
                self._wrong(f"{path}.worker", "the stage does not say who does it", mend)
            elif stage.action is None:
                self._wrong(f"{path}.action", f"the stage does not say what {stage.worker} does", "Add an action.")
            else:
                self._check_action(stage.worker, stage.action, path)
            if stage.prefer_providers:
                mend = "Write capability in place of worker and action, or leave it out."
                self._wrong(f"{path}.prefer_providers", "has a meaning with a capability only", mend)
        elif stage.worker is not None or stage.action is not None:
            self._wrong(f"{path}.capability", "a stage has a worker and action, or a capability, not both", "Remove one.")
        if stage.compensate is not None:
            self._check_action(stage.compensate.worker, stage.compensate.action, f"{path}.compensate")

    def _check_action(self, worker: str, action: str, path: str) -> None:
        if self._known_actions is None:
            return
        if worker not in self._known_actions:
            mend = did_you_mean(worker, self._known_actions, "Start the worker.")
            self._wrong(f"{path}.worker", f"no worker is called {worker}", mend)
        elif action not in self._known_actions[worker]:
            mend = did_you_mean(action, self._known_actions[worker], "See the worker's manual.")
            self._wrong(f"{path}.action", f"{worker} has no action {action}", mend)

    def _check_times(self, stage: Stage, path: str) -> None:
        if stage.timeout_seconds > self._pipeline.timeout_seconds:
            self._wrong(
                f"{path}.timeout",
                f"the stage may take {stage.timeout_seconds:g} s, the whole pipeline only {self._pipeline.timeout_seconds:g} s",
                "Lower this one or raise the pipeline's timeout.",
            )

    def _check_graph(self, stages: tuple[CompiledStage, ...]) -> None:
        ids = [stage.id for stage in self._pipeline.stages]
        for compiled in stages:
            self._check_dependencies(compiled.plan.stage, compiled.path, ids)
        edges = {compiled.plan.stage.id: compiled.plan.depends_on for compiled in stages}
        if cycle := find_cycle(edges):
            self._report_cycle(cycle, stages)
        for compiled in stages:
            before = ancestors(edges, compiled.plan.stage.id)
            self._check_references(compiled, self._roots(ids))
            self._check_rules(compiled.plan, compiled.path, before, edges)
            self._check_compensation(compiled, before)

    def _check_dependencies(self, stage: Stage, path: str, known: list[str]) -> None:
        for index, name in enumerate(stage.depends_on):
            if name == stage.id:
                self._wrong(f"{path}.depends_on[{index}]", "a stage cannot wait for itself", "Remove it.")
            elif name not in known:
                mend = did_you_mean(name, set(known) - {stage.id}, "Name the id of a stage.")
                self._wrong(f"{path}.depends_on[{index}]", f"there is no stage {name}", mend)

    def _report_cycle(self, cycle: tuple[str, ...], stages: tuple[CompiledStage, ...]) -> None:
        by_id = {compiled.plan.stage.id: compiled for compiled in stages}
        first = by_id[cycle[0]]
        if cycle[0] == cycle[-1] and len(cycle) == 2:
            return  # A stage that waits for or reads itself has its own message.
        path = f"{first.path}.depends_on"
        for stage, before in itertools.pairwise(cycle):
            implied = [place for root, place in by_id[stage].reads if root == before]
            if implied and before not in by_id[stage].plan.stage.depends_on:
                path = implied[0]
        self._wrong(
            path,
            f"the stages wait for each other: {' → '.join(cycle)}",
            "Reading a stage means waiting for it. Remove one dependency or one reference.",
        )

    def _roots(self, stage_ids: list[str]) -> dict[str, dict[str, object]]:
        outputs = {
            stage.id: stage.output_validation.schema if stage.output_validation else None
            for _, stage in _all_stages(self._pipeline)
        }
        return {
            "params": parameters_schema(self._pipeline.parameters),
            "budget": BUDGET_SCHEMA,
            "execution": EXECUTION_SCHEMA,
            **{name: stage_schema(outputs[name]) for name in stage_ids},
        }

    def _check_references(self, compiled: CompiledStage, roots: Roots) -> None:
        own = compiled.plan.stage.id
        for path, condition in compiled.conditions:
            self._check_kinds(path, condition, roots)
            if path.endswith(".when") and any(reference.root == own for reference in condition.references):
                self._wrong(path, f"{own} cannot read itself before it ran", "Move the condition to rules.")
        for path, template in compiled.templates:
            self._check_template(path, template, roots)
            if path.endswith(".input") and not path.endswith("compensate.input"):
                self._refuse_own(path, template, own)

    def _refuse_own(self, path: str, template: Template, own: str) -> None:
        if any(reference.root == own for reference in template.references):
            self._wrong(path, f"{own} cannot read itself before it ran", "Read an earlier stage.")

    def _check_kinds(self, path: str, expression: Expression, roots: Roots) -> None:
        for failure in kind_mistakes(expression.text, expression.node, roots, as_condition=True):
            self._mistakes.append(failure.mistake(path))

    def _check_template(self, path: str, template: Template, roots: Roots) -> None:
        for reference in sorted(template.references, key=str):
            try:
                path_kinds(reference, roots)
            except PathInvalid as failure:
                self._wrong(path, failure.message, failure.mend)

    def _check_rules(self, plan: StagePlan, path: str, before: frozenset[str], edges: Mapping[str, frozenset[str]]) -> None:
        for index, rule in enumerate(plan.rules):
            at = f"{path}.rules[{index}]"
            if isinstance(rule.rule, SkipStage):
                self._check_skip(rule.rule.stage, plan.stage.id, at, edges)
            elif rule.added is not None:
                self._check_added(rule.added, f"{at}.stage", before | {plan.stage.id})

    def _check_skip(self, target: str, owner: str, path: str, edges: Mapping[str, frozenset[str]]) -> None:
        if target not in edges:
            mend = did_you_mean(target, set(edges) - {owner}, "Name the id of a stage.")
            self._wrong(f"{path}.stage", f"there is no stage {target}", mend)
        elif owner not in ancestors(edges, target):
            self._wrong(
                f"{path}.stage",
                f"{target} may have run before {owner} has ended, so it cannot be skipped from there",
                f"Add {owner} to the depends_on of {target}.",
            )

    def _check_added(self, added: StagePlan, path: str, upstream: frozenset[str]) -> None:
        """An added stage may use what has ended when it is added: the stage that adds it, and what lies before."""
        readable = self._roots(sorted(upstream))
        for index, name in enumerate(added.stage.depends_on):
            if name not in upstream:
                mend = did_you_mean(name, upstream, "Leave it out.")
                self._wrong(f"{path}.depends_on[{index}]", f"{name} has not surely ended then", mend)
        self._check_template(f"{path}.input", added.input, readable)
        if added.when is not None:
            self._check_kinds(f"{path}.when", added.when, readable)
        if added.compensation is not None:
            own = self._roots([*sorted(upstream), added.stage.id])
            self._check_template(f"{path}.compensate.input", added.compensation, own)
        for index, rule in enumerate(added.rules):
            at = f"{path}.rules[{index}]"
            own = self._roots([*sorted(upstream), added.stage.id])
            self._check_kinds(f"{at}.condition", rule.condition, own)
            if isinstance(rule.rule, SkipStage):
                mend = "Put the rule on the stage that adds it."
                self._wrong(f"{at}.action", "an added stage cannot skip others, which do not wait for it", mend)
            elif rule.added is not None:
                self._check_added(rule.added, f"{at}.stage", upstream | {added.stage.id})

    def _check_compensation(self, compiled: CompiledStage, before: frozenset[str]) -> None:
        plan = compiled.plan
        if plan.compensation is None:
            return
        known = {stage.id for stage in self._pipeline.stages}
        for root in sorted({reference.root for reference in plan.compensation.references} & known):
            if root not in before and root != plan.stage.id:
                self._wrong(
                    f"{compiled.path}.compensate.input",
                    f"{root} does not lie before {plan.stage.id}",
                    f"Add {root} to the depends_on of {plan.stage.id}, or read another stage.",
                )

    def _check_outputs(self) -> None:
        ids = {stage.id for stage in self._pipeline.stages}
        names = Counter(output.name for output in self._pipeline.outputs)
        for index, output in enumerate(self._pipeline.outputs):
            if output.stage not in ids:
                mend = did_you_mean(output.stage, ids, "Name the id of a stage.")
                self._wrong(f"output[{index}].stage", f"there is no stage {output.stage}", mend)
            if names[output.name] > 1:
                self._wrong(f"output[{index}].name", f"{output.name} is there twice", "Choose another name.")

    def _check_growth(self) -> None:
        grown = sum(_grown(stage) for stage in self._pipeline.stages)
        if grown > MAX_GROWN_STAGES:
            self._wrong(
                "stages",
                f"the rules could let it grow to {grown} stages, at most {MAX_GROWN_STAGES} are allowed",
                "Lower max_times of the add_stage rules.",
            )

    def _refusals(self) -> Iterator[Expression]:
        roots = {"params": parameters_schema(self._pipeline.parameters), "capabilities": CAPABILITIES_SCHEMA}
        properties = self._pipeline.parameters.get("properties")
        known = set(properties) if isinstance(properties, dict) else set()
        for index, refusal in enumerate(self._pipeline.refusals):
            path = f"refusals[{index}]"
            if refusal.field not in known:
                mend = did_you_mean(refusal.field, known, "Name a parameter.")
                self._wrong(f"{path}.field", f"there is no parameter {refusal.field}", mend)
            try:
                expression = compile_expression(refusal.condition)
            except LanguageInvalid as failure:
                self._mistakes.append(failure.mistake(f"{path}.condition"))
                continue
            self._check_kinds(f"{path}.condition", expression, roots)
            yield expression


def _output_names(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for output in pipeline.outputs:
        names[output.stage] = (*names.get(output.stage, ()), output.name)
    return names


def _all_stages(pipeline: Pipeline) -> Iterator[tuple[str, Stage]]:
    """Every stage, those that rules add included, with its path."""
    for index, stage in enumerate(pipeline.stages):
        yield from _with_added(stage, f"stages[{index}]")


def _with_added(stage: Stage, path: str) -> Iterator[tuple[str, Stage]]:
    yield path, stage
    for index, rule in enumerate(stage.rules):
        if isinstance(rule, AddStage):
            yield from _with_added(rule.stage, f"{path}.rules[{index}].stage")


def _grown(stage: Stage) -> int:
    """How many stages one can become, itself included."""
    return 1 + sum(rule.max_times * _grown(rule.stage) for rule in stage.rules if isinstance(rule, AddStage))
