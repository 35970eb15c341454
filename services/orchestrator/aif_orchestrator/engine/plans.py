"""Compiled pipelines by name and version, kept in memory: a version never changes."""

from collections.abc import Iterable

from aif_contracts.orders import TemplateView
from aif_pipelines.definition import Pipeline
from aif_pipelines.plan import Plan, compile_pipeline


class UnknownTemplate(Exception):
    def __init__(self, name: str, version: str | None, known: Iterable[str]) -> None:
        wanted = name if version is None else f"{name} {version}"
        super().__init__(f"there is no template {wanted}; there are: {', '.join(sorted(known)) or 'none'}")


class Plans:
    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._plans: dict[tuple[str, str], Plan] = {}
        self._newest: dict[str, str] = {}
        for pipeline in pipelines:
            self._plans[pipeline.name, pipeline.version] = compile_pipeline(pipeline)
            newest = self._newest.get(pipeline.name)
            if newest is None or _version_key(pipeline.version) > _version_key(newest):
                self._newest[pipeline.name] = pipeline.version

    def plan(self, name: str, version: str | None) -> Plan:
        """The plan of a version, of the newest for None. Raises UnknownTemplate."""
        wanted = version if version is not None else self._newest.get(name)
        plan = self._plans.get((name, wanted)) if wanted is not None else None
        if plan is None:
            raise UnknownTemplate(name, version, self._newest)
        return plan

    def templates(self) -> tuple[TemplateView, ...]:
        """The newest version of each template that is offered."""
        newest = [self._plans[name, version].pipeline for name, version in sorted(self._newest.items())]
        return tuple(
            TemplateView(
                name=pipeline.name,
                version=pipeline.version,
                title=pipeline.title,
                description=pipeline.description,
                structure_type=pipeline.structure_type,
                parameters=pipeline.parameters,
                stages=tuple(stage.id for stage in pipeline.stages),
            )
            for pipeline in newest
            if pipeline.offered
        )


def _version_key(version: str) -> tuple[tuple[int, ...], bool]:
    """Orders semantic versions; a pre-release comes before its release."""
    numbers, _, pre_release = version.partition("-")
    return tuple(int(part) for part in numbers.split(".")), not pre_release
