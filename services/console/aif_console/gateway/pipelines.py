"""Pipelines as documents: stored, listed, read back."""

from aif_console.gateway.gateway import Gateway, without_none
from aif_contracts.pipelines import PipelineDocument, PipelinePage, PipelineSaved

PIPELINES = "/api/kam/pipelines"


async def save_pipeline(gateway: Gateway, document: bytes, *, dry_run: bool, require_workers: bool) -> PipelineSaved:
    """Store a document, or only check it. The same document twice is stored once."""
    media_type = "application/json" if document.lstrip().startswith(b"{") else "application/yaml"
    return await gateway.ask(
        "POST",
        PIPELINES,
        PipelineSaved,
        params=without_none(dry_run=dry_run, require_workers=require_workers),
        content=document,
        headers={"Content-Type": media_type},
    )


async def list_pipelines(gateway: Gateway, *, name: str | None, limit: int) -> PipelinePage:
    """By name, newest version first."""
    return await gateway.ask("GET", PIPELINES, PipelinePage, params=without_none(name=name, limit=limit))


async def read_pipeline(gateway: Gateway, name: str, version: str | None) -> PipelineDocument:
    """The newest version when none is named."""
    return await gateway.ask("GET", f"{PIPELINES}/{name}", PipelineDocument, params=without_none(version=version))
