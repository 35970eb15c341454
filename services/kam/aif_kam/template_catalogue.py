"""The orchestrator's templates, remembered for half a minute."""

import asyncio
import difflib
from collections.abc import Mapping

from aif_contracts.orders import FieldMistake, TemplateView
from aif_kam.failures import InvalidInput, NotFound, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.clock import Clock

KEPT_SECONDS = 30.0


class TemplateCatalogue:
    """An old list serves while the orchestrator is away: what is ordered by it, the orchestrator checks again."""

    def __init__(self, *, orchestrator: OrchestratorClient, clock: Clock) -> None:
        self._orchestrator = orchestrator
        self._clock = clock
        self._templates: Mapping[str, TemplateView] | None = None
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()

    async def all(self) -> Mapping[str, TemplateView]:
        """Templates by name. Raises Unavailable while none have ever been fetched."""
        async with self._fetching:
            if self._templates is None or self._clock.monotonic() - self._fetched_at > KEPT_SECONDS:
                await self._fetch()
            assert self._templates is not None
            return self._templates

    async def get(self, name: str) -> TemplateView:
        """Raises NotFound."""
        found = (await self.all()).get(name)
        if found is None:
            raise NotFound(f"no template is named {name!r}", code="unknown_template")
        return found

    async def chosen(self, name: str, *, field: str) -> TemplateView:
        """The template that a field of an order names. Raises InvalidInput with what there is."""
        templates = await self.all()
        if name in templates:
            return templates[name]
        near = difflib.get_close_matches(name, templates, 1)
        mend = f"did you mean {near[0]}?" if near else "choose one of: " + ", ".join(sorted(templates))
        message = f"no template is named {name!r}"
        raise InvalidInput(message, code="unknown_template", mistakes=(FieldMistake(field=field, message=message, mend=mend),))

    async def _fetch(self) -> None:
        try:
            answer = await self._orchestrator.templates()
        except Unavailable:
            if self._templates is None:
                raise
            return
        self._templates = {template.name: template for template in answer.templates}
        self._fetched_at = self._clock.monotonic()
