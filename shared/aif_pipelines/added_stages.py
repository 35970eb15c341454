"""Stages that rules add: who owns them, and how many there can be.

An added stage depends on its owner and on nothing that comes later; whatever depends on the owner waits for it too. When it
is added more than once, the instances run under the ids `polish`, `polish_2`, `polish_3`, and `polish` means the newest.
"""

from collections.abc import Iterator

from msgspec import Struct

from aif_pipelines.definition import AddStage, Pipeline, RetryStage, Stage

MAX_GROWN_STAGES = 100
"""Stages of one execution, added ones and the retries of added ones included."""


class AddedStage(Struct, frozen=True, kw_only=True):
    stage: Stage
    path: str
    owner: str
    """The stage whose rule adds it, which may be an added one itself."""
    root: str
    """The stage of the pipeline at the end of the chain of owners."""
    most: int
    """Instances in one execution at the most."""

    def instance_ids(self) -> Iterator[str]:
        """The ids of the instances after the first."""
        return (f"{self.stage.id}_{number}" for number in range(2, self.most + 1))


def all_stages(pipeline: Pipeline) -> Iterator[tuple[str, Stage]]:
    """Every stage, those that rules add included, with its path; each before those that it adds."""
    for index, stage in enumerate(pipeline.stages):
        path = f"stages[{index}]"
        yield path, stage
        for added in _added_by(stage, path, root=stage.id, instances=1):
            yield added.path, added.stage


def added_stages(pipeline: Pipeline) -> dict[str, AddedStage]:
    """By id. Of several with one id the first, and none with the id of a stage of the pipeline."""
    found: dict[str, AddedStage] = {}
    own = {stage.id for stage in pipeline.stages}
    for index, stage in enumerate(pipeline.stages):
        for added in _added_by(stage, f"stages[{index}]", root=stage.id, instances=1):
            if added.stage.id not in own:
                found.setdefault(added.stage.id, added)
    return found


def grown(pipeline: Pipeline) -> int:
    """How many stages one execution can have. A retry of an added stage counts as one more; one of the others does not."""
    return len(pipeline.stages) + sum(_added_runs(stage) for stage in pipeline.stages)


def _added_by(stage: Stage, path: str, *, root: str, instances: int) -> Iterator[AddedStage]:
    for index, rule in enumerate(stage.rules):
        if isinstance(rule, AddStage):
            at, most = f"{path}.rules[{index}].stage", instances * rule.max_times
            yield AddedStage(stage=rule.stage, path=at, owner=stage.id, root=root, most=most)
            yield from _added_by(rule.stage, at, root=root, instances=most)


def _added_runs(stage: Stage) -> int:
    # max_times holds whatever the owner's retries, so those multiply nothing.
    return sum(rule.max_times * _runs(rule.stage) for rule in stage.rules if isinstance(rule, AddStage))


def _runs(added: Stage) -> int:
    return 1 + sum(rule.max_retries for rule in added.rules if isinstance(rule, RetryStage)) + _added_runs(added)
