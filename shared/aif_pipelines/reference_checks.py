"""Whether every stage that is named anywhere is there, and has surely ended by then.

A text of a stage may read any other stage of the pipeline, because reading means waiting; only a circle is wrong. A stage
that a rule adds is there for whoever comes after the stage of the pipeline that owns it, and even then only perhaps: a
condition reads null, a template must say what it does without it.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from aif_pipelines.added_stages import AddedStage, all_stages
from aif_pipelines.definition import Pipeline, SkipStage, Stage
from aif_pipelines.expressions import Expression
from aif_pipelines.failures import PathInvalid
from aif_pipelines.graph import ancestors, find_cycle
from aif_pipelines.kinds import (
    BUDGET_SCHEMA,
    EXECUTION_SCHEMA,
    Roots,
    kind_mistakes,
    path_kinds,
    stage_schema,
)
from aif_pipelines.mistakes import MOST_MISTAKES, Mistake, did_you_mean
from aif_pipelines.paths import Path
from aif_pipelines.schemas import schema_mistakes
from aif_pipelines.stage_plan import CompiledStage, StagePlan
from aif_pipelines.templates import Template


class _Reader(Struct, frozen=True, kw_only=True):
    """A stage and what has ended when its texts are read."""

    stage: Stage
    root: str
    """The stage of the pipeline that it is, or that owns it."""
    ended: frozenset[str]
    """Stages that surely have."""
    readable: frozenset[str]
    """Stages that its texts may name without waiting in a circle; those that rules may have added by then not among them."""


class ReferenceChecks:
    def __init__(
        self,
        pipeline: Pipeline,
        parameters: Mapping[str, Any],
        stages: tuple[CompiledStage, ...],
        added: Mapping[str, AddedStage],
    ) -> None:
        self._stages = stages
        self._added = added
        self._ids = [compiled.plan.stage.id for compiled in stages]
        self._parameters = parameters
        self._values = {stage.id: _value_schema(stage) for _, stage in all_stages(pipeline)}
        self._edges = self._waiting()
        self._before = {name: ancestors(self._edges, name) for name in self._ids}
        self._mistakes: list[Mistake] = []

    def mistakes(self) -> list[Mistake]:
        for compiled in self._stages:
            self._check_dependencies(compiled.plan.stage, compiled.path)
        if cycle := find_cycle(self._edges):
            self._report_cycle(cycle)
        for compiled in self._stages:
            own = compiled.plan.stage.id
            self._check_stage(
                compiled.plan,
                compiled.path,
                _Reader(stage=compiled.plan.stage, root=own, ended=self._before[own], readable=frozenset(self._ids) - {own}),
            )
        return self._mistakes

    def _wrong(self, path: str, message: str, mend: str) -> None:
        self._mistakes.append(Mistake(path=path, message=message, mend=mend))

    @property
    def _has_enough(self) -> bool:
        return len(self._mistakes) >= MOST_MISTAKES

    def _waiting(self) -> dict[str, frozenset[str]]:
        """Which stage of the pipeline waits for which. What is no stage of it is not waited for.

        To read an added stage is to wait for its owner, unless the owner waits for the reader: then the reading is the mistake.
        """
        plans = {compiled.plan.stage.id: compiled.plan for compiled in self._stages}
        named = {name: plan.needs | plan.judged_with | frozenset(plan.stage.depends_on) for name, plan in plans.items()}
        edges = {name: (names & plans.keys()) - self._added.keys() - {name} for name, names in named.items()}
        implied = {}
        for name, names in named.items():
            owners = frozenset(self._added[added].root for added in names & self._added.keys())
            implied[name] = edges[name] | frozenset(owner for owner in owners - {name} if name not in ancestors(edges, owner))
        return implied

    def _check_dependencies(self, stage: Stage, path: str) -> None:
        for index, name in enumerate(stage.depends_on):
            if self._has_enough:
                return
            if name == stage.id:
                self._wrong(f"{path}.depends_on[{index}]", "a stage cannot wait for itself", "Remove it.")
            elif name in self._added:
                root = self._added[name].root
                mend = f"Write {root}: what depends on it waits for {name} too, when it was added."
                self._wrong(f"{path}.depends_on[{index}]", f"{name} is added by a rule, so it may not be there", mend)
            elif name not in self._ids:
                mend = did_you_mean(name, set(self._ids) - {stage.id}, "Name the id of a stage.")
                self._wrong(f"{path}.depends_on[{index}]", f"there is no stage {name}", mend)

    def _report_cycle(self, cycle: tuple[str, ...]) -> None:
        by_id = {compiled.plan.stage.id: compiled for compiled in self._stages}
        path = f"{by_id[cycle[0]].path}.depends_on"
        for stage, before in itertools.pairwise(cycle):
            implied = [place for name, place in by_id[stage].reads if self._root_of(name) == before]
            if implied and before not in by_id[stage].plan.stage.depends_on:
                path = implied[0]
        self._wrong(
            path,
            f"the stages wait for each other: {' → '.join(cycle)}",
            "Reading a stage means waiting for it. Remove one dependency or one reference.",
        )

    def _root_of(self, name: str) -> str:
        return self._added[name].root if name in self._added else name

    def _check_stage(self, plan: StagePlan, path: str, reader: _Reader) -> None:
        if plan.when is not None:
            self._check_condition(f"{path}.when", plan.when, reader, own="Move the condition to rules.")
        for index, rule in enumerate(plan.rules):
            self._check_condition(f"{path}.rules[{index}].condition", rule.condition, reader)
        self._check_template(f"{path}.input", plan.input, reader, own="Read an earlier stage.")
        if plan.compensation is not None:
            self._check_compensation(f"{path}.compensate.input", plan.compensation, reader)
        for index, rule in enumerate(plan.rules):
            at = f"{path}.rules[{index}]"
            if isinstance(rule.rule, SkipStage):
                self._check_skip(rule.rule.stage, reader, at)
            elif rule.added is not None:
                self._check_added(rule.added, f"{at}.stage", reader)

    def _check_added(self, plan: StagePlan, path: str, owner: _Reader) -> None:
        """An added stage may use what has ended when it is added: the stage that adds it, and what lies before."""
        ended = owner.ended | {owner.stage.id}
        for index, name in enumerate(plan.stage.depends_on):
            if name not in ended and not self._has_enough:
                mend = did_you_mean(name, ended, "Leave it out.")
                self._wrong(f"{path}.depends_on[{index}]", f"{name} has not surely ended then", mend)
        self._check_stage(plan, path, _Reader(stage=plan.stage, root=owner.root, ended=ended, readable=ended))

    def _check_skip(self, target: str, reader: _Reader, path: str) -> None:
        owner = reader.stage.id
        if owner in self._added:
            mend = "Put the rule on the stage that adds it."
            self._wrong(f"{path}.action", "an added stage cannot skip others, which do not wait for it", mend)
        elif target in self._added:
            mend = f"Let the condition of the rule that adds {target} say when it is wanted."
            self._wrong(f"{path}.stage", f"{target} is added by a rule, so it cannot be skipped", mend)
        elif target not in self._ids:
            mend = did_you_mean(target, set(self._ids) - {owner}, "Name the id of a stage.")
            self._wrong(f"{path}.stage", f"there is no stage {target}", mend)
        elif owner not in self._before[target]:
            self._wrong(
                f"{path}.stage",
                f"{target} may have run before {owner} has ended, so it cannot be skipped from there",
                f"Add {owner} to the depends_on of {target}.",
            )

    def _check_condition(self, path: str, condition: Expression, reader: _Reader, *, own: str | None = None) -> None:
        if self._has_enough:
            return
        roots = self._roots(reader, condition.references) | {"budget": BUDGET_SCHEMA}
        for failure in kind_mistakes(condition.text, condition.node, roots, as_condition=True):
            self._mistakes.append(failure.mistake(path))
        self._check_reading(dict.fromkeys(condition.references, path), reader, own)

    def _check_template(self, path: str, template: Template, reader: _Reader, *, own: str) -> None:
        roots = self._roots(reader, template.references) | {"budget": BUDGET_SCHEMA}
        places = _places(path, template)
        self._check_paths(places, roots)
        self._check_reading(places, reader, own)
        self._check_absence(places, template, reader)

    def _check_compensation(self, path: str, template: Template, reader: _Reader) -> None:
        """It may read the stage that it undoes, and what lay before: later stages may not have run, or be undone already."""
        places = _places(path, template)
        self._check_paths(places, self._roots(reader, template.references))
        by_root = _by_root(places)
        for root in sorted(by_root.keys() & reader.readable - reader.ended):
            self._wrong(
                by_root[root],
                f"{root} does not lie before {reader.stage.id}",
                f"Add {root} to the depends_on of {reader.stage.id}, or read another stage.",
            )
        self._check_reading(places, reader, None)
        self._check_absence(places, template, reader)

    def _roots(self, reader: _Reader, references: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
        """What texts may start with. A stage that is read too early is in, because that has a message of its own."""
        known = reader.readable | {reader.stage.id} | ({path.root for path in references} & self._values.keys())
        known |= {name for name in self._added if self._may_be_there(name, reader)}
        return {
            "params": self._parameters,
            "execution": EXECUTION_SCHEMA,
            **{name: self._values[name] for name in sorted(known)},
        }

    def _check_paths(self, places: dict[Path, str], roots: Roots) -> None:
        for reference in sorted(places, key=str):
            try:
                path_kinds(reference, roots)
            except PathInvalid as failure:
                self._wrong(places[reference], failure.message, failure.mend)

    def _check_reading(self, places: dict[Path, str], reader: _Reader, own: str | None) -> None:
        """Refuse the stage itself, where `own` is a mend, and stages that cannot be there yet."""
        for name, path in sorted(_by_root(places).items()):
            if name == reader.stage.id:
                if own is not None:
                    self._wrong(path, f"{name} cannot read itself before it ran", own)
            elif name in self._added and name not in reader.ended and not self._may_be_there(name, reader):
                self._refuse_early(path, self._added[name], reader)
            elif name in self._before and name not in reader.readable:
                mend = f"Add {name} to the depends_on of {reader.root}, or read another stage."
                self._wrong(path, f"{name} does not lie before {reader.root}, behind which {reader.stage.id} is added", mend)

    def _refuse_early(self, path: str, added: AddedStage, reader: _Reader) -> None:
        name, own = added.stage.id, reader.stage.id
        if added.root == reader.root:
            message = f"{name} is added by {added.owner}, and {own} does not wait for it"
            mend = f"Read it in a stage that comes after {added.root}."
        else:
            message = f"{name} is added by {added.owner}, which does not lie before {own}"
            mend = f"Read it in a stage that comes after {added.root}, or read another stage."
        self._wrong(path, message, mend)

    def _check_absence(self, places: dict[Path, str], template: Template, reader: _Reader) -> None:
        for last in sorted({alternatives[-1] for alternatives in template.required}, key=str):
            if self._may_be_there(last.root, reader):
                owner = last.with_root(self._added[last.root].root)
                self._wrong(
                    places[last],
                    f"{last.root} may not be there: a rule adds it",
                    f"Write {{{{{last}?}}}}, or {{{{{last} ?? {owner}}}}} with what takes its place.",
                )

    def _may_be_there(self, name: str, reader: _Reader) -> bool:
        return name in self._added and self._added[name].root in self._before[reader.root] - {reader.root}


def _places(path: str, template: Template) -> dict[Path, str]:
    """Where in the document each path of the template stands, in the order of the template."""
    return {reference: f"{path}{at}" for reference, at in template.places.items()}


def _by_root(places: dict[Path, str]) -> dict[str, str]:
    """Where a path that starts so stands first."""
    return {reference.root: place for reference, place in reversed(places.items())}


def _value_schema(stage: Stage) -> dict[str, Any]:
    schema = stage.output_validation.schema if stage.output_validation else None
    return stage_schema(None if schema is None or schema_mistakes(schema, "") else schema)
