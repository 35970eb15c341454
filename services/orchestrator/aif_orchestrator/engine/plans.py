"""Compiled pipelines by owner, name and version, kept in memory: a version never changes.

What another replica stores arrives by `plan_news.py`; whoever misses one meanwhile has the database asked before it is refused.
A large one takes a while to compile, and does so in a thread, one after another, so that meanwhile the executions go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress

from msgspec import Struct

from aif_contracts.orders import ExecutionView, TemplateView
from aif_orchestrator.engine.versions import version_rank
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.execution.views import view
from aif_orchestrator.store.pipelines import FACTORY, StoredPipeline
from aif_pipelines.definition import Pipeline
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.mistakes import did_you_mean
from aif_pipelines.plan import Plan, compile_pipeline

PlanKey = tuple[str, str, str]
"""Owner, name, version."""
Load = Callable[[Sequence[int]], Awaitable[Sequence[StoredPipeline]]]
"""Reads stored pipelines without those whose ids are known; a part of them when there are many."""

TOLD_VERSIONS = 5
"""The newest ones, where a version is asked for that there is not."""


def plan_key(execution: Execution) -> PlanKey:
    return execution.template_owner, execution.template, execution.template_version


class UnknownTemplate(Exception):
    def __init__(self, name: str, version: str | None, known: Collection[str], versions: Collection[str] = ()) -> None:
        """`versions` are those of the template when it is only the version that nobody has stored."""
        wanted = name if version is None else f"{name} {version}"
        newest_first = sorted(versions, key=version_rank, reverse=True)
        self.field = "template_version" if newest_first else "template_name"
        self.mend = (
            f"The newest versions are {', '.join(newest_first[:TOLD_VERSIONS])}."
            if newest_first
            else did_you_mean(name, known, "Ask for the list of templates.")
        )
        super().__init__(f"there is no template {wanted}. {self.mend}")


class ChosenPlan(Struct, frozen=True, kw_only=True):
    """What an order's template name means for the client who orders."""

    owner: str
    plan: Plan


class Plans:
    """Compiled when they are first asked for: most stored versions never run again."""

    def __init__(self, pipelines: Iterable[Pipeline] = (), *, load: Load | None = None) -> None:
        """`pipelines` are the factory's. Without `load` there are no others."""
        self._pipelines: dict[PlanKey, Pipeline] = {}
        self._compiled: dict[PlanKey, Plan] = {}
        self._newest: dict[tuple[str, str], str] = {}
        self._loaded: set[int] = set()
        self._load = load
        self.hears_news = load is None
        """Somebody listens for what other replicas store, and has read what was stored before."""
        self._refreshing = asyncio.Lock()
        self._compiling = asyncio.Lock()
        for pipeline in pipelines:
            self._put(FACTORY, pipeline)

    def of_execution(self, owner: str, template: str, version: str) -> Plan:
        """The very version that an execution has started with. Raises UnknownTemplate, PipelineInvalid."""
        key = (owner, template, version)
        plan = self._compiled.get(key)
        if plan is None:
            pipeline = self._pipelines.get(key)
            if pipeline is None:
                raise UnknownTemplate(template, version, self._names(owner))
            plan = self._compiled[key] = compile_pipeline(pipeline)
        return plan

    def templates(self, client_id: str | None, *, after: str | None = None) -> tuple[TemplateView, ...]:
        """What a client is offered, by name, the newest version of each; for None what everybody is. Those behind `after`."""
        owner = client_id or FACTORY
        return tuple(
            _view(chosen, pipeline)
            for name in sorted(self._names(owner))
            if after is None or name > after
            for chosen, pipeline in [self._newest_of(owner, name)]
            if pipeline.offered
        )

    async def find(self, client_id: str, name: str, version: str | None) -> ChosenPlan:
        """For a new order: the client's own pipeline, else the factory's; the newest version for None.

        Knows what this replica was told of, and looks into the database before it gives up. Raises UnknownTemplate,
        DatabaseUnavailable, and PipelineInvalid for a stored version that this release cannot run.
        """
        await self.caught_up()
        key = self._meant(client_id, name, version)
        if key is None:
            await self.refresh()
            key = self._meant(client_id, name, version)
        if key is None:
            raise UnknownTemplate(name, version, self._names(client_id), self._versions(client_id, name))
        await self._compile(key)
        return ChosenPlan(owner=key[0], plan=self.of_execution(*key))

    async def ensure(self, keys: Collection[PlanKey]) -> None:
        """Have the plans of running executions at hand, stored as they may be by another replica a moment ago.

        One that this release cannot run is `of_execution`'s to refuse. Raises DatabaseUnavailable.
        """
        if any(key not in self._pipelines for key in keys):
            await self.refresh()
        for key in keys:
            with suppress(PipelineInvalid):
                await self._compile(key)

    async def view(self, execution: Execution, at_ms: int) -> ExecutionView:
        """The execution as its client may see it. Raises as `ensure` and `of_execution` do."""
        key = plan_key(execution)
        await self.ensure([key])
        return view(self.of_execution(*key), execution, at_ms)

    async def refresh(self) -> None:
        """Read what was stored since. Raises DatabaseUnavailable."""
        if self._load is None:
            return
        async with self._refreshing:
            while stored := await self._load(sorted(self._loaded)):
                for each in stored:
                    self._put(each.owner, each.pipeline)
                    self._loaded.add(each.pipeline_id)

    async def caught_up(self) -> None:
        """When what was stored is known here: who had it stored may ask for it at once, at any replica.

        What is being read was told of. While nobody listens, as at the start, it is read now. Raises DatabaseUnavailable.
        """
        if not self.hears_news:
            await self.refresh()
        async with self._refreshing:
            pass

    def _meant(self, client_id: str, name: str, version: str | None) -> PlanKey | None:
        for owner in dict.fromkeys((client_id, FACTORY)):
            wanted = version if version is not None else self._newest.get((owner, name))
            if wanted is not None and (owner, name, wanted) in self._pipelines:
                return owner, name, wanted
        return None

    async def _compile(self, key: PlanKey) -> None:
        """Unless it was. Raises PipelineInvalid."""
        if key in self._compiled or key not in self._pipelines:
            return
        async with self._compiling:
            if key not in self._compiled:
                self._compiled[key] = await asyncio.to_thread(compile_pipeline, self._pipelines[key])

    def _put(self, owner: str, pipeline: Pipeline) -> None:
        name, version = pipeline.name, pipeline.version
        self._pipelines[owner, name, version] = pipeline
        newest = self._newest.get((owner, name))
        if newest is None or version_rank(version) > version_rank(newest):
            self._newest[owner, name] = version

    def _names(self, client_id: str) -> set[str]:
        return {name for owner, name in self._newest if owner in (client_id, FACTORY)}

    def _versions(self, client_id: str, name: str) -> set[str]:
        return {version for owner, each, version in self._pipelines if each == name and owner in (client_id, FACTORY)}

    def _newest_of(self, client_id: str, name: str) -> tuple[str, Pipeline]:
        owner = client_id if (client_id, name) in self._newest else FACTORY
        return owner, self._pipelines[owner, name, self._newest[owner, name]]


def _view(owner: str, pipeline: Pipeline) -> TemplateView:
    return TemplateView(
        name=pipeline.name,
        version=pipeline.version,
        title=pipeline.title,
        description=pipeline.description,
        structure_type=pipeline.structure_type,
        parameters=pipeline.parameters,
        stages=tuple(stage.id for stage in pipeline.stages),
        owner=owner or None,
    )
